"""The command line: one short function for each verb, which imports heavy packages inside."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from ult.cli import (
    adopt,
    align,
    average,
    console,
    decode,
    dedupe,
    demo,
    describe,
    distil,
    federate,
    forget,
    handover,
    inspect,
    owner,
    predict,
    rekey,
    signals,
    split,
    synth,
    table,
    train,
    trainer,
)  # fmt: skip
from ult.cli.audit import code, mechanism, model, release
from ult.cli.audit import synth as audit_synth
from ult.cli.audit import update as audit_update
from ult.cli.audit.forget import forget as forget_audit
from ult.cli.help import EXAMPLES, Verb, Verbs
from ult.errors import InvalidConfig, MissingSource, OutputError, UltError
from ult.host import streams
from ult.host.extras import require_all

app = typer.Typer(
    name="ult",
    help="Encode records to ids with a table that stays yours; train any model on the ids; decode what it writes.",
    cls=Verbs,
    epilog=f"{EXAMPLES['fit']}\n{EXAMPLES['encode']}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would print records
    rich_markup_mode=None,  # `ult.cli.help` writes the help
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _group(help_text: str, example: str) -> typer.Typer:
    """Return a verb that is a group of others."""
    return typer.Typer(
        help=help_text,
        cls=Verbs,
        epilog=EXAMPLES[example],
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )


audit_app = _group("Attack what is to be given away, and report what each attack recovers.", "audit code")
federate_app = _group(
    "Train one body with other owners, each with its own table and rows, which stay at home.", "federate simulate"
)
forget_app = _group(
    "Find records that are to be forgotten, and take them out of runs, shards and tables.", "forget run"
)
table_app = _group("Go on from a table that is in use.", "table update")
GROUPS = {"audit": audit_app, "federate": federate_app, "forget": forget_app, "table": table_app}


TRAIN = {"train": ("accelerate", "torch", "transformers")}  # packages that a verb cannot do without, by extra
PAGE = {"audit": ("jinja2", "matplotlib", "scipy")}
BY_OPTION: dict[str, dict[str, Sequence[str]]] = {
    "epsilon": {"privacy": ("dp-accounting",)},
    "lora": {"lora": ("peft",)},
}
CURVES = ("tensorboard", "wandb")  # values of --report-to, each an extra and its package


def _add(
    verb: Callable[..., None],
    panel: str,
    to: typer.Typer = app,
    *,
    needs: Mapping[str, Sequence[str]] | None = None,
    kind: type[Verb] = Verb,
) -> None:
    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        try:
            _check_local(options)
            _check_names(verb.__name__, options)
            require_all(_wanted(needs or {}, options))
            verb(*args, **options)
        except KeyboardInterrupt as error:  # typer would exit without a word
            raise SystemExit(report(error)) from None

    group = next((f"{name} " for name, one in GROUPS.items() if to is one), "")
    name = f"{group}{verb.__name__}"
    to.command(cls=kind, rich_help_panel=panel, epilog=EXAMPLES.get(name))(run)


def _wanted(needs: Mapping[str, Sequence[str]], options: dict[str, Any]) -> dict[str, Sequence[str]]:
    """Return the optional packages that a verb needs with these options, by extra."""
    wanted = dict(needs)
    for name, more in BY_OPTION.items():
        if options.get(name) is not None:
            wanted.update(more)
    if (curves := options.get("report_to")) in CURVES:
        wanted[curves] = (curves,)
    return wanted


def _check_local(options: dict[str, Any]) -> None:
    """Refuse a URL where a local path is expected, before any work; only inputs, which are `str`, may be URLs."""
    for name, value in options.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and (match := re.match(r"([a-z][a-z0-9+.-]+):/", str(path))):
                what = f"{name} is a {match[1]}:// address"
                if name == "out":
                    raise OutputError(
                        f"{what}; tables, shards and records are written to a local folder", hint="copy them from there"
                    )
                raise MissingSource(f"{what}; expected a local path", hint="copy it to this machine")


def _check_names(verb: str, options: dict[str, Any]) -> None:
    """Refuse a model's path that is not UTF-8, because the library for weights would refuse it only at the end."""
    models = {"run", "runs", "model", "from_run", "body", "start", "to_model", "compatible_with", "old", "new"} | (
        {"out", "base"} if verb in ("train", "distil", "average", "align", "attach", "adopt", "run") else set()
    )
    named = [options[name] for name in models & options.keys() if options[name] is not None]
    for path in (one for value in named for one in (value if isinstance(value, list) else [value])):
        if re.search("[\ud800-\udfff]", str(Path(path).absolute())):
            raise InvalidConfig(
                f"the path {path} is not UTF-8, and models can only be read and written under such paths",
                hint="rename it with mv",
            )


OWNER = "The owner's side: these read or write the table, or the records"
TRAINER = "The trainer's side: shards and runs; no table"
_add(owner.keygen, OWNER)
_add(describe.describe, OWNER)
_add(dedupe.dedupe, OWNER)
_add(split.split, OWNER)
_add(owner.fit, OWNER)
_add(owner.encode, OWNER)
_add(decode.decode, OWNER)
_add(synth.synth, OWNER, needs=TRAIN)
_add(align.align, OWNER, needs=TRAIN)
_add(handover.release, OWNER, needs=TRAIN | PAGE)
_add(rekey.rekey, OWNER)
_add(rekey.shred, OWNER)
app.add_typer(table_app, name="table", rich_help_panel=OWNER)
_add(table.update, OWNER, table_app)
app.add_typer(audit_app, name="audit", rich_help_panel=OWNER)
_add(code.code, OWNER, audit_app, needs={"audit": ("scipy",)})
_add(model.model, OWNER, audit_app, needs=TRAIN | {"audit": ("scipy",)})
_add(model.table, OWNER, audit_app, needs={"audit": ("scipy",)})
_add(forget_audit, OWNER, audit_app, needs=TRAIN | {"audit": ("scipy",)})
_add(mechanism.mechanism, OWNER, audit_app, needs={"audit": ("scipy",), "privacy": ("dp-accounting",)})
_add(audit_update.update, OWNER, audit_app, needs=TRAIN)
_add(release.release, OWNER, audit_app, needs=PAGE)
_add(audit_synth.synth, OWNER, audit_app, needs={"audit": ("scipy", "scikit-learn")})
app.add_typer(forget_app, name="forget", rich_help_panel="Both")
_add(forget.find, OWNER, forget_app)
_add(forget.table, OWNER, forget_app)
_add(forget.shards, TRAINER, forget_app)
_add(forget.run, TRAINER, forget_app, needs=TRAIN, kind=train.Train)
_add(train.train, TRAINER, needs=TRAIN, kind=train.Train)
_add(average.average, TRAINER, needs=TRAIN)
_add(distil.distil, TRAINER, needs=TRAIN, kind=train.Train)
app.add_typer(federate_app, name="federate", rich_help_panel=TRAINER)
_add(federate.init, TRAINER, federate_app, needs=TRAIN)
_add(federate.serve, TRAINER, federate_app, needs=TRAIN, kind=train.Train)
_add(federate.join, TRAINER, federate_app, needs=TRAIN)
_add(federate.simulate, TRAINER, federate_app, needs=TRAIN, kind=train.Train)
_add(trainer.evaluate, TRAINER, needs=TRAIN)
_add(trainer.generate, TRAINER, needs=TRAIN)
_add(trainer.translate, TRAINER, needs=TRAIN)
_add(adopt.adopt, TRAINER, needs=TRAIN)
_add(handover.attach, "Both", needs=TRAIN)
_add(predict.predict, "Both", needs=TRAIN)
_add(inspect.inspect, "Both")
_add(demo.demo, "Both")


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Print the version."""
    if show:
        from ult.host.distribution import __version__, build, commit

        found = commit()
        print(f"ult {__version__} ({f'commit {found}; ' if found else ''}build {build()})")
        raise typer.Exit


def report(error: BaseException) -> int:
    """Print an error as one line on stderr and return the exit status; raise an unexpected error again."""
    if isinstance(error, BrokenPipeError):
        return streams.LOST
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, BrokenPipeError):  # typer and rich turn it into an exit with status 1
            return streams.LOST
        return error.code if isinstance(error.code, int) else error.code is not None
    if isinstance(error, typer.Exit):
        return error.exit_code
    notes = "".join(f"\nhint: {note}" for note in getattr(error, "__notes__", ()))
    if (by := signals.ended_by()) not in (None, signal.SIGINT):
        return _line(f"ended by {by.name}" + notes, 128 + by)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _line("interrupted" + notes, 130)
    if _is_usage(error):
        return _usage(error)
    if isinstance(error, UltError):
        return _line(error.what + (f"\nhint: {error.hint}" if error.hint else "") + notes, 1)
    if isinstance(error, OSError) and error.errno:
        return _line(f"{error.strerror or os.strerror(error.errno)}: {error.filename or 'while writing'}", 1)
    if isinstance(error, MemoryError):
        return _line("no memory left", 1)
    raise error


def _is_usage(error: BaseException) -> bool:
    """Return whether typer raised `error`, by its attributes: no version exports a base class of all its errors."""
    return callable(getattr(error, "format_message", None)) and isinstance(getattr(error, "exit_code", None), int)


def _usage(error: Any) -> int:
    """Print what is wrong with the command line; return the exit status."""
    if not hasattr(error, "ctx"):  # not a usage error
        return _line(error.format_message(), error.exit_code)
    error.show()
    return int(error.exit_code)


def _line(text: str, status: int) -> int:
    print(f"error: {console.plain(text)}", file=sys.stderr)
    return status

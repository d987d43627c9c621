"""Make the command of a verb, which is imported for it, and check what was given before the verb does anything."""

from __future__ import annotations

import functools
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ult.cli.ending import report
from ult.cli.help import EXAMPLES, Verb, Verbs
from ult.cli.verbs import GROUPS, VERBS, Declared, Group, Needs
from ult.errors import InvalidConfig, MissingSource, OutputError
from ult.host.extras import require_all

BY_OPTION: dict[str, dict[str, Sequence[str]]] = {
    "epsilon": {"privacy": ("dp-accounting",)},
    "lora": {"lora": ("peft",)},
}
CURVES = ("tensorboard", "wandb")  # values of --report-to, each an extra and its package


class Commands(Mapping[str, Any]):
    """The commands of a group by their names there, the groups after the others; each is made when it is first met."""

    def __init__(self, group: str) -> None:
        """Hold the verbs of a group, or of `ult` itself if it is empty."""
        self._before = f"{group} " if group else ""
        names = [name for name in VERBS if name.rpartition(" ")[0] == group] + ([] if group else list(GROUPS))
        self._made: dict[str, TyperCommand | TyperGroup | None] = dict.fromkeys(
            name.removeprefix(self._before) for name in names
        )

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        whole = self._before + name
        made = self._made[name] or (group_of(whole) if whole in GROUPS else command_of(whole))
        self._made[name] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def told(self) -> dict[str, Declared | Group]:
        """Return what is said of each command; none is made for it."""
        declared: dict[str, Declared | Group] = {**VERBS, **GROUPS}
        return {name: declared[self._before + name] for name in self._made}


class Ult(Verbs):
    """The group of all verbs, or a group among them."""

    def __init__(self, *, name: str, **told: Any) -> None:
        """Take what typer says of a group, and the verbs from their declarations."""
        super().__init__(name=name, **told)
        self.commands: Any = Commands("" if name == "ult" else name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a verb. For one that is misspelt typer suggests another in its message; click from 8.4 would again."""
        try:
            return super().resolve_command(ctx, args)
        except Exception as error:
            if "Did you mean" in getattr(error, "message", ""):
                vars(error)["possibilities"] = None
            raise


def group_of(name: str) -> TyperGroup:
    """Return the group of this name."""
    told = GROUPS[name]
    return Ult(
        name=name,
        help=told.sentence,
        epilog=EXAMPLES[told.example],
        no_args_is_help=True,
        rich_help_panel=told.panel,
        rich_markup_mode=None,
    )


def command_of(name: str) -> TyperCommand:
    """Return the command of a verb, which is imported for it."""
    declared = VERBS[name]
    module, function = declared.place.split(":")
    verb = getattr(import_module(f"ult.cli.{module}"), function)

    @functools.wraps(verb)
    def run(*args: Any, **options: Any) -> None:
        try:
            _check_local(options)
            _check_names(verb.__name__, options)
            require_all(_wanted(declared.needs, options))
            gc.enable()
            verb(*args, **options)
        except KeyboardInterrupt as error:  # typer would exit without a word
            raise SystemExit(report(error)) from None

    kind = import_module("ult.cli.train").Train if declared.trains else Verb
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name.rpartition(" ")[2], cls=kind, rich_help_panel=declared.panel, epilog=EXAMPLES.get(name))(run)
    made: Any = typer.main.get_command(alone)
    return made  # type: ignore[no-any-return]


def _wanted(needs: Needs, options: dict[str, Any]) -> dict[str, Sequence[str]]:
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

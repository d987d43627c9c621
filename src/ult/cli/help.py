"""Format `--help`: arguments and options by panel, names never cut, an example for each verb, and the exit statuses.

This module does without Rich, whose tables cut long option names with an ellipsis at 80 columns.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup

from ult.cli.once import Once

EXIT_STATUSES = {
    "0": "done",
    "1": "refused, or failed: one line on stderr says why; `audit mechanism` also if it refutes a promise",
    "2": "the command line is not one that ult has: an unknown verb or option, an argument that is missing",
    "130": "interrupted by Ctrl-C; what was half written is cleared away, or kept to go on from",
    "129, 143": "ended by SIGHUP or SIGTERM, as 130",
    "141": "whoever read the output, such as `head`, has gone",
}

EXAMPLES = {
    "keygen": "ult keygen -o owner.key",
    "describe": "ult describe patients.csv -o schema.json",
    "dedupe": "ult dedupe notes.jsonl -o distinct.jsonl --near 0.8",
    "split": "ult split visits.csv -o parts --group patient --label outcome",
    "fit": "ult fit notes.csv -o notes.ult --column note --vocabulary-size 4096",
    "encode": "ult encode notes.csv -t notes.ult -o shards --column note",
    "synth": "ult synth a.csv -o made-up.csv --rows 1000 --epsilon 8 --schema a.json",
    "decode": "ult decode shards -t notes.ult -o notes-again.csv",
    "table update": "ult table update january.ult february.csv -o february.ult --keep-ids -c note",
    "align": "ult align run -t notes.ult --to later.ult -o aligned",
    "release": "ult release run -o for-others --audit audit/audit.json -t notes.ult",
    "rekey": "ult rekey notes.ult --passphrase-file old --new-passphrase-file new",
    "shred": "ult shred notes.ult",
    "audit code": "ult audit code shards --reference public.txt -t notes.ult --json code.json",
    "audit model": "ult audit model run --members in --nonmembers out --json model.json",
    "audit table": "ult audit table notes.ult --members a.txt --nonmembers b.txt",
    "audit forget": "ult audit forget r2 --rows g.rows --shards s --nonmembers n --retrained again",
    "audit mechanism": "ult audit mechanism --of table --trials 4000",
    "audit update": "ult audit update january-moved february --on test.shards",
    "audit release": "ult audit release -o audit --shards shards --code-audit code.json",
    "audit synth": "ult audit synth made.csv --real train.csv --held-out test.csv",
    "train": "ult train shards -o run --steps 2000 --validation held-out",
    "average": "ult average run counts --validation held-out -o whole",
    "distil": "ult distil run --shards shards -o small --steps 2000 --validation held-out",
    "federate init": "ult federate init tiny -o group --rounds 20 --local-steps 50",
    "federate serve": "ult federate serve group --owner a --owner b -o body --address 127.0.0.1:8443",
    "federate join": "ult federate join group a.shards -o run --owner a --server 127.0.0.1:8443",
    "federate simulate": "ult federate simulate a.shards b.shards c.shards -o together --rounds 20",
    "forget find": "ult forget find gone.csv -t notes.ult --shards shards -o gone.rows",
    "forget table": "ult forget table notes.ult --records all.csv --without gone.csv -o new.ult",
    "forget shards": "ult forget shards shards --rows gone.rows -o shards2",
    "forget run": "ult forget run run shards --rows gone.rows -o run2",
    "evaluate": "ult evaluate run held-out --json",
    "generate": "ult generate run -o written.txt -n 100 -t notes.ult",
    "predict": "ult predict run patients.csv -t p.ult --target outcome -o found.csv",
    "translate": "ult translate run sources -o written --beams 5",
    "adopt": "ult adopt their-model --shards shards -o run",
    "attach": "ult attach body -o run --learn shards --steps 400",
    "inspect": "ult inspect shards --plot ids.png",
    "demo": "ult demo -o demo --force",
}


_HYPHEN = "\ue000"  # replaces each hyphen while lines are broken, so that an option named in a text stays whole


class Verb(Once):
    """A command whose help lists its options by panel, then an example."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options and the panels of options, in the order of their declaration."""
        _panels(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the example verbatim."""
        _verbatim(formatter, "Example", self.epilog)


class Verbs(TyperGroup):
    """A group whose help lists its verbs by panel, then the exit statuses."""

    commands: Any

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs; typer's own would make them all."""
        return list(self.commands)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the verbs of each panel."""
        _panels(self, ctx, formatter)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, told in self.commands.told().items():
            panels.setdefault(told.panel, []).append((name, told.sentence))
        _write(formatter, panels)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write an example, then the meaning of each exit status."""
        _verbatim(formatter, "Example", self.epilog)
        _write(formatter, {"Exit status": list(EXIT_STATUSES.items())})


def _panels(command: TyperCommand | TyperGroup, ctx: Any, formatter: Any) -> None:
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for one in command.get_params(ctx):
        kind = "Arguments" if one.param_type_name == "argument" else "Options"
        if kind == "Arguments":
            _describe(one, command)
        if record := one.get_help_record(ctx):
            name, text = record
            text = text.replace("\\[", "[")  # typer escapes for Rich
            if getattr(one, "secondary_opts", ()) and one.default is False:
                # --no-force is taken, and asks for what is there without it
                name, text = name.partition(" / ")[0], text.replace(f"  [default: {one.secondary_opts[0][2:]}]", "")
            panel = str(getattr(one, "rich_help_panel", None) or kind)
            panels.setdefault(panel, []).append((name, text))
    _write(formatter, panels)


def _describe(argument: Any, command: TyperCommand | TyperGroup) -> None:
    """Set the help that an argument was declared with: click from 8.5 on drops what typer before 0.26 passes."""
    if not getattr(argument, "help", None) and command.callback is not None:
        declared = inspect.signature(command.callback, eval_str=True).parameters[argument.name].annotation
        argument.help = declared.__metadata__[0].help


def _write(formatter: Any, panels: dict[str, list[tuple[str, str]]]) -> None:
    start = len(formatter.buffer)
    for panel, rows in panels.items():
        if rows:
            with formatter.section(panel):
                formatter.write_dl([(name, text.replace("-", _HYPHEN)) for name, text in rows], col_max=26)
    formatter.buffer[start:] = [piece.replace(_HYPHEN, "-") for piece in formatter.buffer[start:]]


def _verbatim(formatter: Any, title: str, text: str | None) -> None:
    if text:
        with formatter.section(title):
            for line in text.strip().splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

"""`ult describe`: what the columns of a table hold, and a schema of them."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.options import (
    Drop,
    FieldForm,
    Force,
    Inputs,
    Unit,
    forms_of,
)
from ult.cli.reading import READ, Reading, reads_files

if TYPE_CHECKING:
    from ult.data.columns.describe import Described, Description

_WIDTHS = (18, 9, 8, 9, 25, 11)
_HEAD = ("column", "kind", "missing", "distinct", "range", "example")


@reads_files("layer", "window", "layout", "skip_unreadable")
def describe(
    inputs: Inputs,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the schema here, for `ult fit --schema`; mode 0600.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="Describe only this column; repeatable.")
    ] = None,
    drop: Drop = None,
    unit: Unit = "",
    form: FieldForm = None,
    reading: Reading = READ,
    bins: Annotated[int, typer.Option(help="Bins of a number: 8, 16, 32 or 64.")] = 16,
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Declare that everyone may read these files: `ult fit --epsilon` takes a schema of them."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
    force: Force = False,
) -> None:
    """Say what the columns of a table hold, and write a schema by which its rows become records.

    Examples are masked. The range, and the schema, are data: keep them to yourself.
    """
    from ult.cli.console import note, say
    from ult.data.columns.describe import describe as found_in
    from ult.data.rows import listed
    from ult.errors import SourceError
    from ult.host.free import check_free

    if out is not None:
        check_free(out, force=force)
    asked: dict[str, Any] = {"drop": drop or (), "column": column or (), "forms": forms_of(form)}
    found = found_in(inputs, unit=unit, bins=bins, public=public, reading=reading, **asked)
    if as_json:
        _print_json(found)
    else:
        _print(found)
    for remark in found.remarks():
        note(remark)
    if suspects := [one.name for one in found.columns if one.identifier]:
        note(f"ult fit asks about each column that looks like an identifier: {listed(suspects)}")
    if told := [one.name for one in found.columns if one.tells or one.kind == "text"]:
        tells = "nothing asks about columns that may tell, with others, who somebody is"
        note(f"{tells}; --drop leaves one out: {listed(told)}")
    if out is not None:
        if found.schema is None:
            raise SourceError("no column can be encoded; expected one that a schema can hold")
        found.schema.write(out)
        say(f"{out}: schema of {len(found.schema.columns)} columns, for its owner alone (mode 0600)")
        if not public:
            note(f"{out} holds names and values of your columns: it is as private as they are")
        if found.schema.domains:
            none = f"no cells of {listed(list(found.schema.domains))} but those of these files"
            note(f'{out} knows {none}: take a column out of its "domains" if records may have others')


def _print_json(found: Description) -> None:
    import json
    from dataclasses import asdict

    print(json.dumps({"columns": [asdict(one) for one in found.columns], "rows": found.rows}, indent=1))


def _print(found: Description) -> None:
    from ult.cli.console import plain, say

    say(_line(_HEAD))
    for one in found.columns:
        name, *cells = _cells(one)
        if _is_long(name):  # whole, because --drop and --form take it
            say(plain(name))
            name = ""
        say(_line([name, *cells]))
        for told in _told(one):
            say(textwrap.fill(told, 80, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False))


def _told(one: Described) -> list[str]:
    found = [f"looks like an identifier: {one.identifier}"] if one.identifier else []
    found += [f"tells of who somebody is: {one.tells}"] if one.tells else []
    if one.kind == "text":
        held = "; ".join(f"{what} in {n:,}" for what, n in one.inside) or "no names, mails or telephone numbers seen"
        found.append(f"free text, which may name people: of {one.looked:,} cells {held}")
    answers = " or ".join(f"--form {shlex.quote(f'{one.name}={reading}')}" for reading in one.readings)
    return [*found, *([f"asked, {one.why}: {answers}"] if answers else [])]


def _cells(one: Described) -> tuple[str, ...]:
    about = "" if one.exact else "~"
    if not one.rows:
        return (one.name, one.kind or "none", "", "", one.type, "")
    missing = f"{one.missing / one.rows:.1%}" if one.missing else "0"
    low, high = (text[:10] if one.kind == "date" else text for text in (one.low, one.high))
    span = low if low == high else f"{low} to {high}"
    return (one.name, one.kind or "none", missing, f"{about}{one.distinct:,}", span, one.example)


def _is_long(name: str) -> bool:
    from rich.cells import cell_len

    return _WIDTHS[0] <= cell_len(name) <= 80


def _line(cells: Sequence[str]) -> str:
    from rich.cells import cell_len, set_cell_size

    from ult.cli.console import plain

    shown = []
    for cell, width in zip(cells, _WIDTHS, strict=True):
        text = plain(cell).replace("\n", "\\n").replace("\t", "\\t")
        shown.append(text if cell_len(text) <= width - 1 else set_cell_size(text, width - 2) + "…")
    padded = [text + " " * (width - cell_len(text)) for text, width in zip(shown, _WIDTHS, strict=True)]
    return "".join(padded).rstrip()

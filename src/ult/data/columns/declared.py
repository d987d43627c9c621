"""The schema of columns whose kinds the owner declares, for a promise of privacy: no record is looked at."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ult.codecs.record.field import DATE_FORMS, Field
from ult.data.cells import has_text
from ult.data.columns import describe_tables
from ult.data.columns.describe import ANSWERS
from ult.data.columns.event_schema import unit_of
from ult.data.columns.infer import WRITTEN
from ult.data.columns.schema import Schema
from ult.data.composed import grouped, linked
from ult.data.opening import open_inputs
from ult.data.reading import Reading
from ult.data.text import JsonlRows
from ult.errors import InvalidConfig

MISSING = ("", "-", "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")  # of a number or a date
PUBLIC = "ult describe OTHER_FILE --public -o schema.json, of a file that everyone may read, then --schema schema.json"
_MOST = 4  # columns for which a hint says what to type


class _Table(NamedTuple):
    """A table of data: its name, the types of its columns, and which of them become fields."""

    name: str
    types: Mapping[str, pa.DataType]
    names: list[str]


def declared(
    inputs: Sequence[str | Path],
    *,
    unit: str,
    drop: Sequence[str],
    column: Sequence[str],
    forms: Mapping[str, str],
    reading: Mapping[str, str | float] | None,
) -> Schema:
    """Return the schema of which `forms` gives the kind of every column. Only names and types of columns are read.

    A number has no edges, a missing cell is empty, null or one of `MISSING`, and with `unit` all columns are those of
    its rows. A column of a joined table is called by its name, or after that of its table, as `labs.value`. Raises
    `InvalidConfig`, naming the columns without a kind.
    """
    names = [str(one) for one in inputs]
    if any(map(grouped.named, names)):
        groups = describe_tables.groups_of(names, unit, Reading.of(reading))
        drop, column, forms = describe_tables.by_column(groups, drop, column, forms)
    else:
        opened, _ = open_inputs(names, "record", Reading.of(reading))
        unit = unit_of(opened, unit)
        for name in (*drop, *column, *forms, *([unit] if unit else [])):
            opened[0].check_column(name)
        groups = [(describe_tables.MAIN, unit, opened)]
    for _, _, of in groups:
        if isinstance(of[0], JsonlRows):
            raise InvalidConfig(
                f"{of[0].name} is JSON, whose types would be taken from the records, which epsilon does not cover; "
                "expected a schema that gives them",
                hint=PUBLIC,
            )
    parts = [_Table(name, of[0].types, _read(of[0].types, mine, drop, column)) for name, mine, of in groups]
    _check_told(parts, forms)
    tables = [(one.name, tuple(_field(name, one.types[name], forms[name]) for name in one.names)) for one in parts]
    rows = [Field(name=name, kind="rows", fields=inner) for name, inner in tables if inner]
    read = dict.fromkeys(name for one in parts for name in one.names)
    units = {mine for _, mine, _ in groups}
    gone = dict.fromkeys(name for one in parts for name in one.types if name not in read and name not in units)
    fields = tuple(describe_tables.with_main(rows)) if unit else tables[0][1]
    return Schema(fields=fields, unit=unit, dropped=tuple(gone), columns=tuple(read))


def _read(types: Mapping[str, pa.DataType], unit: str, drop: Sequence[str], column: Sequence[str]) -> list[str]:
    """Return the columns of a table of data that become fields."""
    return [name for name in types if name not in (*drop, unit) and (not column or name in column)]


def _check_told(parts: Sequence[_Table], forms: Mapping[str, str]) -> None:
    """Raise `InvalidConfig`, with what to type, if a column has no kind."""
    names = list(dict.fromkeys(name for one in parts for name in one.names))
    if unknown := [name for name in names if name not in forms]:
        asked = " ".join(f"--form {shlex.quote(f'{name}=KIND')}" for name in unknown[:_MOST])
        raise InvalidConfig(
            "the kinds, bins and values of the columns would be taken from the records, which epsilon does not cover; "
            f"expected to be told the kind of {len(unknown)} of {len(names)} columns",
            hint=f"{asked}{' ...' if len(unknown) > _MOST else ''}, where KIND is number, category, date or text; or "
            "--schema of what is known without the records",
        )


def _field(name: str, kind: pa.DataType, form: str) -> Field:
    if not has_text(kind) or form in linked.KINDS:
        return Field(name=name, kind=form, type=str(kind))
    absent = "" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None
    if form in (".", ",", "number"):
        decimal = "," if form == "," else "."
        return Field(
            name=name,
            kind="number",
            type=str(kind),
            absent=absent,
            missing=MISSING,
            decimal=decimal,
            exponent=True,
        )
    if form == "date" or form in DATE_FORMS:
        dates = ("Y-m-d",) if form == "date" else (form,)
        return Field(name=name, kind="date", type=str(kind), absent=absent, missing=MISSING, forms=dates)
    if form not in WRITTEN:
        raise InvalidConfig(f"column {name!r} cannot be read as {form!r}; expected {ANSWERS}")
    return Field(name=name, kind=form, type=str(kind), absent=absent)

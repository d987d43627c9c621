"""The schema of columns whose kinds the owner declares, for a promise of privacy: no record is looked at."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from ult.codecs.record.field import DATE_FORMS, Field
from ult.data.cells import has_text
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
_MOST = 4  # columns for which a hint says what to type


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
    its rows. Raises `InvalidConfig`, naming the columns without a kind.
    """
    if any(grouped.named(str(one)) for one in inputs):
        raise InvalidConfig("tables of data that are joined need a schema with epsilon", hint="--schema schema.json")
    opened, _ = open_inputs(inputs, "record", Reading.of(reading))
    first, unit = opened[0], unit_of(opened, unit)
    first.check_columns([*drop, *column, *forms, *([unit] if unit else [])])
    if isinstance(first, JsonlRows):
        raise InvalidConfig(
            f"{first.name} is JSON, whose types would be taken from the records, which epsilon does not cover; "
            "expected a schema that gives them",
            hint="--schema schema.json",
        )
    names = [name for name in first.types if name not in (*drop, unit) and (not column or name in column)]
    if unknown := [name for name in names if name not in forms]:
        asked = " ".join(f"--form {shlex.quote(f'{name}=KIND')}" for name in unknown[:_MOST])
        raise InvalidConfig(
            "the kinds, bins and values of the columns would be taken from the records, which epsilon does not cover; "
            f"expected to be told the kind of {len(unknown)} of {len(names)} columns",
            hint=f"{asked}{' ...' if len(unknown) > _MOST else ''}, where KIND is number, category, date or text; or "
            "--schema of what is known without the records",
        )
    fields = tuple(_field(name, first.types[name], forms[name]) for name in names)
    if unit:
        name = "rows"
        while name in names:
            name += "_"
        fields = (Field(name=name, kind="rows", fields=fields),)
    gone = [name for name in first.types if name not in names and name != unit]
    return Schema(fields=fields, unit=unit, dropped=tuple(gone), columns=tuple(names))


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

"""Decide on the fields of records: from a schema file, or by what the columns of the inputs hold."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ult.data.columns import looks
from ult.data.columns.bins import BINS
from ult.data.columns.declared import declared
from ult.data.columns.describe import describe
from ult.data.columns.dotted import plain
from ult.data.columns.schema import Schema
from ult.data.reading import ONCE
from ult.data.rows import listed
from ult.errors import InvalidConfig, SourceError

CODEC = "record/columns"
_MOST = 4  # columns for which a hint says what to type
_DIRECT = ("name", "number", "mail", "address")


def decided(
    inputs: Sequence[str | Path],
    *,
    schema: Schema | str | Path | None,
    unit: str = "",
    drop: Sequence[str] = (),
    column: Sequence[str] = (),
    keep: Sequence[str] = (),
    forms: Mapping[str, str] | None = None,
    encode_identifier: Sequence[str] = (),
    private: bool = False,
    bins: int | None = None,
    notice: Callable[[str], None] = lambda remark: None,
    reading: Mapping[str, str | float] | None = None,
) -> Schema:
    """Return the schema of records: the one given, or else one inferred from the inputs.

    `private` says that the table promises differential privacy, so that nothing may be inferred: `forms` then declares
    every column, and edges of bins are learnt later. `bins` is how many a number has. `notice` is called for each
    column that has another kind than most of its cells. Raises `InvalidConfig` for a
    column that can be read in two ways, or that looks like an identifier and is neither dropped nor in
    `encode_identifier`.
    """
    if private and schema is None:
        found = declared(inputs, unit=unit, drop=[*drop, *keep], column=column, forms=forms or {}, reading=reading)
    elif schema is None:
        asked: dict[str, Any] = {"column": column, "forms": forms, "bins": BINS if bins is None else bins}
        description = describe(inputs, unit=unit, drop=[*drop, *keep], reading=reading, **asked)
        inferred = description.schema
        if inferred is None or (description.columns and not all(one.kind for one in description.columns)):
            lost = [one.name for one in description.columns if not one.kind]
            raise SourceError(f"columns that cannot be encoded: {listed(lost)}", hint=_typed("--drop", lost))
        for one in description.columns:
            if one.remark and not one.readings:
                notice(one.remark)
        found = inferred
    else:
        if bins is not None and not private:
            raise InvalidConfig("bins are in the schema", hint="ult describe FILE --bins ... -o schema.json")
        found = _given(schema, unit=unit, drop=[*drop, *keep], column=column, forms=forms)
        if private and found.inferred:
            raise InvalidConfig(
                f"the schema was inferred from records: bins, values and kinds of {listed(found.inferred)} tell of "
                "them, and epsilon does not cover that; expected one of what is known without the records",
                hint="ult describe OTHER_FILE --public -o schema.json, of a file that everyone may read; or no schema "
                "and a --form for each column, such as --form age=number",
            )
    names = {one.name for one in found.leaves}
    encode_identifier = plain(encode_identifier, _tables(found))
    if unknown := [name for name in encode_identifier if name not in names]:
        raise InvalidConfig(f"--encode-identifier {unknown[0]} names no field; there are {listed(sorted(names))}")
    _check_answered(found)
    found = replace(found, identifiers=tuple(dict.fromkeys((*found.identifiers, *encode_identifier))))
    _check_identifiers(found)
    chosen = {name: value for name, value in (reading or {}).items() if name not in ONCE}
    left = tuple(name for name in found.dropped if name not in keep)
    return replace(found, dropped=left, reading={**found.reading, **chosen})


def _given(
    schema: Schema | str | Path,
    *,
    unit: str,
    drop: Sequence[str],
    column: Sequence[str],
    forms: Mapping[str, str] | None,
) -> Schema:
    """Return a given schema, with the columns dropped that the command leaves out."""
    found = schema if isinstance(schema, Schema) else Schema.read(schema)
    if forms:
        raise InvalidConfig("forms are in the schema", hint="ult describe FILE --form ... -o schema.json")
    if unit and unit != found.unit:
        met = repr(found.unit) if found.unit else "no unit"
        raise InvalidConfig(f"the schema has {met}; expected {unit!r}", hint=f"ult describe FILE --unit {unit}")
    names, drop, column = [one.name for one in found.leaves], plain(drop, _tables(found)), plain(column, _tables(found))
    if unknown := [name for name in column if name not in names]:
        raise InvalidConfig(f"the schema has no field {unknown[0]!r}; it has {listed(names)}")
    gone = [name for name in names if name in drop or (column and name not in column)]
    left = found.without(gone) if gone else found
    return replace(left, dropped=tuple(dict.fromkeys((*left.dropped, *drop))))


def _tables(schema: Schema) -> dict[str, list[str]]:
    """Return the columns of each table of data, those of the record itself under the empty name."""
    own = [one.name for one in schema.fields if not one.fields]
    return {"": own, **{one.name: [inner.name for inner in one.fields] for one in schema.fields if one.fields}}


def _check_answered(schema: Schema) -> None:
    """Raise `InvalidConfig` if a column can be read in two ways and nobody said in which."""
    if asked := {name: readings for name, readings in schema.asked.items() if readings}:
        hints = [" or ".join(f"--form {shlex.quote(f'{name}={one}')}" for one in all_) for name, all_ in asked.items()]
        raise InvalidConfig(
            f"{listed(list(asked))} can be read in two ways; expected to be told in which",
            hint="; ".join(hints[:_MOST]),
        )


def _check_identifiers(schema: Schema) -> None:
    """Raise `InvalidConfig` if a field looks like an identifier and nobody said to encode it."""
    kinds = ("category", "number", "text", "list")  # "Doe, Jane" is read as a list
    told = {one.name for one in schema.leaves if one.kind in kinds and _by_header(one.name)}
    found = dict.fromkeys(one.name for one in schema.leaves if one.name in (*schema.suspects, *told))
    if left := [name for name in found if name not in schema.identifiers]:
        raise InvalidConfig(
            f"{listed(left)} look{'s' * (len(left) == 1)} like an identifier; expected to be told what to do with "
            + ("it" if len(left) == 1 else "them"),
            hint=f"{_typed('--drop', left)}; or --encode-identifier in place of --drop: who has the table reads it",
        )


def _by_header(name: str) -> bool:
    kind, sure = looks.header(name)
    return sure and kind in _DIRECT


def _typed(option: str, names: Sequence[str]) -> str:
    """Return what to type to give an option for each of some names."""
    return " ".join(f"{option} {shlex.quote(name)}" for name in names)

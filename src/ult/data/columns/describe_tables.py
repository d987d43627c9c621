"""Describe several tables of data of one unit, and infer a schema whose records hold the rows of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields as attributes
from dataclasses import replace
from functools import partial
from typing import Any

from ult.codecs.record.field import Field
from ult.data.columns.constant import Constant
from ult.data.columns.dotted import plain
from ult.data.columns.repeated import with_carried
from ult.data.columns.schema import Schema
from ult.data.composed import grouped
from ult.data.opening import open_inputs
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import Chunk, Rows, listed
from ult.errors import InvalidConfig, MissingColumn
from ult.host.near import near

MAIN = ""  # the name of the inputs without one; no other has it
_OTHERS = ("fields", "unit", "dropped", "asked", "domains", "reading")  # of a schema, what is not joined as names
Part = tuple[Sequence[Any], Schema | None, int]  # what columns hold, the schema of a row, and the number of rows
Group = tuple[str, str, Sequence[Rows]]  # the name of a table of data, its column of the unit, and its inputs
Flat = Callable[[Sequence[str], Mapping[str, str], Sequence[Rows], Sequence[str]], Part]
_Of = Callable[[Sequence[Rows], Sequence[str]], Part]  # from inputs and columns to drop


def described(
    names: Sequence[str],
    unit: str,
    *,
    drop: Sequence[str],
    column: Sequence[str],
    forms: Mapping[str, str],
    flat: Flat,
    reading: Reading = AS_IT_IS,
) -> Part:
    """Return columns, schema and rows of inputs of which some are `NAME=PATH`; `column` and `forms` are as there.

    A column is called by its name, or as it is printed, after that of its table. Raises `InvalidConfig`,
    `MissingColumn` or `SourceError`.
    """
    groups = groups_of(names, unit, reading)
    drop, column, answers = by_column(groups, drop, column, forms)
    return _together(groups, unit, drop, partial(flat, column, answers))


def groups_of(names: Sequence[str], unit: str, reading: Reading = AS_IT_IS) -> list[Group]:
    """Return the tables of data of inputs of which some are `NAME=PATH`: first `MAIN`, that of those without a name.

    Raises `InvalidConfig`, `MissingColumn` or `SourceError`.
    """
    if not unit:
        raise InvalidConfig("inputs with names are tables of data of one unit", hint="--unit COLUMN joins them by it")
    parts = [(name, grouped.named(name)) for name in names]
    bare = [name for name, of in parts if of is None]
    tables: dict[str, list[grouped.Named]] = {}
    for _, of in parts:
        if of is not None:
            tables.setdefault(of.field, []).append(of)
    groups: list[Group] = [(MAIN, unit, open_inputs(bare, "record", reading)[0])] if bare else []
    for name, mine in tables.items():
        groups.append((name, mine[0].column or unit, open_inputs([one.path for one in mine], "record", reading)[0]))
    for name, column, opened in groups:
        if column not in opened[0].types:
            raise MissingColumn(
                f"{opened[0].name} has no column {column!r}, the unit; it has {listed(list(opened[0].types))}",
                hint=f"{name}:COLUMN={opened[0].name}, with the column that holds it" if name != MAIN else "",
            )
    return groups


def by_column(
    groups: Sequence[Group], drop: Sequence[str], column: Sequence[str], forms: Mapping[str, str]
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return `drop`, `column` and `forms` by the columns' own names. Raises `MissingColumn` or `InvalidConfig`."""
    there = {name: opened[0].types for name, _, opened in groups}
    known = {one for columns in there.values() for one in columns}
    gone, chosen = plain(drop, there), plain(column, there)
    answers = dict(zip(plain(forms, there), forms.values(), strict=True))
    if unknown := [name for name in (*gone, *chosen, *answers) if name not in known]:
        raise MissingColumn(
            f"no input has a column {unknown[0]!r}; they have {listed(sorted(known))}", hint=near(unknown[0], known)
        )
    return gone, chosen, answers


def _together(groups: Sequence[Group], unit: str, drop: Sequence[str], flat: _Of) -> Part:
    columns: list[Any] = []
    schemas: list[Schema] = []
    fields: list[Field] = []
    rows = 0
    for name, column, opened in groups:
        here = [one for one in drop if one in opened[0].types]
        found, schema, n = flat(opened, list(dict.fromkeys([*here, column])))
        columns += [one if name == MAIN else replace(one, name=f"{name}.{one.name}") for one in found]
        rows += n
        if schema is None:
            continue
        schemas.append(replace(schema, dropped=tuple(one for one in schema.dropped if one != column)))
        static = _static(opened, unit, schema.fields) if name == MAIN else set()
        fields += [one for one in schema.fields if one.name in static]
        if inner := tuple(one for one in schema.fields if one.name not in static):
            carried = with_carried(inner, column, partial(_chunks, opened))
            fields.append(Field(name=name, kind="rows", fields=carried, required=len(groups) == 1))
    if not schemas:
        return columns, None, rows
    return columns, _merged(schemas, unit, with_main(fields)), rows


def with_main(fields: Sequence[Field]) -> list[Field]:
    """Return the fields with a name for that of `MAIN`. Raises `InvalidConfig` if a table has the name of a column."""
    names = [one.name for one in fields]
    if again := [name for name in names if names.count(name) > 1]:
        raise InvalidConfig(
            f"an input and a column without a table are both called {again[0]!r}; expected another name of the input",
            hint=f"{again[0]}_rows=FILE",
        )
    name = "rows"
    while name in names:
        name += "_"
    return [replace(one, name=name) if one.name == MAIN else one for one in fields]


def _static(opened: Sequence[Rows], unit: str, fields: Sequence[Field]) -> set[str]:
    """Return the fields of the inputs without a name that are constant in every unit."""
    constant = Constant(unit, [one.name for one in fields])
    return constant.columns(partial(_chunks, opened))


def _chunks(opened: Sequence[Rows], names: Sequence[str]) -> Iterator[Chunk]:
    return (chunk for rows in opened for chunk in rows.chunks(names))


def _merged(schemas: Sequence[Schema], unit: str, fields: Sequence[Field]) -> Schema:
    """Return one schema of all: a name that two tables have is told once."""
    names = [one.name for one in attributes(Schema) if one.name not in _OTHERS]
    every: dict[str, Any] = {
        name: tuple(dict.fromkeys(one for schema in schemas for one in getattr(schema, name))) for name in names
    }
    held = set(every["columns"])
    dropped = tuple(dict.fromkeys(one for schema in schemas for one in schema.dropped if one not in held))
    for of in ("asked", "domains"):
        every[of] = {name: told for schema in reversed(schemas) for name, told in getattr(schema, of).items()}
    return replace(schemas[0], unit=unit, fields=tuple(fields), dropped=dropped, **every)

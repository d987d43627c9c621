"""Open inputs as records of the fields of a schema: a row each, or all rows of a unit."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from ult.codecs.record.field import Field
from ult.data.batch import Batch
from ult.data.columns.event_schema import check_unit
from ult.data.columns.schema import Schema
from ult.data.composed import grouped, linked
from ult.data.composed.fields import COLUMN, FieldsForm, check_columns, linked_cells
from ult.data.composed.units import Strand
from ult.data.form import Unread, kept_schema, unread
from ult.data.opening import open_inputs
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import Rows, listed
from ult.data.tables import postgres
from ult.errors import EmptySource, InvalidConfig, MissingColumn, SourceError

MODALITY = "record"
_NONE = pa.schema([])


@dataclass(frozen=True, slots=True)
class Opened:
    """What a `Source` of records is made of."""

    read: Callable[[], Iterator[Batch]]
    split: Callable[[int], Iterator[Unread]] | None
    kept_schema: pa.Schema
    empty: tuple[str, ...]
    opened: Sequence[Rows]
    column: str = COLUMN
    beside: Sequence[str] = ()  # other files that are read
    remarks: Sequence[str] = ()  # on those

    def told(self) -> list[str]:
        """Return sentences on what was not read in the last pass."""
        return [*self.remarks, *(one for rows in self.opened for one in rows.told)]


def open_records(
    inputs: Sequence[str | Path], schema: Schema, keep: Sequence[str], reading: Reading = AS_IT_IS
) -> Opened:
    """Return how the records of `inputs` are read. Raises `SourceError`, `MissingColumn` or `InvalidConfig`."""
    leaves = {one.name for one in schema.leaves}
    if both := [name for name in keep if name in leaves]:
        raise SourceError(
            f"column {both[0]!r} is both a field of the records and kept; expected one of the two",
            hint=f"leave out --keep {shlex.quote(both[0])}: its cells come back when the records are decoded",
        )
    if schema.unit:
        return _grouped([str(one) for one in inputs], schema, keep, reading)
    return _flat(inputs, schema, keep, reading)


def _flat(inputs: Sequence[str | Path], schema: Schema, keep: Sequence[str], reading: Reading) -> Opened:
    """Return how to read a record for each row."""
    opened, empty = open_inputs(inputs, MODALITY, reading)
    check_unit(opened, schema.unit)
    for rows in opened:
        rows.check_columns(keep)
        check_columns(rows, schema.fields, (*schema.dropped, *keep))
    form, kept = FieldsForm.of_fields(schema.fields), kept_schema(opened, keep)
    found = Opened(
        lambda: (batch for rows in opened for batch in form.batches(rows, kept)),
        partial(unread, opened, form, kept) if all(rows.splits for rows in opened) else None,
        kept,
        tuple(empty),
        opened,
    )
    return _with_files(found, linked_cells(opened, schema.fields))


def _with_files(found: Opened, cells: Iterator[linked.Linked | None]) -> Opened:
    """Return what was opened, with the files that cells name; raise `SourceError` for those that are missing."""
    beside, remarks = linked.found(cells)
    return replace(found, beside=beside, remarks=remarks)


def paths(inputs: Sequence[str | Path]) -> list[str]:
    """Return the inputs without their names: `labs.csv` for `labs=labs.csv`."""
    return [of.path if (of := grouped.named(str(one))) else str(one) for one in inputs]


def _grouped(inputs: Sequence[str], schema: Schema, keep: Sequence[str], reading: Reading) -> Opened:
    """Return how to read a record for each unit."""
    parts = [grouped.named(one) for one in inputs]
    plain = [one for one, part in zip(inputs, parts, strict=True) if part is None]
    empty: list[str] = []
    strands = _of_names([part for part in parts if part], schema, empty, reading)
    static = [one for one in schema.fields if one.kind != "rows"]
    left = [one for one in schema.fields if one.kind == "rows" and one.name not in strands]
    if len(left) > bool(plain):
        one = left[-1].name
        raise InvalidConfig(f"no input holds the rows of field {one!r}", hint=f"{one}=FILE names it")
    if not plain:
        if static or keep:
            one = static[0].name if static else keep[0]
            raise InvalidConfig(f"{one!r} is a column of no rows; expected an input without a name, which holds it")
        read = partial(grouped.batches, schema.fields, strands, None, _NONE)
        return _with_files(Opened(read, None, _NONE, tuple(empty), _opened(strands)), _cells(strands.values()))
    inner = left[0].fields if left else ()
    opened, none = open_inputs(plain, MODALITY, reading)
    check_unit(opened, schema.unit)
    for rows in opened:
        rows.check_columns(keep)
    _check(opened, schema.unit, [*static, *inner], (*schema.dropped, *keep))
    kept = kept_schema(opened, keep)
    main = Strand(opened, schema.unit, name=opened[0].name, static=static, inner=inner, kept=kept)
    strands |= {one.name: main for one in left}
    read = partial(grouped.batches, schema.fields, strands, main, kept)
    every = _opened({**strands, "": main})
    return _with_files(Opened(read, None, kept, (*empty, *none), every), _cells([*strands.values(), main]))


def _of_names(named: Sequence[grouped.Named], schema: Schema, empty: list[str], reading: Reading) -> dict[str, Strand]:
    """Return the rows of the inputs that name a field; add the inputs without a row to `empty`."""
    holders = {one.name: one for one in schema.fields if one.kind == "rows"}
    strands: dict[str, Strand] = {}
    for name in dict.fromkeys(one.field for one in named):
        mine = [one for one in named if one.field == name]
        if name not in holders:
            raise InvalidConfig(f"the schema has no field of rows {name!r}; it has {listed(list(holders))}")
        if len({one.column for one in mine}) > 1:
            raise InvalidConfig(f"the inputs of {name!r} name several columns of the unit; expected one")
        unit, fields = mine[0].column or schema.unit, holders[name].fields
        opened, none = _some([one.path for one in mine], reading)
        for rows in opened:
            if unit not in rows.types:
                raise MissingColumn(
                    f"{rows.name} has no column {unit!r}, the unit; it has {listed(list(rows.types))}",
                    hint=f"{name}:COLUMN={postgres.shown(mine[0].path)}, with the column that holds it",
                )
        _check(opened, unit, fields, schema.dropped, name)
        strands[name] = Strand(opened, unit, name=postgres.shown(mine[0].path), inner=fields)
        empty += none
    return strands


def _cells(strands: Iterable[Strand]) -> Iterator[linked.Linked | None]:
    for one in dict.fromkeys(strands):
        yield from linked_cells(one.opened, [*one.static, *one.inner])


def _opened(strands: Mapping[str, Strand]) -> list[Rows]:
    """Return the readers of all strands, each once."""
    return [rows for strand in dict.fromkeys(strands.values()) for rows in strand.opened]


def _some(names: Sequence[str], reading: Reading) -> tuple[list[Rows], list[str]]:
    """Return the opened inputs, none of which need have rows, and the names of those that have none."""
    try:
        return open_inputs(names, MODALITY, reading)
    except EmptySource:
        return [], [*map(postgres.shown, names)]


def _check(opened: Sequence[Rows], unit: str, fields: Sequence[Field], others: Sequence[str], table: str = "") -> None:
    for rows in opened:
        rows.check_columns([unit])
        check_columns(rows, fields, (*others, unit), table)

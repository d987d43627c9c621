"""Rows become records of fields: one tuple of cells a row, in the order of a schema's fields."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns
from ult.codecs.record.field import Field
from ult.data import oversize, record
from ult.data.batch import Batch, Where
from ult.data.cells import column_of, has_text, is_text, written
from ult.data.composed import linked
from ult.data.form import Form
from ult.data.rows import BLOCK_ROWS, CHUNK_BYTES, Chunk, Rows, listed
from ult.errors import MissingColumn, SourceError
from ult.host.near import near

COLUMN = record.COLUMN["record"]
_TEXTS = {str, type(None)}
_OTHERS = "name records that have these columns, or fit a table on those that you have: ult fit"
_MANY = 4  # columns that a hint drops, at most


@dataclass(frozen=True, slots=True)
class FieldsForm(Form):
    """Each row is a record: a tuple with the cell of each of `layout`, and `fields` are their names."""

    layout: tuple[Field, ...] = ()

    @classmethod
    def of_fields(cls, layout: Sequence[Field]) -> FieldsForm:
        """Return the form of records with these fields, none of which holds rows."""
        return cls("record", COLUMN, tuple(one.name for one in layout), layout=tuple(layout))

    def _records(self, chunk: Chunk) -> Iterator[Any]:
        rows = zip(*(cells(chunk, one) for one in self.layout), strict=True)
        return map(linked.made, rows)

    def batches(self, rows: Rows, schema: pa.Schema) -> Iterator[Batch]:
        """Yield the records of one input, by column unless some hold arrays, with the kept columns as `schema`."""
        if any(one.kind in linked.KINDS for one in self.layout):
            yield from super(FieldsForm, self).batches(rows, schema)
            return
        for chunk in rows.blocks([*self.fields, *schema.names]):
            records, kept = (
                Columns([column(chunk, one) for one in self.fields], chunk.length),
                record.kept(chunk, schema),
            )
            first, bare = 0, chunk.without_values()
            for run in records.cut(BLOCK_ROWS, CHUNK_BYTES):
                yield Batch(run, kept.slice(first, len(run)), Where(((bare, first, len(run)),), self.fields))
                first += len(run)


def cells(chunk: Chunk, field: Field) -> Sequence[Any]:
    """Return the cells of a column as a record holds them: texts as written, None for null, and arrays.

    A cell that names a file is `linked.Linked`, which `linked.made` reads. Raises `SourceError`, naming file, row and
    column, for a value that is no cell of such a field.
    """
    values = chunk.columns[field.name]
    if field.kind in linked.KINDS and _are_names(values):
        return linked.links(chunk, field, texts(chunk, field.name))
    if field.kind == "image":
        return [
            None if value is None else record.image(value, chunk, i, field.name)
            for i, value in enumerate(record.cells(values))
        ]
    if field.kind == "series":
        return [None if value is None else np.asarray(value) for value in record.cells(values)]
    return column(chunk, field.name)


def arrays_of(chunk: Chunk, field: Field) -> Iterator[tuple[int, Any]]:
    """Yield the row, from 0, and the array of each cell of a column of images or series that is not null."""
    for i, cell in enumerate(cells(chunk, field)):
        if cell is not None:
            yield i, cell.read() if isinstance(cell, linked.Linked) else cell


def linked_cells(opened: Sequence[Rows], fields: Sequence[Field]) -> Iterator[linked.Linked | None]:
    """Yield the cells of all columns that name files."""
    for rows in opened:
        for one in fields:
            if one.kind in linked.KINDS and is_text(rows.types[one.name]):
                for chunk in rows.chunks([one.name]):
                    yield from cells(chunk, one)


def _are_names(values: Any) -> bool:
    if isinstance(values, pa.ChunkedArray):
        return is_text(values.type)
    if isinstance(values, list):
        return all(value is None or isinstance(value, str) for value in values)
    return isinstance(values, Cells)


def column(chunk: Chunk, name: str) -> Cells:
    """Return the texts of a column's cells. Raises `SourceError`, naming file, row and column."""
    values = chunk.columns[name]
    if isinstance(values, pa.ChunkedArray):
        _check_text(values.type, chunk, name)
        try:
            values = column_of(values)
        except UnicodeDecodeError:
            raise SourceError(f"{chunk.place(0)} or soon after: {name!r} is not UTF-8") from None
    found = values if isinstance(values, Cells) else Cells.of(texts(chunk, name))
    oversize.check_sizes(found.sizes, chunk, name)
    return found


def texts(chunk: Chunk, column: str) -> Sequence[str | None]:
    """Return the texts of a column's cells, None for null. Raises `SourceError`, naming file, row and column."""
    values = chunk.columns[column]
    if isinstance(values, Cells):
        oversize.check_sizes(values.sizes, chunk, column)
        return values.tolist()
    if isinstance(values, pa.ChunkedArray):
        _check_text(values.type, chunk, column)
        try:
            values = written(values)
        except UnicodeDecodeError:
            raise SourceError(f"{chunk.place(0)} or soon after: {column!r} is not UTF-8") from None
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if set(map(type, values)) <= _TEXTS:
        longest = max((len(value) for value in values if value is not None), default=0)
        if longest > oversize.LONGEST // 4:  # of bytes, of which a character has at most 4
            oversize.check_sizes(Cells.of(values).sizes, chunk, column)
        return values  # type: ignore[no-any-return]
    return [_spelled(value, chunk, i, column) for i, value in enumerate(values)]


def _check_text(kind: pa.DataType, chunk: Chunk, name: str) -> None:
    if not has_text(kind):
        raise SourceError(f"{chunk.name}: column {name!r} is {kind}; expected one value a cell, or a list of texts")


def _spelled(value: Any, chunk: Chunk, i: int, column: str) -> str | None:
    """Return a value of JSON as a text: a number or a truth value as JSON spells it."""
    if value is None or isinstance(value, str):
        return value
    if type(value) in (bool, int) or (type(value) is float and math.isfinite(value)):
        return json.dumps(value)
    met = type(value).__name__
    raise SourceError(f"{chunk.place(i)}: {column!r} is a value of type {met}; expected a text, a number or null")


def check_columns(rows: Rows, fields: Sequence[Field], others: Sequence[str], table: str = "") -> None:
    """Raise `MissingColumn` or `SourceError` unless the columns are those of `fields`, with cells of their kinds.

    The columns `others` may be there or not: dropped and kept ones, and that of the unit. With the name of the `table`
    of data that the rows are of, a column may be called after it too, as `labs.value`.
    """
    before = f"{table}." if table else ""
    names = [field.name for field in fields]
    missing = [name for name in names if name not in rows.types]
    known = {*names, *others, *(name.removeprefix(before) for name in others)}
    unseen = [name for name in rows.types if name not in known]
    if missing:
        question = near(missing[0], unseen) if len(missing) <= len(names) / 2 else ""  # else they are other records
        raise MissingColumn(
            f"{rows.name} has no column {listed(missing)}, which the schema names; it has {listed(list(rows.types))}",
            hint=f"{question} Then rename it to {missing[0]!r} in the file" if question else _OTHERS,
        )
    if unseen:
        drop = " ".join(f"--drop {shlex.quote(before + name)}" for name in unseen[:_MANY])
        raise SourceError(
            f"{rows.name} has columns that the schema does not name: {listed(unseen)}; "
            "columns unseen at fit are refused",
            hint=f"{drop}{' ...' if len(unseen) > _MANY else ''} leaves them out",
        )
    for field in fields:
        kind = rows.types[field.name]
        arrays = field.kind in linked.KINDS
        if not (is_text(kind) or record.FITS[field.kind](kind) if arrays else has_text(kind)):
            raise SourceError(f"{rows.name}: column {field.name!r} is {kind}; expected a column of kind {field.kind}")

"""How rows become records: each value of a column, each row of number columns, or an input as a whole."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ult.codecs.cells import Cells
from ult.data import record, wide
from ult.data.array import ArrayRows
from ult.data.batch import Batch, Where, joined, size_of
from ult.data.molecules.molecule import sides
from ult.data.rows import CHUNK_BYTES, Chunk, Rows, listed
from ult.data.text import JsonlRows
from ult.errors import MissingColumn, SourceError


@dataclass(frozen=True, slots=True)
class Form:
    """How rows become records: each value of `column` (or its `side`), each row of `fields`, or `whole` inputs."""

    modality: str
    column: str
    fields: tuple[str, ...] = ()
    whole: bool = False
    side: str | None = None

    @classmethod
    def of(cls, rows: Rows, modality: str, column: str | None, keep: Sequence[str]) -> Form:
        """Return the form of `rows`, the first input; raise `SourceError` or `MissingColumn` if it holds no records."""
        if modality != "series":
            column = record.choose(rows, modality, keep) if column is None else column
            if not record.fits(rows, modality, column):
                raise SourceError(
                    f"{rows.name}: column {column!r} is {rows.types[column]}; expected {modality} records"
                )
            if modality == "image" and isinstance(rows, ArrayRows):
                rows.check_images(column)
            return cls(modality, column)
        others = {name: kind for name, kind in rows.types.items() if name not in keep}
        if column is None and isinstance(rows, ArrayRows):
            column = _only_array(rows, others)
        if column is None and rows.fields:
            return cls(modality, record.COLUMN[modality], tuple(rows.fields))
        if column is None and not any(map(record.is_series, others.values())):
            return cls(modality, record.COLUMN[modality], wide.fields(rows, others))
        column = record.choose(rows, modality, keep) if column is None else column
        if record.fits(rows, modality, column):
            return cls(modality, column)
        if not rows.texts and not record.is_number(rows.types[column]):
            raise SourceError(f"{rows.name}: column {column!r} is {rows.types[column]}; expected numbers")
        if keep:
            raise SourceError(
                f"{rows.name}: column {column!r} is one record, so {listed(keep)} has no value for it to keep",
                hint="leave out --column, and every row is a record",
            )
        return cls(modality, column, whole=True)

    def check_same(self, first: Rows, rows: Rows, keep: Sequence[str]) -> None:
        """Raise `SourceError` or `MissingColumn` unless `rows` has the columns of `first`, with the same types."""
        rows.check_columns(self.fields or [self.column])
        known = {*self.fields, *keep}
        if self.fields and (more := [name for name in rows.fields or rows.types if name not in known]):
            raise SourceError(
                f"{rows.name} has columns that {first.name} has not: {listed(more)}; expected the same values a record"
            )
        for name in self.fields or [self.column]:
            kind, other = first.types[name], rows.types[name]
            if kind != other and not isinstance(rows, JsonlRows) and not self._alike(kind, other):
                raise SourceError(
                    f"column {name!r} is {kind} in {first.name} and {other} in {rows.name}; expected one type"
                )
        if self.modality == "image" and isinstance(rows, ArrayRows):
            rows.check_images(self.column)

    def _alike(self, kind: pa.DataType, other: pa.DataType) -> bool:
        """Return whether two column types are interchangeable: both fit the modality, or both are numbers."""
        fits = record.is_number if self.fields or self.whole else record.FITS[self.modality]
        return fits(kind) and fits(other)

    def left_out(self, opened: Sequence[Rows], keep: Sequence[str]) -> list[str]:
        """Return the columns of the inputs that are no part of a record and are not kept."""
        used = {*(self.fields or [self.column]), *keep}
        there = dict.fromkeys(name for rows in opened for name in rows.types if name not in rows.made)
        return [name for name in there if name not in used]

    def batches(self, rows: Rows, schema: pa.Schema) -> Iterator[Batch]:
        """Yield the records of one input, with the kept columns as `schema`."""
        if self.whole:
            values = [record.numbers(chunk, self.column) for chunk in rows.chunks([self.column])]
            place = Chunk(rows.name, 1, {}, 1, names=(f"{rows.name}, column {self.column!r}",))
            yield Batch([np.concatenate(values)], schema.empty_table(), Where(((place, 0, 1),)))
            return
        read = rows.blocks if self.modality == "text" else rows.chunks
        for chunk in read([*(self.fields or [self.column]), *schema.names]):
            texts = record.whole_texts(chunk, self.column) if self.modality == "text" else None
            kept = record.kept(chunk, schema)
            yield from self._bounded(chunk, kept) if texts is None else self._cut(chunk, texts, kept)

    def _cut(self, chunk: Chunk, texts: Cells, kept: pa.Table) -> Iterator[Batch]:
        """Yield the texts of a chunk with their rows of `kept`, in batches of about `CHUNK_BYTES` at most."""
        first = 0
        for some in texts.cut(len(texts), CHUNK_BYTES):
            runs = ((chunk.without_values(), first, len(some)),)
            yield Batch(some, kept.slice(first, len(some)), Where(runs, self.fields))
            first += len(some)

    def _bounded(self, chunk: Chunk, kept: pa.Table) -> Iterator[Batch]:
        """Yield the records of a chunk with their rows of `kept`, in batches of about `CHUNK_BYTES` at most."""
        pending: list[Any] = []
        first = size = 0

        def batch() -> Batch:
            runs = ((chunk.without_values(), first, len(pending)),)
            return Batch(pending, kept.slice(first, len(pending)), Where(runs, self.fields))

        for item in self._records(chunk):
            pending.append(item)
            size += size_of(item)
            if size >= CHUNK_BYTES:
                yield batch()
                first, pending, size = first + len(pending), [], 0
        if pending:
            yield batch()

    def _records(self, chunk: Chunk) -> Iterator[Any]:
        if self.fields:
            return record.wide(chunk, self.fields)
        records = record.records(chunk, self.modality, self.column)
        return records if self.side is None else sides(records, self.side, chunk)


@dataclass(frozen=True, slots=True)
class Unread:
    """A piece of the records that has not been read yet; it can be pickled and sent to another process."""

    rows: ClassVar[None] = None  # the number of records is not known before they are read
    parts: tuple[Rows, ...]
    form: Form
    schema: pa.Schema

    def read(self) -> Batch:
        """Return the records; raise what reading them from a `Source` raises."""
        return joined([Batch([], self.schema.empty_table()), *self.batches()])

    def batches(self) -> Iterator[Batch]:
        """Yield the records as they are read, so that few of them are in memory at once."""
        return (batch for rows in self.parts for batch in self.form.batches(rows, self.schema))


def unread(opened: Sequence[Rows], form: Form, schema: pa.Schema, nbytes: int) -> Iterator[Unread]:
    """Yield pieces of about `nbytes` bytes of inputs that can be split."""
    pending: list[Rows] = []
    size = 0
    for rows in opened:
        for part in rows.split(nbytes):
            pending.append(part)
            size += part.nbytes
            if size >= nbytes:
                yield Unread(tuple(pending), form, schema)
                pending, size = [], 0
    if pending:
        yield Unread(tuple(pending), form, schema)


def _only_array(rows: ArrayRows, others: dict[str, pa.DataType]) -> str:
    series = [name for name, kind in others.items() if record.is_series(kind) or record.is_number(kind)]
    if len(series) == 1:
        return series[0]
    met = f"{len(series)} arrays of series: {listed(series)}" if series else "no array of series, 1-D or 2-D numbers"
    raise MissingColumn(
        f"{rows.name} has {met}; expected to be told which" if series else f"{rows.name} has {met}",
        hint=f"--column {shlex.quote(series[0])}" if series else "",
    )


def kept_schema(opened: Sequence[Rows], keep: Sequence[str]) -> pa.Schema:
    """Return names and types of the kept columns that hold those of all inputs; raise `SourceError` if none can."""
    schema = opened[0].kept_schema(keep)
    for rows in opened[1:]:
        try:
            schema = record.common_schema(schema, rows.kept_schema(keep))
        except pa.ArrowException:
            raise SourceError(f"a kept column of {rows.name} has another type than in {opened[0].name}") from None
    return schema

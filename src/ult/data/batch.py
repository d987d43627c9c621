"""A batch of records that were read, and the place of each in the inputs, for errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns
from ult.data.rows import Chunk
from ult.errors import InvalidRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ult.codecs.base import Codec


@dataclass(frozen=True, slots=True)
class Where:
    """Where the records of a batch stand in the inputs.

    `runs` are (chunk, first row, number of rows); `fields` the names of a record's values. `order` is the row of each
    record, if the records are not all rows in order; an index past the rows is a record that no input holds.
    """

    runs: tuple[tuple[Chunk, int, int], ...] = ()
    fields: tuple[str, ...] = ()
    order: Sequence[int] | None = None

    def place(self, i: int, value: int | None = None) -> str:
        """Return the place of record `i` (from 0): file, row and, with `value` (from 0), the name of that column."""
        column = f", column {self.fields[value]!r}" if value is not None and value < len(self.fields) else ""
        row = i if self.order is None else int(self.order[i])
        for chunk, first, length in self.runs:
            if row < length:
                return chunk.place(first + row) + column
            row -= length
        return f"record {i + 1}{column}"

    def taken(self, order: Sequence[int]) -> Where:
        """Return the places of the records with indices `order`."""
        rows = order if self.order is None else [self.order[i] if i < len(self.order) else sys.maxsize for i in order]
        return replace(self, order=rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and the kept columns with one row per record."""

    records: Sequence[Any]
    kept: pa.Table
    where: Where = field(default_factory=Where)

    @property
    def rows(self) -> int:
        """The number of records."""
        return len(self.records)

    @property
    def size(self) -> int:
        """About how many bytes the records have."""
        if isinstance(self.records, Columns | Cells):
            return int(self.records.sizes.sum())
        return sum(map(size_of, self.records))

    def read(self) -> Batch:
        """Return the batch itself; `Unread.read` has the same interface."""
        return self

    def batches(self) -> Iterator[Batch]:
        """Yield the batch itself; `Unread.batches` has the same interface."""
        yield self


def size_of(item: Any) -> int:
    """Return about how many bytes a record has."""
    if isinstance(item, tuple):
        try:
            return 8 * len(item) + len("".join(filter(None, item)))  # texts and nulls, most often
        except (TypeError, ValueError):
            return 8 * len(item) + sum(map(size_of, item))
    return len(item) if isinstance(item, str | bytes) else 0 if item is None else int(item.nbytes)


def joined(batches: list[Batch]) -> Batch:
    """Return the records of all batches as one batch."""
    filled = [batch.records for batch in batches if len(batch.records)]
    if filled and all(isinstance(records, Columns) for records in filled):
        records: Sequence[Any] = Columns.concatenate(filled)  # type: ignore[arg-type]
    elif filled and all(isinstance(records, Cells) for records in filled):
        records = Cells.concatenate(filled)  # type: ignore[arg-type]
    else:
        records = [record for records in filled for record in records]
    where = replace(batches[-1].where, runs=tuple(run for batch in batches for run in batch.where.runs))
    return Batch(records, pa.concat_tables(batch.kept for batch in batches).combine_chunks(), where)


def blamed(error: InvalidRecord, codec: Codec[Any], batches: Iterable[Batch]) -> InvalidRecord:
    """Return an `InvalidRecord` with the place of the first record that `codec` refuses, or `error` if none is."""
    for batch in batches:
        for i, record in enumerate(batch.records):
            try:
                codec.encode(record)
            except InvalidRecord as refusal:
                what = refusal.what
                if refusal.value is not None and refusal.value < len(batch.where.fields):  # the place names it
                    what = what.removeprefix(f"{batch.where.fields[refusal.value]!r}: ")
                return InvalidRecord(f"{batch.where.place(i, refusal.value)}: {what}", hint=refusal.hint)
    return error

"""Some records that were read, and where each of them stands in the inputs, for errors."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ult.data.rows import Chunk
from ult.errors import InvalidRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ult.codecs.base import Codec


@dataclass(frozen=True, slots=True)
class Where:
    """Where records stand: runs of rows, each with its first and their number, and the names of a record's values.

    `order` says which of those rows each record is, if not all in turn; one beyond them was not read from an input.
    """

    runs: tuple[tuple[Chunk, int, int], ...] = ()
    fields: tuple[str, ...] = ()
    order: Sequence[int] | None = None

    def place(self, i: int, value: int | None = None) -> str:
        """Return where record `i` stands, and its value number `value`, both counted from 0."""
        column = f", column {self.fields[value]!r}" if value is not None and value < len(self.fields) else ""
        row = i if self.order is None else int(self.order[i])
        for chunk, first, length in self.runs:
            if row < length:
                return chunk.place(first + row) + column
            row -= length
        return f"record {i + 1}{column}"

    def taken(self, order: Sequence[int]) -> Where:
        """Return where the records `order` of these stand."""
        rows = order if self.order is None else [self.order[i] if i < len(self.order) else sys.maxsize for i in order]
        return replace(self, order=rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records, and the kept columns with a row a record."""

    records: list[Any]
    kept: pa.Table
    where: Where = field(default_factory=Where)

    @property
    def rows(self) -> int:
        """How many records there are."""
        return len(self.records)

    def read(self) -> Batch:
        """Return the batch itself: it is read already."""
        return self


def joined(batches: list[Batch]) -> Batch:
    """Return all records as one batch."""
    records = [record for batch in batches for record in batch.records]
    where = replace(batches[-1].where, runs=tuple(run for batch in batches for run in batch.where.runs))
    return Batch(records, pa.concat_tables(batch.kept for batch in batches).combine_chunks(), where)


def blamed(error: InvalidRecord, codec: Codec[Any], batches: Iterable[Batch]) -> InvalidRecord:
    """Return what to raise for `error`: the same of the first record that `codec` refuses, with where it stands."""
    for batch in batches:
        for i, record in enumerate(batch.records):
            try:
                codec.encode(record)
            except InvalidRecord as found:
                return InvalidRecord(f"{batch.where.place(i, found.value)}: {found.what}", hint=found.hint)
    return error

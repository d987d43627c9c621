"""Cut a stream of records into batches, and refuse a single record or a data frame given in place of records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns
from ult.errors import InvalidRecord

BATCH = 1024  # records in a batch, at most
BATCH_BYTES = 2**22  # a batch ends with the record that brings it to this many bytes


COLUMNS_BATCH = 2**14  # of records by column, of which many are encoded together at little cost


def batched(records: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """Yield the records in lists of at most `BATCH` records and about `BATCH_BYTES` bytes; `Columns`, `Cells` stay so.

    Of these there are at most `COLUMNS_BATCH` in a batch.
    """
    if isinstance(records, Columns | Cells):
        yield from records.cut(COLUMNS_BATCH, BATCH_BYTES)
    elif isinstance(records, list):
        for first in range(0, len(records), BATCH):
            batch = records[first : first + BATCH]
            texts = set(map(type, batch)) == {str}
            yield from [batch] if texts and sum(map(len, batch)) < BATCH_BYTES else _batched(batch)
    else:
        yield from _batched(records)


def _batched(records: Iterable[Any]) -> Iterator[list[Any]]:
    batch, size = list[Any](), 0
    for record in records:
        batch.append(record)
        size += _size(record)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(record: Any) -> int:
    """Return about how many bytes a record has: characters of texts, bytes of arrays, the cells of a tuple together."""
    if isinstance(record, str):
        return len(record)
    if isinstance(record, tuple):
        return sum(map(_size, record))
    return int(getattr(record, "nbytes", 0))


def check_many(records: object) -> None:
    """Raise `InvalidRecord` if `records` is a single record, or a data frame or mapping (iterating it gives names)."""
    if isinstance(records, str | bytes):
        raise InvalidRecord(f"records are one {type(records).__name__}; expected several records", hint="[record]")
    if not isinstance(records, Iterable):
        raise InvalidRecord(f"records are of type {type(records).__name__}; expected several records", hint="a list")
    if isinstance(records, Mapping) or (
        hasattr(records, "columns") and not isinstance(records, Columns)
    ):  # iterating either yields its column names
        raise InvalidRecord(
            f"records are a {type(records).__name__}, which has columns; expected the records of one column",
            hint='frame["text"], or whatever the column is called',
        )

"""Several records: never one alone, in lists that are small enough to encode together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ult.errors import InvalidRecord

BATCH = 1024  # records encoded together, at most
BATCH_BYTES = 2**22  # a batch is closed once its records hold so many


def batched(records: Iterable[Any]) -> Iterator[list[Any]]:
    """Give the records in lists that are small enough to encode together, or of one."""
    batch, size = [], 0
    for record in records:
        batch.append(record)
        size += len(record) if isinstance(record, str) else getattr(record, "nbytes", 0)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def check_many(records: object) -> None:
    """Raise `InvalidRecord` if records are a single one, or a table whose columns would be taken for records."""
    if isinstance(records, str | bytes):
        raise InvalidRecord(f"records are one {type(records).__name__}; expected several records", hint="[record]")
    if isinstance(records, Mapping) or hasattr(records, "columns"):  # which gives names, one after the other
        raise InvalidRecord(
            f"records are a {type(records).__name__}, a table of columns; expected the records of one of them",
            hint='table["text"], or whatever its column is called',
        )

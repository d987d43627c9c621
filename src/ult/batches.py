"""Records in lists that are small enough to encode together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

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

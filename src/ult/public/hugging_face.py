"""Shards as Hugging Face datasets: records between end ids, for a collator and a `Trainer` that know of none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.manifest import IDS, Manifest
from ult.public.vocabulary import EOS

LEAST = 4  # ids at once, as of a training


class Parts(Protocol):
    """What is read of a shards folder, as `ult.public.shards.Shards` reads it: tables of ids, a part at a time."""

    @property
    def manifest(self) -> Manifest:
        """What the folder says of itself."""

    def part(self, number: int) -> pa.Table:
        """Return one part."""

    def parts(self) -> Iterator[pa.Table]:
        """Yield all parts in order."""


def to_datasets(shards: Parts, *, context: int | None = None, streaming: bool = False) -> Any:
    """Return what `Shards.to_datasets` says."""
    with require("datasets", extra="train"):
        import datasets
    if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < LEAST):
        raise InvalidConfig(f"context is {context!r}; expected an integer of at least {LEAST}, or None")
    if not streaming:
        parts = [framed(part, context) for part in shards.parts()]
        return datasets.Dataset(datasets.table.InMemoryTable(pa.concat_tables(parts)))
    numbers = list(range(len(shards.manifest.parts)))  # a list, by which workers share them
    features = datasets.Features.from_arrow_schema(framed(shards.part(0), context).schema)
    given = {"shards": shards, "numbers": numbers, "context": context}
    return datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs=given)


def _rows(shards: Parts, numbers: Sequence[int], context: int | None) -> Iterator[dict[str, Any]]:
    for number in numbers:
        yield from framed(shards.part(number), context).to_pylist()


def framed(part: pa.Table, context: int | None = None) -> pa.Table:
    """Return a part of shards with `<eos>` before and after each record, its other columns as they are.

    With `context` (at least 2), what is longer is cut into pieces of so many ids at most, a row each, which begin with
    the last id of the piece before: so every id after the first is predicted once.
    """
    column = part[IDS].combine_chunks()
    ids, lengths = column.flatten().to_numpy(), column.value_lengths().to_numpy().astype(np.int64)
    ends, rows = np.cumsum(lengths), np.arange(len(lengths))
    flat = np.full(len(ids) + 2 * len(ends), EOS, np.int32)
    flat[np.arange(len(ids)) + 2 * np.repeat(rows, lengths) + 1] = ids
    lengths, starts = lengths + 2, ends - lengths + 2 * rows
    if context is not None:
        flat, lengths, rows = _cut(flat, starts, lengths, context)
        part = part.take(pa.array(rows))
    offsets = pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))
    return part.set_column(part.schema.get_field_index(IDS), IDS, pa.ListArray.from_arrays(offsets, pa.array(flat)))


def _cut(
    flat: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int64], context: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids of all pieces, the length of each and the row that it is of."""
    pieces = -(-(lengths - 1) // (context - 1))  # of at least 2 ids, so at least one
    rows = np.repeat(np.arange(len(lengths)), pieces)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # within its row
    skipped = number * (context - 1)
    sizes = np.minimum(context, lengths[rows] - skipped)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return flat[np.repeat(starts[rows] + skipped, sizes) + within], sizes, rows

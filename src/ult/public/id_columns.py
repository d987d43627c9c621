"""Ids as a column of Arrow: ids to rows of a part, and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.public.manifest import CONTROL, IDS
from ult.public.vocabulary import Vocabulary


def check_kept(kept: pa.Schema) -> None:
    """Raise `InvalidConfig` unless the columns can stand beside the ids."""
    if IDS in kept.names:
        raise InvalidConfig(f"column {IDS!r} cannot be kept: it is the name of the ids", hint="rename it")
    if len(set(kept.names)) < len(kept.names):
        raise InvalidConfig("a column is kept twice")
    if hidden := [name for name in kept.names if CONTROL.search(name)]:
        raise InvalidConfig(f"column {hidden[0]!r} has control characters in its name", hint="rename it")


def shards_schema(kept: pa.Schema) -> pa.Schema:
    """Return the names and types of a part's columns."""
    return pa.schema([pa.field(IDS, pa.list_(pa.int32())), *kept])


def ids_table(
    ids: NDArray[np.uint32], ends: NDArray[np.int64], kept: pa.Table | None, vocabulary: Vocabulary, schema: pa.Schema
) -> pa.Table:
    """Return rows of a part: records, whose ids end at `ends` in `ids` (n,), and beside them `kept`, of `schema`."""
    if ids.size and int(ids.max()) >= vocabulary.size:
        raise InvalidConfig(f"an id is outside the vocabulary of {vocabulary.size}")
    offsets = np.append(0, ends).astype(np.int32)
    column = pa.ListArray.from_arrays(_numbers(offsets), _numbers(ids.view(np.int32)))
    columns = [column, *((kept[name] for name in schema.names) if kept is not None else ())]
    return pa.table(columns, schema=shards_schema(schema))


def _numbers(values: NDArray[np.int32]) -> pa.Array:
    """Return the numbers (n,) as Arrow has them, of the same memory; `pa.array` would import pandas for it."""
    return pa.Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def record_ids(table: pa.Table) -> list[NDArray[np.uint32]]:
    """Return the ids (n,) uint32 of each row of a part."""
    found, ends = ragged_ids(table)
    ids, stops = found.copy(), ends.tolist()
    return [ids[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


def ragged_ids(table: pa.Table) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the ids (n,) of a part, one row after the other, and where each row ends in them (r,) int64.

    The ids may lie in the memory of the part, which cannot be written to.
    """
    lengths = [np.diff(_as_numpy(chunk.offsets)) for chunk in table[IDS].chunks]
    ends = np.cumsum(np.concatenate([np.empty(0, np.int64), *lengths]), dtype=np.int64)
    return flat_ids(table).view(np.uint32), ends


def count_ids(table: pa.Table) -> int:
    """Return how many ids the rows of a part have."""
    return sum(len(_flat(chunk)) for chunk in table[IDS].chunks)


def flat_ids(table: pa.Table) -> NDArray[np.int32]:
    """Return the ids (n,) int32 of a part, one row after the other, perhaps in the memory of the part."""
    chunks = [_as_numpy(_flat(chunk)) for chunk in table[IDS].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, np.int32), *chunks])


def _flat(chunk: pa.ListArray) -> pa.Array:
    """Return the values of lists, one list after the other; `flatten` would import all of Arrow's functions."""
    if chunk.null_count or not len(chunk):
        return chunk.flatten()
    first, last = chunk.offsets[0].as_py(), chunk.offsets[len(chunk)].as_py()
    return chunk.values.slice(first, last - first)


def _as_numpy(values: pa.Array) -> NDArray[np.int32]:
    """Return numbers (n,) of the same memory; `to_numpy` would import pandas, and is for others than whole int32."""
    if values.type != pa.int32() or values.null_count:
        return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
    if not len(values):  # which may have no memory
        return np.empty(0, np.int32)
    return np.frombuffer(values.buffers()[1], np.int32, len(values), 4 * values.offset)

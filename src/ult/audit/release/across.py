"""Columns in the clear of several shards, combined: whoever holds all of them can join the columns of a record.

Records of shards of one table are joined by their ids. If few have the same ids and the shards have equally many
records, they are assumed to be in the same order, as shards encoded from the same file are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ult.audit.release.kept import Groups, KeptColumn, combination, hashed, mixed, shown
from ult.public.shards import Shards

MOST = 8  # shards up to which all pairs are tried
LINKED = 0.5  # share of the smaller shards' records that ids must join; with fewer, their order does
Hashes = NDArray[np.uint64]


def describe_across(many: Sequence[Shards]) -> list[KeptColumn]:
    """Return what the combined columns show, for each pair of shards and for all; equal sets of columns are left out.

    Each of the shards is read once; memory is 8 bytes per record and column. Raises `FormatError` as `Shards.parts`.
    """
    folders = [shards for shards in many if shards.manifest.kept and shards.manifest.rows]
    if len({shards.manifest.kept for shards in folders}) < 2:
        return []
    read = [_read(shards) for shards in folders]
    pairs = list(combinations(range(len(folders)), 2)) if len(folders) <= MOST else []
    asked = [*pairs, tuple(range(len(folders)))] if len(folders) > 2 or not pairs else pairs
    return [column for some in asked if (column := _together([folders[k] for k in some], [read[k] for k in some]))]


def _read(shards: Shards) -> tuple[Hashes, dict[str, Hashes]]:
    """Return hashes (records,) of the ids of each record, and of its value in each column."""
    keys = np.array(
        [int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest(), "little") for ids in shards.ids()],
        np.uint64,
    )
    parts = [{name: hashed(part[name])[0] for name in shards.manifest.kept} for part in shards.parts()]
    return keys, {name: np.concatenate([part[name] for part in parts]) for name in shards.manifest.kept}


def _together(many: Sequence[Shards], read: Sequence[tuple[Hashes, dict[str, Hashes]]]) -> KeptColumn | None:
    """Return what the columns of all `many` show together, for the records in all of them; None if one has them all."""
    named = [set(shards.manifest.kept) for shards in many]
    if any(set().union(*named) == names for names in named):
        return None
    rows = _linked(many, [keys for keys, _ in read])
    if rows is None:
        return None
    groups = Groups()
    groups.add(mixed([values[at] for (_, columns), at in zip(read, rows, strict=True) for values in columns.values()]))
    names = tuple(f"{shards.path.name}: {name}" for shards in many for name in shards.manifest.kept)
    of = " and of ".join(f"{', '.join(map(shown, each.manifest.kept))} of {shown(each.path.name)}" for each in many)
    return combination(names, f"{of}, of the same records, together", groups)


def _linked(many: Sequence[Shards], keys: Sequence[Hashes]) -> list[NDArray[np.int64]] | None:
    """Return the indices (n,) of the same n records in each of the shards; None if they cannot be joined."""
    if len({shards.manifest.table for shards in many}) == 1:
        unique = []
        for of_shards in keys:
            values, counts = np.unique(of_shards, return_counts=True)
            unique.append(values[counts == 1])
        shared = unique[0]
        for values in unique[1:]:
            shared = np.intersect1d(shared, values)
        if len(shared) >= max(1, LINKED * min(map(len, keys))):
            return [_places(of_shards, shared) for of_shards in keys]
    if len({len(of_shards) for of_shards in keys}) == 1:
        return [np.arange(len(of_shards)) for of_shards in keys]
    return None


def _places(keys: Hashes, wanted: Hashes) -> NDArray[np.int64]:
    """Return the index in `keys` of each of `wanted`."""
    order = np.argsort(keys)
    return np.asarray(order[np.searchsorted(keys, wanted, sorter=order)])

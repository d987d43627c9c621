"""What columns of several shards show together: whoever holds all of them puts the columns of a record side by side.

Records are the same where they have the same ids, which shards of one table show; where few have, and there are as many
of both, they are taken to stand in one order, as shards do that were encoded of the same file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ult.audit.release.kept import Groups, KeptColumn, combination, hashed, mixed, shown
from ult.public.shards import Shards

MOST = 8  # shards, of which all pairs are tried
LINKED = 0.5  # of the records of the smaller shards, which ids must link; else their order does
Hashes = NDArray[np.uint64]


def describe_across(many: Sequence[Shards]) -> list[KeptColumn]:
    """Return what columns of any two shards show together, and of all; no two say the same columns alone.

    Each of the shards is read once, and 8 bytes a record and column are held. Raises `FormatError` as `Shards.parts`.
    """
    held = [one for one in many if one.manifest.kept and one.manifest.rows]
    if len({one.manifest.kept for one in held}) < 2:
        return []
    read = [_read(one) for one in held]
    pairs = list(combinations(range(len(held)), 2)) if len(held) <= MOST else []
    asked = [*pairs, tuple(range(len(held)))] if len(held) > 2 or not pairs else pairs
    return [told for some in asked if (told := _together([held[k] for k in some], [read[k] for k in some]))]


def _read(shards: Shards) -> tuple[Hashes, dict[str, Hashes]]:
    """Return hashes of the ids of each record (rows,), and of its values by column (rows,)."""
    keys = np.array(
        [int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest(), "little") for ids in shards.ids()],
        np.uint64,
    )
    parts = [{name: hashed(part[name])[0] for name in shards.manifest.kept} for part in shards.parts()]
    return keys, {name: np.concatenate([part[name] for part in parts]) for name in shards.manifest.kept}


def _together(many: Sequence[Shards], read: Sequence[tuple[Hashes, dict[str, Hashes]]]) -> KeptColumn | None:
    """Return what the columns show together of the records that stand in all shards, or None if that is no more."""
    named = [set(one.manifest.kept) for one in many]
    if any(set().union(*named) == one for one in named):
        return None
    rows = _linked(many, [keys for keys, _ in read])
    if rows is None:
        return None
    groups = Groups()
    groups.add(mixed([values[at] for (_, columns), at in zip(read, rows, strict=True) for values in columns.values()]))
    names = tuple(f"{one.path.name}: {name}" for one in many for name in one.manifest.kept)
    of = " and of ".join(f"{', '.join(map(shown, one.manifest.kept))} of {shown(one.path.name)}" for one in many)
    return combination(names, f"{of}, of the same records, together", groups)


def _linked(many: Sequence[Shards], keys: Sequence[Hashes]) -> list[NDArray[np.int64]] | None:
    """Return which rows of each shards are the same records, (n,) each; None if nothing tells."""
    if len({one.manifest.table for one in many}) == 1:
        alone = []
        for one in keys:
            values, counts = np.unique(one, return_counts=True)
            alone.append(values[counts == 1])
        shared = alone[0]
        for one in alone[1:]:
            shared = np.intersect1d(shared, one)
        if len(shared) >= max(1, LINKED * min(map(len, keys))):
            return [_places(one, shared) for one in keys]
    if len({len(one) for one in keys}) == 1:
        return [np.arange(len(one)) for one in keys]
    return None


def _places(keys: Hashes, wanted: Hashes) -> NDArray[np.int64]:
    order = np.argsort(keys)
    return np.asarray(order[np.searchsorted(keys, wanted, sorter=order)])

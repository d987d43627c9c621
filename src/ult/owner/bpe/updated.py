"""Merges for further records: phrases that they use are added in place of those that are used least.

A table holds how often each of its units occurred, not what stood beside it. So new phrases are learned from the new
records alone, as they are written with the present merges, and which phrases stay is decided by the occurrences in
both. A phrase can go only if no other one is made of it. Whoever wrote it then writes its two parts, so that many ids
more: the phrase that costs the fewest goes first, until the rest fits.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Patches, Symbols
from ult.owner.bpe.encoder import Segmenter
from ult.owner.bpe.learner import learned
from ult.owner.bpe.patch_table import Holders


class Counted(NamedTuple):
    """The distinct patches of the new records, as `PatchCounts.patches` returns them."""

    symbols: Symbols
    ends: Ends
    weight: NDArray[np.int64]
    holders: Holders


class Updated(NamedTuple):
    """Merges (m, 2) int32, the unit of before that each of the units now was (n,) int64, -1 for new ones, and counts.

    `counts` (n,) int64 are the occurrences of each unit in the records of before, as far as they still count, and in
    the new ones.
    """

    merges: NDArray[np.int32]
    before: NDArray[np.int64]
    counts: NDArray[np.int64]


def updated(
    merges: NDArray[np.int32],
    counts: NDArray[np.int64],
    new: Counted,
    *,
    alphabet: int,
    fixed: int,
    most: int,
    min_records: int,
    longest: int,
) -> Updated:
    """Return at most `most` units for records that used the present ones `counts` (units,) times, and for new records.

    The units below `fixed`, at least the alphabet, stay. `longest` is the most symbols of a patch.
    """
    units = alphabet + len(merges)
    found, stops = _written(merges, new, alphabet, longest)
    room = most - fixed  # as many as can be exchanged
    own, uses = learned(found, stops, new.weight, new.holders, units, room, min_records)
    every = np.concatenate([merges, own])
    old = np.concatenate([counts, np.zeros(len(own), np.int64)])
    stays, old = _trimmed(every, old, uses, alphabet, fixed, units, most)
    place = np.cumsum(stays) - 1
    left = place[every[stays[alphabet:]]].astype(np.int32)
    before = np.where(np.arange(len(stays)) < units, np.arange(len(stays)), -1)[stays]
    found, stops = _written(left, new, alphabet, longest)
    total = old[stays]
    np.add.at(total, found, np.repeat(new.weight, np.diff(stops, prepend=0)))
    return Updated(left, before, total)


def _written(
    merges: NDArray[np.int32], new: Counted, alphabet: int, longest: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return the units (n,) that the patches are written with, and where each patch ends in them (p,)."""
    units = np.arange(alphabet + len(merges), dtype=np.uint32)
    patches = Patches(new.symbols.astype(np.uint32), new.ends, np.arange(1, len(new.ends) + 1))
    found, stops = Segmenter(merges, units, alphabet, longest).ids(patches)
    return found, stops.astype(np.int64)


def _trimmed(
    merges: NDArray[np.int32],
    old: NDArray[np.int64],
    uses: NDArray[np.int64],
    alphabet: int,
    fixed: int,
    units: int,
    most: int,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which units stay (n,), and the occurrences `old` (n,) with those of each that goes given to its parts.

    Of two that are used alike, one of before, a unit below `units`, stays, and of these the earlier one.
    """
    parts = merges.tolist()
    whole, before = (old + uses).tolist(), old.tolist()
    made_of = np.bincount(merges.ravel(), minlength=len(old)).tolist()
    stays = np.ones(len(old), bool)
    heap = [(whole[k], k < units, -k) for k in range(fixed, len(old)) if not made_of[k]]
    heapq.heapify(heap)
    for _ in range(max(0, len(old) - most)):
        _, _, at = heapq.heappop(heap)
        stays[-at] = False
        for part in parts[-at - alphabet]:
            whole[part] += whole[-at]
            before[part] += before[-at]
            made_of[part] -= 1
            if part >= fixed and not made_of[part]:
                heapq.heappush(heap, (whole[part], part < units, -part))
    return stays, np.array(before, np.int64)

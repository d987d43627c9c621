"""Write patches as units, by looking whole patches up: they repeat (Zipf), so only unseen ones are merged.

`phrases.merge` is the plain twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Patches
from ult.hashing import EMPTY, find_key, hash_run, pair_key

NO_MERGE = 2**31 - 1
CACHED = 1 << 16  # patches remembered; beyond that the memory starts afresh


class Merges(NamedTuple):
    """The learned pairs: `slots` finds a pair in `keys`; its place there is its order."""

    slots: NDArray[np.int32]
    keys: NDArray[np.uint64]
    alphabet: int


class Memory(NamedTuple):
    """Patches met before: their symbols, and the units they became. `size` is [patches, symbols, units]."""

    slots: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    symbols: NDArray[np.uint32]
    symbol_ends: NDArray[np.int64]
    units: NDArray[np.int32]
    unit_ends: NDArray[np.int64]
    size: NDArray[np.int64]


class Segmenter:
    """Applies one table's merges; remembers at most `CACHED` patches, and never more than its fixed arrays hold."""

    def __init__(self, merges: NDArray[np.int32], alphabet: int, max_patch: int) -> None:
        slots = np.full(max(16, 1 << (4 * len(merges)).bit_length()), EMPTY, np.int32)
        keys = (merges[:, 0].astype(np.uint64) << np.uint64(32)) | merges[:, 1].astype(np.uint64)
        _fill(slots, keys)
        self._merges = Merges(slots, keys, alphabet)
        room = CACHED * 16 + max_patch
        self._memory = Memory(
            np.full(2 * CACHED, EMPTY, np.int32),
            np.empty(CACHED, np.uint64),
            np.empty(room, np.uint32),
            np.zeros(CACHED + 1, np.int64),
            np.empty(room, np.int32),
            np.zeros(CACHED + 1, np.int64),
            np.zeros(3, np.int64),
        )

    def units(self, patches: Patches) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the units (n,) of all records, and where each record ends in them (r,)."""
        units, ends = _segment(patches.symbols, patches.ends, patches.records, self._merges, self._memory)
        return units, ends


@njit(cache=True)
def _fill(slots: NDArray[np.int32], keys: NDArray[np.uint64]) -> None:
    for k in range(len(keys)):
        slots[find_key(slots, keys, keys[k])] = k


@njit(cache=True)
def _order(merges: Merges, left: int, right: int) -> int:
    k = merges.slots[find_key(merges.slots, merges.keys, pair_key(left, right))]
    return NO_MERGE if k == EMPTY else int(k)


@njit(cache=True)
def _merge(units: NDArray[np.int32], orders: NDArray[np.int32], n: int, merges: Merges) -> int:
    """Merge `units[:n]` in place, earliest merge first, each from left to right; return how many are left.

    `orders[i]` is the order of the pair (i, i + 1). Each round costs one pass over the patch, and shortens it.
    """
    first = NO_MERGE
    for i in range(n - 1):
        orders[i] = _order(merges, units[i], units[i + 1])
        first = min(first, orders[i])
    while first != NO_MERGE:
        joined = merges.alphabet + first
        out = i = 0
        dirty = False  # Whether the unit before `out` is new, so that its pair with the next must be looked up.
        lowest = NO_MERGE
        while i < n:
            unit = units[i]
            fresh = False
            if i + 1 < n and orders[i] == first:
                unit = joined
                fresh = True
            order = orders[i + 1] if fresh and i + 2 < n else (orders[i] if i + 1 < n else NO_MERGE)
            if out > 0:
                if dirty or fresh:
                    orders[out - 1] = _order(merges, units[out - 1], unit)
                lowest = min(lowest, orders[out - 1])
            units[out] = unit
            orders[out] = order
            dirty = fresh
            out += 1
            i += 2 if fresh else 1
        n = out
        first = lowest
    return n


@njit(cache=True)
def _segment(
    symbols: NDArray[np.uint32],
    ends: NDArray[np.int64],
    records: NDArray[np.int64],
    merges: Merges,
    memory: Memory,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    out = np.empty(len(symbols), np.int32)
    out_ends = np.empty(len(records), np.int64)
    longest = 0
    start = 0
    for patch in range(len(ends)):
        longest = max(longest, ends[patch] - start)
        start = ends[patch]
    work = np.empty(longest, np.int32)
    orders = np.empty(longest, np.int32)
    mask = np.uint64(len(memory.slots) - 1)
    size = memory.size
    n = patch = start = 0
    for record in range(len(records)):
        while patch < records[record]:
            end = ends[patch]
            patch += 1
            h = hash_run(symbols, start, end)
            at = h & mask
            known = EMPTY
            while memory.slots[at] != EMPTY:
                k = memory.slots[at]
                if memory.hashes[k] == h and _same(memory, k, symbols, start, end):
                    known = k
                    break
                at = (at + np.uint64(1)) & mask
            if known != EMPTY:
                for i in range(memory.unit_ends[known], memory.unit_ends[known + 1]):
                    out[n] = memory.units[i]
                    n += 1
                start = end
                continue
            length = end - start
            for i in range(length):
                work[i] = symbols[start + i]
            length = _merge(work, orders, length, merges)
            out[n : n + length] = work[:length]
            n += length
            if size[0] == len(memory.hashes) or size[1] + end - start > len(memory.symbols):
                memory.slots[:] = EMPTY
                size[:] = 0
                at = h & mask
            k = size[0]
            memory.slots[at] = k
            memory.hashes[k] = h
            memory.symbols[size[1] : size[1] + end - start] = symbols[start:end]
            memory.units[size[2] : size[2] + length] = work[:length]
            size[0] += 1
            size[1] += end - start
            size[2] += length
            memory.symbol_ends[k + 1] = size[1]
            memory.unit_ends[k + 1] = size[2]
            start = end
        out_ends[record] = n
    return out[:n].copy(), out_ends


@njit(cache=True)
def _same(memory: Memory, k: int, symbols: NDArray[np.uint32], start: int, end: int) -> bool:
    begin = memory.symbol_ends[k]
    if memory.symbol_ends[k + 1] - begin != end - start:
        return False
    return bool((memory.symbols[begin : begin + end - start] == symbols[start:end]).all())

"""Write patches as ids, by looking whole patches up: they repeat (Zipf), so only unseen ones are merged.

`phrases.merge` is the plain twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Patches, Symbols
from ult.hashing import EMPTY, find_key, hash_run, pair_key

NO_MERGE = 2**31 - 1
CACHED = 1 << 16  # patches remembered; beyond that the memory starts afresh
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TAG = np.uint64(0xFFFF)
_EXACT = np.uint64(0x8000)
_LOW = np.uint64(0xFFFFFFFF)


class Merges(NamedTuple):
    """The learned pairs: `slots` finds a pair in `keys`; its place there is its order."""

    slots: NDArray[np.int32]
    keys: NDArray[np.uint64]
    alphabet: int


class Memory(NamedTuple):
    """Patches met before and what they became; `size` is [patches, pooled symbols, pooled ids].

    A row of `slots` is half a cache line, so that most patches cost one visit to memory: the key; a tag of 16 bits,
    the number of ids (16) and the place in `ids` (32); the first two ids; the place in `symbols`. A tag of 0 marks an
    empty row. The key of up to eight bytes is the bytes themselves, and needs no comparison; any other key is a hash,
    and the symbols are compared. A patch has at most 32,767 symbols.
    """

    slots: NDArray[np.uint64]
    symbols: NDArray[np.uint32]
    ids: NDArray[np.uint32]
    size: NDArray[np.int64]


class Segmenter:
    """Writes patches as one table's ids; remembers at most `CACHED` patches, and no more than fixed arrays hold."""

    def __init__(self, merges: NDArray[np.int32], ids: NDArray[np.uint32], alphabet: int, max_patch: int) -> None:
        """Apply `merges` (m, 2) over `alphabet`; `ids` (units,) are written for the units."""
        slots = np.full(max(16, 1 << (4 * len(merges)).bit_length()), EMPTY, np.int32)
        keys = (merges[:, 0].astype(np.uint64) << np.uint64(32)) | merges[:, 1].astype(np.uint64)
        _fill(slots, keys)
        self._merges, self._ids = Merges(slots, keys, alphabet), ids
        room = CACHED * 16 + max_patch
        self._memory = Memory(
            np.zeros((4 * CACHED, 4), np.uint64),
            np.empty(room, np.uint32),
            np.empty(room, np.uint32),
            np.zeros(3, np.int64),
        )

    def ids(self, patches: Patches) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids (n,) of all records, and where each record ends in them (r,)."""
        ids, ends = _segment(patches.symbols, patches.ends, patches.records, self._merges, self._ids, self._memory)
        return ids, ends


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
def _tag(symbols: Symbols, start: int, end: int) -> np.uint64:
    """Return the length of a patch, marked if its key is exact."""
    length = np.uint64(end - start)
    return length | _EXACT if symbols.itemsize == 1 and end - start <= 8 else length


@njit(cache=True)
def _key(symbols: Symbols, start: int, end: int) -> np.uint64:
    """Return what a patch is looked up by."""
    if symbols.itemsize > 1 or end - start > 8:
        return np.uint64(hash_run(symbols, start, end))
    key = np.uint64(0)
    for i in range(start, end):
        key = (key << np.uint64(8)) | np.uint64(symbols[i])
    return key


@njit(cache=True)
def _find(memory: Memory, key: np.uint64, symbols: Symbols, start: int, end: int) -> int:
    """Return the row of a patch, or the empty row where it belongs."""
    slots = memory.slots
    mask = np.uint64(len(slots) - 1)
    tag = _tag(symbols, start, end)
    mixed = (key ^ (tag << np.uint64(48))) * _GOLDEN
    at = (mixed ^ (mixed >> np.uint64(32))) & mask
    while True:
        known = slots[at, 1] & _TAG
        if known == 0:
            return int(at)
        found = slots[at, 0] == key and known == tag
        if found and (tag & _EXACT or _same(memory, slots[at, 3], symbols, start, end)):
            return int(at)
        at = (at + np.uint64(1)) & mask


@njit(cache=True)
def _same(memory: Memory, begin: np.uint64, symbols: Symbols, start: int, end: int) -> bool:
    for i in range(end - start):  # noqa: SIM110  # compiled
        if memory.symbols[int(begin) + i] != symbols[start + i]:
            return False
    return True


@njit(cache=True)
def _remember(
    memory: Memory, at: int, key: np.uint64, symbols: Symbols, start: int, end: int, ids: NDArray[np.uint32]
) -> None:
    """Fill row `at` with a patch and its ids."""
    size, length = memory.size, end - start
    memory.symbols[size[1] : size[1] + length] = symbols[start:end]
    memory.ids[size[2] : size[2] + len(ids)] = ids
    second = ids[1] if len(ids) > 1 else ids[0]
    memory.slots[at, 0] = key
    memory.slots[at, 1] = _tag(symbols, start, end) | np.uint64((len(ids) << 16) | (size[2] << 32))
    memory.slots[at, 2] = np.uint64(ids[0]) | (np.uint64(second) << np.uint64(32))
    memory.slots[at, 3] = size[1]
    size[0] += 1
    size[1] += length
    size[2] += len(ids)


@njit(cache=True)
def _segment(
    symbols: Symbols,
    ends: NDArray[np.int64],
    records: NDArray[np.int64],
    merges: Merges,
    unit_ids: NDArray[np.uint32],
    memory: Memory,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    out = np.empty(len(symbols) + 1, np.uint32)  # one more, for the second id that is always written
    out_ends = np.empty(len(records), np.int64)
    longest = 0
    start = 0
    for patch in range(len(ends)):
        longest = max(longest, ends[patch] - start)
        start = ends[patch]
    work = np.empty(longest, np.int32)
    orders = np.empty(longest, np.int32)
    n = patch = start = 0
    for record in range(len(records)):
        while patch < records[record]:
            end = ends[patch]
            patch += 1
            key = _key(symbols, start, end)
            at = _find(memory, key, symbols, start, end)
            about, first_two = memory.slots[at, 1], memory.slots[at, 2]
            if about != 0:
                count = int((about >> np.uint64(16)) & _TAG)
                out[n] = first_two & _LOW
                out[n + 1] = first_two >> np.uint64(32)
                if count > 2:
                    place = int(about >> np.uint64(32))
                    for i in range(2, count):
                        out[n + i] = memory.ids[place + i]
                n += count
                start = end
                continue
            for i in range(end - start):
                work[i] = symbols[start + i]
            count = int(_merge(work, orders, end - start, merges))
            for i in range(count):
                out[n + i] = unit_ids[work[i]]
            if 4 * memory.size[0] >= len(memory.slots) or memory.size[1] + end - start > len(memory.symbols):
                memory.slots[:] = 0
                memory.size[:] = 0
                at = _find(memory, key, symbols, start, end)
            _remember(memory, at, key, symbols, start, end, out[n : n + count])
            n += count
            start = end
        out_ends[record] = n
    return out[:n].copy(), out_ends

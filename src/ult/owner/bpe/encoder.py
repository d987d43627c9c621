"""Write patches as ids. Patches repeat (Zipf's law), so their ids are cached, and merges are applied to new ones only.

`reference.merge` is the same in plain Python; tests compare the two.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Patches, Symbols
from ult.host.kernel import njit
from ult.owner.bpe.hashtable import EMPTY, find_key, hash_run, load8, pair_key

NO_MERGE = 2**31 - 1
CACHED = 1 << 18  # patches in the cache; a full cache is emptied
POOL = 1 << 20  # symbols of long patches in the cache, and ids of patches with more than two, before it is emptied
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_ALL = ~np.uint64(0)
_TAG = np.uint64(0xFFFF)
_EXACT = np.uint64(0x8000)
_LOW = np.uint64(0xFFFFFFFF)


class Merges(NamedTuple):
    """The learned pairs: `keys` lists them in the order they were learned; the hash table `slots` finds one there."""

    slots: NDArray[np.int32]
    keys: NDArray[np.uint64]
    alphabet: int


class Memory(NamedTuple):
    """A cache of patches and their ids; `size` is [patches, used length of `symbols`, used length of `ids`].

    A row of `slots` is half a cache line, so that most patches cost one memory access. Its four 64-bit words are: the
    key; a tag (16 bits), the number of ids (16) and the place in `ids` (32); the first two ids; the place in `symbols`.
    A tag of 0 marks an empty row. The key of a patch of up to eight bytes is the bytes themselves, so equal keys mean
    equal patches. Any other key is a hash; only then `symbols` holds the patch, to be compared. A patch has at most
    32,767 symbols.
    """

    slots: NDArray[np.uint64]
    symbols: NDArray[np.uint32]
    ids: NDArray[np.uint32]
    size: NDArray[np.int64]


class Segmenter:
    """Writes patches as the ids of one table, with a cache of at most `CACHED` patches in arrays of fixed size."""

    def __init__(self, merges: NDArray[np.int32], ids: NDArray[np.uint32], alphabet: int, max_patch: int) -> None:
        """Prepare to apply `merges` (m, 2) over `alphabet`; `ids` (units,) uint32 holds the id of each unit."""
        slots = np.full(max(16, 1 << (4 * len(merges)).bit_length()), EMPTY, np.int32)
        keys = (merges[:, 0].astype(np.uint64) << np.uint64(32)) | merges[:, 1].astype(np.uint64)
        _fill(slots, keys)
        self._merges, self._ids = Merges(slots, keys, alphabet), ids
        self._memory = Memory(
            _rows(2 * CACHED), np.empty(POOL + max_patch, np.uint32), np.empty(POOL + max_patch, np.uint32),
            np.zeros(3, np.int64),
        )  # fmt: skip

    def ids(self, patches: Patches) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return the ids of all records, (n,) uint32, and where each record ends in them, (r,) int64."""
        ids, ends = _segment(patches.symbols, patches.ends, patches.records, self._merges, self._ids, self._memory)
        return ids, ends


def _rows(n: int) -> NDArray[np.uint64]:
    """Return `n` empty rows (n, 4), none of which crosses the border of a cache line."""
    memory = np.zeros(4 * n + 8, np.uint64)
    first = -memory.ctypes.data % 64 // 8
    return memory[first : first + 4 * n].reshape(n, 4)


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
    """Merge `units[:n]` in place, earliest merge first, each from left to right; return how many units remain.

    `orders[i]` says when the pair of units i and i + 1 was learned. Each round is one pass over the patch and makes it
    shorter.
    """
    first = NO_MERGE
    for i in range(n - 1):
        orders[i] = _order(merges, units[i], units[i + 1])
        first = min(first, orders[i])
    while first != NO_MERGE:
        joined = merges.alphabet + first
        out = i = 0
        dirty = False  # whether the last unit written is new, so that its pair with the next one must be looked up
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
def _key(symbols: Symbols, start: np.uint64, end: np.uint64) -> np.uint64:
    """Return the cache key of a patch: its bytes if it has at most eight, otherwise a hash of its symbols."""
    size = end - start
    if symbols.itemsize > 1 or size > _EIGHT:
        return np.uint64(hash_run(symbols, np.int64(start), np.int64(end)))
    if start + _EIGHT <= np.uint64(len(symbols)):
        return np.uint64(load8(symbols, start) & (_ALL >> (_EIGHT * (_EIGHT - size))))
    key = np.uint64(0)
    for i in range(size):
        key |= np.uint64(symbols[start + i]) << (_EIGHT * i)
    return key


@njit(cache=True)
def _find(memory: Memory, key: np.uint64, symbols: Symbols, start: np.uint64, end: np.uint64) -> np.uint64:
    """Return the number of the row that holds a patch, or of the empty row where it belongs."""
    slots = memory.slots
    mask = np.uint64(len(slots)) - _ONE
    tag = _tag(symbols, end - start)
    mixed = (key ^ (tag << np.uint64(48))) * _GOLDEN
    at = (mixed ^ (mixed >> np.uint64(32))) & mask
    while True:
        known = slots[at, 1] & _TAG
        if known == 0:
            break
        found = slots[at, 0] == key and known == tag
        if found and (tag & _EXACT or _same(memory, slots[at, 3], symbols, start, end)):
            break
        at = (at + _ONE) & mask
    return np.uint64(at)


@njit(cache=True)
def _tag(symbols: Symbols, size: np.uint64) -> np.uint64:
    """Return the length of a patch, with the bit `_EXACT` set if its key is the patch itself."""
    return np.uint64(size | _EXACT if symbols.itemsize == 1 and size <= _EIGHT else size)


@njit(cache=True)
def _same(memory: Memory, begin: np.uint64, symbols: Symbols, start: np.uint64, end: np.uint64) -> bool:
    for i in range(end - start):  # noqa: SIM110  # compiled
        if memory.symbols[begin + i] != symbols[start + i]:
            return False
    return True


@njit(cache=True)
def _remember(memory: Memory, at: np.uint64, key: np.uint64, patch: Symbols, ids: NDArray[np.uint32]) -> None:
    """Fill row `at` with a patch and its ids."""
    size, tag = memory.size, _tag(patch, np.uint64(len(patch)))
    second = ids[1] if len(ids) > 1 else ids[0]
    memory.slots[at, 0] = key
    memory.slots[at, 1] = tag | np.uint64((len(ids) << 16) | (size[2] << 32))
    memory.slots[at, 2] = np.uint64(ids[0]) | (np.uint64(second) << np.uint64(32))
    memory.slots[at, 3] = size[1]
    size[0] += 1
    if not tag & _EXACT:
        memory.symbols[size[1] : size[1] + len(patch)] = patch
        size[1] += len(patch)
    if len(ids) > 2:
        memory.ids[size[2] : size[2] + len(ids)] = ids
        size[2] += len(ids)


@njit(cache=True)
def _has_room(memory: Memory, size: int, count: int) -> bool:
    """Return whether the cache has room for a patch of `size` symbols and `count` ids."""
    used = memory.size
    fits = used[1] + size <= len(memory.symbols) and used[2] + count <= len(memory.ids)
    return bool(fits and 2 * used[0] < len(memory.slots))


@njit(cache=True)
def _segment(
    symbols: Symbols,
    ends: NDArray[np.int64],
    records: NDArray[np.int64],
    merges: Merges,
    unit_ids: NDArray[np.uint32],
    memory: Memory,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    out = np.empty(len(symbols) + 1, np.uint32)  # one extra place, because two ids are always written
    out_ends = np.empty(len(records), np.int64)
    longest = np.diff(np.append(0, ends)).max() if len(ends) else 0
    work = np.empty(longest, np.int32)
    orders = np.empty(longest, np.int32)
    n = patch = start = np.uint64(0)
    for record in range(len(records)):
        while patch < np.uint64(records[record]):
            end = np.uint64(ends[patch])
            key = _key(symbols, start, end)
            at = _find(memory, key, symbols, start, end)
            about, first_two = memory.slots[at, 1], memory.slots[at, 2]
            count = (about >> np.uint64(16)) & _TAG
            if about != 0:
                out[n] = first_two & _LOW
                out[n + _ONE] = first_two >> np.uint64(32)
                if count > 2:
                    place = about >> np.uint64(32)
                    for i in range(np.uint64(2), count):
                        out[n + i] = memory.ids[place + i]
            else:
                count = _merged(symbols[start:end], merges, unit_ids, work, orders, out[n:])
                if not _has_room(memory, np.int64(end - start), np.int64(count)):
                    memory.slots[:] = 0
                    memory.size[:] = 0
                    at = _find(memory, key, symbols, start, end)
                _remember(memory, at, key, symbols[start:end], out[n : n + count])
            n += count
            start = end
            patch += _ONE
        out_ends[record] = n
    return out[:n].copy(), out_ends


@njit(cache=True)
def _merged(
    patch: Symbols,
    merges: Merges,
    unit_ids: NDArray[np.uint32],
    work: NDArray[np.int32],
    orders: NDArray[np.int32],
    out: NDArray[np.uint32],
) -> np.uint64:
    """Write the ids of a patch that is not in the cache to `out`; return their number."""
    work[: len(patch)] = patch
    count = _merge(work, orders, len(patch), merges)
    for i in range(count):
        out[i] = unit_ids[work[i]]
    return np.uint64(count)

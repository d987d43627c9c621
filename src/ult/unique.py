"""Unique patches in a hash table: the compiled loops that count them, add counts up, and weigh patches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.hashing import EMPTY, hash_run

ROWS = 3  # of weights; a patch weighs what the lightest of its buckets does
BUCKETS = 1 << 20  # of a row, which goes by 20 bits of the hash of its own
_BUCKET_BITS = np.uint64(20)
_MASK = np.uint64(BUCKETS - 1)


class Holders(NamedTuple):
    """The distinct records that hold each patch: patch k has `held[k]`, in a list from `last[k]` on."""

    held: NDArray[np.int32]
    last: NDArray[np.int32]
    record: NDArray[np.uint64]
    link: NDArray[np.int32]


class Unique(NamedTuple):
    """Patches with their counts and holders; `size` is [patches, pooled symbols, holder nodes], and the rest is room.

    Patch k spells `pool[ends[k]:ends[k + 1]]` and occurs `counts[k]` times; `slots` finds it by its hash.
    """

    size: NDArray[np.int64]
    slots: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    pool: NDArray[np.uint32]
    ends: NDArray[np.int64]
    counts: NDArray[np.int64]
    holders: Holders


class Sieve(NamedTuple):
    """Lets a patch pass whose weight (a bound on its count from above) is at least `least`; 0 lets all pass."""

    weights: NDArray[np.int64]
    least: int


def no_patches() -> Unique:
    """Return an empty table with room for some."""
    n = 1 << 11
    holders = Holders(
        np.empty(n, np.int32), np.empty(n, np.int32), np.empty(2 * n, np.uint64), np.empty(2 * n, np.int32)
    )
    return Unique(
        np.zeros(3, np.int64),
        np.full(2 * n, EMPTY, np.int32),
        np.empty(n, np.uint64),
        np.empty(8 * n, np.uint32),
        np.zeros(n + 1, np.int64),
        np.empty(n, np.int64),
        holders,
    )


def roomier(unique: Unique, patches: int, symbols: int, nodes: int) -> Unique:
    """Return the same table with room for so many more."""
    n, pooled, linked = (int(size) for size in unique.size)
    _, slots, hashes, pool, ends, counts, (held, last, record, link) = unique
    if 2 * (n + patches + 1) >= len(slots):
        slots = np.full(1 << (2 * (n + patches + 1)).bit_length(), EMPTY, np.int32)
        fill_slots(slots, hashes, n)
        room = len(slots) // 2
        hashes, counts, held, last = (_moved(a, n, room) for a in (hashes, counts, held, last))
        ends = _moved(ends, n + 1, room + 1)
    if pooled + symbols > len(pool):
        pool = _moved(pool, pooled, 2 * len(pool) + symbols)
    if linked + nodes > len(record):
        record, link = (_moved(a, linked, 2 * len(record) + nodes) for a in (record, link))
    return Unique(unique.size, slots, hashes, pool, ends, counts, Holders(held, last, record, link))


def _moved(array: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    out = np.empty(room, array.dtype)
    out[:used] = array[:used]
    return out


@njit(cache=True)
def fill_slots(slots: NDArray[np.int32], hashes: NDArray[np.uint64], n: int) -> None:
    """Enter the first `n` patches into empty `slots`."""
    mask = np.uint64(len(slots) - 1)
    for k in range(n):
        at = hashes[k] & mask
        while slots[at] != EMPTY:
            at = (at + np.uint64(1)) & mask
        slots[at] = k


@njit(cache=True)
def _enter(unique: Unique, symbols: NDArray[Any], start: int, end: int, h: np.uint64) -> int:
    """Return the number of the patch `symbols[start:end]`, whose hash is `h`; a new one has a count of 0."""
    slots, hashes, pool, ends, size = unique.slots, unique.hashes, unique.pool, unique.ends, unique.size
    mask = np.uint64(len(slots) - 1)
    length = end - start
    at = h & mask
    while slots[at] != EMPTY:
        k = slots[at]
        if hashes[k] == h and ends[k + 1] - ends[k] == length:
            same = True
            for i in range(length):
                if pool[ends[k] + i] != symbols[start + i]:
                    same = False
                    break
            if same:
                return int(k)
        at = (at + np.uint64(1)) & mask
    k = size[0]
    slots[at] = k
    hashes[k] = h
    for i in range(length):
        pool[size[1] + i] = symbols[start + i]
    size[0] += 1
    size[1] += length
    ends[k + 1] = size[1]
    unique.counts[k] = 0
    unique.holders.held[k] = 0
    unique.holders.last[k] = EMPTY
    return int(k)


@njit(cache=True)
def _hold(unique: Unique, k: int, record: np.uint64) -> None:
    """Add a holder to patch `k`, unless it is one already."""
    holders, size = unique.holders, unique.size
    node = holders.last[k]
    while node != EMPTY:
        if holders.record[node] == record:
            return
        node = holders.link[node]
    holders.record[size[2]] = record
    holders.link[size[2]] = holders.last[k]
    holders.last[k] = size[2]
    holders.held[k] += 1
    size[2] += 1


@njit(cache=True)
def _passes(sieve: Sieve, h: np.uint64) -> bool:
    return bool(sieve.least == 0 or _weight(sieve.weights, h) >= sieve.least)


@njit(cache=True)
def _weight(weights: NDArray[np.int64], h: np.uint64) -> int:
    lightest = weights[0, h & _MASK]
    for row in range(1, ROWS):
        lightest = min(lightest, weights[row, (h >> (_BUCKET_BITS * np.uint64(row))) & _MASK])
    return int(lightest)


@njit(cache=True)
def count_patches(
    symbols: NDArray[Any],
    ends: NDArray[np.int64],
    records: NDArray[np.int64],
    first: int,
    limit: int,
    sieve: Sieve,
    unique: Unique,
) -> int:
    """Count the patches from `first` on; return the first that found no room (the caller grows and calls again).

    A record is known by the hash of its symbols; a patch keeps up to `limit` of those that hold it.
    """
    size, counts, holders = unique.size, unique.counts, unique.holders
    record = np.searchsorted(records, first, side="right")
    record_hash = np.uint64(0)
    fresh = True
    for patch in range(first, len(ends)):
        while patch >= records[record]:
            record += 1
            fresh = True
        if fresh and limit > 1:
            begin = 0 if record == 0 or records[record - 1] == 0 else ends[records[record - 1] - 1]
            record_hash = hash_run(symbols, begin, ends[records[record] - 1])
            fresh = False
        start = 0 if patch == 0 else ends[patch - 1]
        h = hash_run(symbols, start, ends[patch])
        if not _passes(sieve, h):
            continue
        roomy = 2 * (size[0] + 1) < len(unique.slots) and size[2] < len(holders.record)
        if not roomy or size[1] + ends[patch] - start > len(unique.pool):
            return patch
        k = _enter(unique, symbols, start, ends[patch], h)
        counts[k] += 1
        if limit > 1 and holders.held[k] < limit:
            _hold(unique, k, record_hash)
    return len(ends)


@njit(cache=True)
def merge_patches(
    symbols: NDArray[np.uint32],
    ends: NDArray[np.int64],
    times: NDArray[np.int64],
    theirs: Holders,
    limit: int,
    sieve: Sieve,
    unique: Unique,
) -> None:
    """Add unique patches, `times` each, and their holders; there is room for all of them.

    Holders are sets of record hashes, kept up to `limit`: a set that is full needs no more, one that is not is whole.
    """
    start = 0
    for patch in range(len(ends)):
        end = ends[patch]
        h = hash_run(symbols, start, end)
        if _passes(sieve, h):
            k = _enter(unique, symbols, start, end, h)
            unique.counts[k] += times[patch]
            node = theirs.last[patch]
            while node != EMPTY and unique.holders.held[k] < limit:
                _hold(unique, k, theirs.record[node])
                node = theirs.link[node]
        start = end


@njit(cache=True)
def weigh(symbols: NDArray[Any], ends: NDArray[np.int64], times: NDArray[np.int64], weights: NDArray[np.int64]) -> None:
    """Add patches, `times` each, to their buckets of `weights` (ROWS, BUCKETS)."""
    start = 0
    for patch in range(len(ends)):
        h = hash_run(symbols, start, ends[patch])
        for row in range(ROWS):
            weights[row, (h >> (_BUCKET_BITS * np.uint64(row))) & _MASK] += times[patch]
        start = ends[patch]


@njit(cache=True)
def least_that_fits(unique: Unique, weights: NDArray[np.int64], capacity: int) -> int:
    """Return the lowest weight so that the patches of at least that weight have `capacity` symbols together."""
    n = unique.size[0]
    weight = np.empty(n, np.int64)
    for k in range(n):
        weight[k] = _weight(weights, unique.hashes[k])
    order = np.argsort(weight)
    total = 0
    for i in range(n - 1, -1, -1):
        k = order[i]
        total += unique.ends[k + 1] - unique.ends[k]
        if total > capacity:
            return int(weight[k]) + 1
    return 0

"""A hash table of distinct patches: compiled loops that count patches, merge counts, and add weights to a sketch."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.host import native
from ult.host.kernel import njit
from ult.owner.bpe.hashtable import EMPTY, hash_run
from ult.owner.bpe.text import array

ROWS = 3  # rows of the count-min sketch; the weight of a patch is the least of its buckets
BUCKETS = 1 << 20  # buckets per row; each row uses 20 bits of the hash, different from those of the other rows
_BUCKET_BITS = np.uint64(20)
_MASK = np.uint64(BUCKETS - 1)


class Holders(NamedTuple):
    """The hashes of the records that hold each patch: patch k has `held[k]` of them, linked from node `last[k]` on."""

    held: NDArray[np.int32]
    last: NDArray[np.int32]
    record: NDArray[np.uint64]
    link: NDArray[np.int32]


class Unique(NamedTuple):
    """Distinct patches with their counts and holders; `size` is [patches, symbols, holder nodes] in use.

    Patch k is `pool[ends[k] : ends[k + 1]]` and occurs `counts[k]` times; `slots` finds it by its hash.
    """

    size: NDArray[np.int64]
    slots: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    pool: NDArray[np.uint32]
    ends: NDArray[np.int64]
    counts: NDArray[np.int64]
    holders: Holders


class Sieve(NamedTuple):
    """Lets patches pass whose grade, that of an upper bound of their count, is at least `least_grade`; 0 passes all."""

    grades: NDArray[np.uint8]  # (ROWS, BUCKETS)
    least_grade: int


def no_patches() -> Unique:
    """Return an empty hash table with room for some patches."""
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
    """Return the same patches with room for at least so many more patches, symbols and holder nodes."""
    n, pooled, linked = (int(size) for size in unique.size)
    _, slots, hashes, pool, ends, counts, (held, last, record, link) = unique
    if 2 * (n + patches + 1) >= len(slots):
        slots = np.full(1 << (2 * (n + patches + 1)).bit_length(), EMPTY, np.int32)
        library = native.library()
        if library is None:
            fill_slots(slots, hashes, n)
        else:
            library.ult_fill_slots(*array(slots), *array(hashes)[:1], ctypes.c_int64(n))
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
    """Enter the first `n` patches into `slots`, which are all empty."""
    mask = np.uint64(len(slots) - 1)
    for k in range(n):
        at = hashes[k] & mask
        while slots[at] != EMPTY:
            at = (at + np.uint64(1)) & mask
        slots[at] = k


@njit(cache=True, inline="always")
def _enter(unique: Unique, at: np.uint64, symbols: NDArray[Any], start: int, end: int, h: np.uint64) -> int:
    """Enter a new patch at the empty slot `at`, with a count of 0; return its number."""
    size = unique.size
    k = size[0]
    unique.slots[at] = k
    unique.hashes[k] = h
    unique.pool[size[1] : size[1] + end - start] = symbols[start:end]
    size[0] += 1
    size[1] += end - start
    unique.ends[k + 1] = size[1]
    unique.counts[k] = 0
    unique.holders.held[k] = 0
    unique.holders.last[k] = EMPTY
    return int(k)


@njit(cache=True, inline="always")
def _hold(size: NDArray[np.int64], holders: Holders, k: int, one: np.uint64) -> None:
    """Add the record with hash `one` to the holders of patch `k`, unless it is one of them."""
    held, last, record, link = holders
    node = last[k]
    while node != EMPTY:
        if record[node] == one:
            return
        node = link[node]
    record[size[2]] = one
    link[size[2]] = last[k]
    last[k] = size[2]
    held[k] += 1
    size[2] += 1


@njit(cache=True)
def _grade(grades: NDArray[np.uint8], h: np.uint64) -> int:
    lowest = grades[0, h & _MASK]
    for row in range(1, ROWS):
        lowest = min(lowest, grades[row, (h >> (_BUCKET_BITS * np.uint64(row))) & _MASK])
    return int(lowest)


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
    """Count the patches from number `first` on; return the first one for which there was no room, or their number.

    The caller then makes room and calls again. A record is identified by the hash of its symbols; a patch keeps at most
    `limit` of its holders.
    """
    size, slots, hashes, pool, pool_ends, counts, holders = unique
    grades, least = sieve
    mask = np.uint64(len(slots) - 1)
    owner = np.searchsorted(records, first, side="right")
    record = np.uint64(0)
    fresh = True
    for patch in range(first, len(ends)):
        while patch >= records[owner]:
            owner += 1
            fresh = True
        if fresh and limit > 1:
            begin = 0 if owner == 0 or records[owner - 1] == 0 else ends[records[owner - 1] - 1]
            record = hash_run(symbols, begin, ends[records[owner] - 1])
            fresh = False
        start = 0 if patch == 0 else ends[patch - 1]
        length = ends[patch] - start
        h = hash_run(symbols, start, ends[patch])
        if least > 0 and _grade(grades, h) < least:
            continue
        roomy = 2 * (size[0] + 1) < len(slots) and size[2] < len(holders.record)
        if not roomy or size[1] + length > len(pool):
            return patch
        at = h & mask
        known = EMPTY
        while slots[at] != EMPTY:
            k = slots[at]
            if hashes[k] == h and pool_ends[k + 1] - pool_ends[k] == length:
                same = True
                for i in range(length):
                    if pool[pool_ends[k] + i] != symbols[start + i]:
                        same = False
                        break
                if same:
                    known = k
                    break
            at = (at + np.uint64(1)) & mask
        if known == EMPTY:
            known = _enter(unique, at, symbols, start, ends[patch], h)
        counts[known] += 1
        if limit > 1 and holders.held[known] < limit:
            _hold(size, holders, known, record)
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
    """Add distinct patches that occur `times` (p,) each, and their holders; `unique` has room for all of them.

    A patch keeps at most `limit` holders. A set of fewer is complete, so the union is right up to `limit`.
    """
    size, slots, hashes, pool, pool_ends, counts, holders = unique
    grades, least = sieve
    mask = np.uint64(len(slots) - 1)
    for patch in range(len(ends)):
        start = 0 if patch == 0 else ends[patch - 1]
        length = ends[patch] - start
        h = hash_run(symbols, start, ends[patch])
        if least > 0 and _grade(grades, h) < least:
            continue
        at = h & mask
        known = EMPTY
        while slots[at] != EMPTY:
            k = slots[at]
            if hashes[k] == h and pool_ends[k + 1] - pool_ends[k] == length:
                same = True
                for i in range(length):
                    if pool[pool_ends[k] + i] != symbols[start + i]:
                        same = False
                        break
                if same:
                    known = k
                    break
            at = (at + np.uint64(1)) & mask
        if known == EMPTY:
            known = _enter(unique, at, symbols, start, ends[patch], h)
        counts[known] += times[patch]
        node = theirs.last[patch]
        while node != EMPTY and holders.held[known] < limit:
            _hold(size, holders, known, theirs.record[node])
            node = theirs.link[node]


@njit(cache=True)
def leave_out(unique: Unique, sieve: Sieve) -> None:
    """Remove, in place, the patches that do not pass the sieve; the others keep their order."""
    size, slots, hashes, pool, ends, counts, holders = unique
    held, last, record, link = holders
    place = np.full(size[2], EMPTY, np.int32)  # the new place of each holder node; a link leads to an earlier node
    n = start = pooled = nodes = 0
    for k in range(size[0]):
        end, stays = ends[k + 1], _grade(sieve.grades, hashes[k]) >= sieve.least_grade
        node = last[k]
        while stays and node != EMPTY:
            place[node] = 0
            node = link[node]
        if stays:
            for i in range(start, end):
                pool[pooled + i - start] = pool[i]
            pooled += end - start
            hashes[n], counts[n], held[n], last[n] = hashes[k], counts[k], held[k], last[k]
            n += 1
            ends[n] = pooled
        start = end
    for node in range(size[2]):
        if place[node] != EMPTY:
            place[node] = nodes
            record[nodes] = record[node]
            link[nodes] = EMPTY if link[node] == EMPTY else place[link[node]]
            nodes += 1
    for k in range(n):
        if last[k] != EMPTY:
            last[k] = place[last[k]]
    size[0], size[1], size[2] = n, pooled, nodes
    slots[:] = EMPTY
    fill_slots(slots, hashes, n)


@njit(cache=True)
def weigh(symbols: NDArray[Any], ends: NDArray[np.int64], times: NDArray[np.int64], weights: NDArray[np.int64]) -> None:
    """Add `times` (p,) of each patch to its bucket in each row of `weights` (ROWS, BUCKETS)."""
    start = 0
    for patch in range(len(ends)):
        h = hash_run(symbols, start, ends[patch])
        for row in range(ROWS):
            weights[row, (h >> (_BUCKET_BITS * np.uint64(row))) & _MASK] += times[patch]
        start = ends[patch]


@njit(cache=True)
def least_that_fits(unique: Unique, grades: NDArray[np.uint8], capacity: int) -> int:
    """Return the lowest grade for which the patches of at least that grade have at most `capacity` symbols together."""
    n = unique.size[0]
    grade = np.empty(n, np.int64)
    for k in range(n):
        grade[k] = _grade(grades, unique.hashes[k])
    order = np.argsort(grade)
    total = 0
    for i in range(n - 1, -1, -1):
        k = order[i]
        total += unique.ends[k + 1] - unique.ends[k]
        if total > capacity:
            return int(grade[k]) + 1
    return 0

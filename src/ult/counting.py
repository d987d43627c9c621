"""How often each patch occurs, and how many distinct records hold it: all that fitting a table needs to know."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Ends, Patches, Symbols
from ult.errors import InvalidConfig
from ult.hashing import EMPTY, hash_run
from ult.merging import merge_patches

Scalar = TypeVar("Scalar", bound=np.generic)


class Holders(NamedTuple):
    """The distinct records that hold each patch: patch k has `held[k]`, in a list from `last[k]` on."""

    held: NDArray[np.int32]
    last: NDArray[np.int32]
    record: NDArray[np.uint64]
    link: NDArray[np.int32]


class Counted(NamedTuple):
    """What was counted, as arrays to hand to another `PatchCounts`: as secret as the records."""

    min_records: int
    records: int
    symbols: Symbols
    ends: Ends
    counts: NDArray[np.int64]
    holders: Holders


class PatchCounts:
    """Counts of unique patches. What is added or merged in which order or batches changes no count.

    `holders` are counted up to `min_records` only, and a record is known by a hash of its symbols, so the same record
    given twice is one holder. Raises `InvalidConfig` for a `min_records` below 1.
    """

    def __init__(self, *, min_records: int = 1) -> None:
        if isinstance(min_records, bool) or not isinstance(min_records, int | np.integer) or min_records < 1:
            raise InvalidConfig(f"min_records is {min_records!r}; expected an integer of at least 1")
        self.min_records = int(min_records)
        self.records = 0
        self._size: NDArray[np.int64] = np.zeros(3, np.int64)  # patches, pooled symbols, holder nodes
        self._slots: NDArray[np.int32] = np.full(1 << 12, EMPTY, np.int32)
        self._hashes: NDArray[np.uint64] = np.empty(1 << 11, np.uint64)
        self._pool: NDArray[np.uint32] = np.empty(1 << 14, np.uint32)
        self._pool_ends: NDArray[np.int64] = np.zeros((1 << 11) + 1, np.int64)
        self._counts: NDArray[np.int64] = np.empty(1 << 11, np.int64)
        self._held: NDArray[np.int32] = np.empty(1 << 11, np.int32)
        self._last: NDArray[np.int32] = np.empty(1 << 11, np.int32)
        self._nodes: NDArray[np.uint64] = np.empty(1 << 12, np.uint64)
        self._links: NDArray[np.int32] = np.empty(1 << 12, np.int32)

    def add(self, patches: Patches) -> None:
        """Count every patch of the records in `patches`."""
        self.records += len(patches.records)
        done = 0
        while True:
            done = count_patches(
                patches.symbols,
                patches.ends,
                patches.records,
                done,
                self.min_records,
                self._size,
                self._slots,
                self._hashes,
                self._pool,
                self._pool_ends,
                self._counts,
                Holders(self._held, self._last, self._nodes, self._links),
            )
            if done == len(patches.ends):
                return
            longest = int(np.diff(patches.ends, prepend=0).max())
            self._grow(longest)

    def _grow(self, longest: int) -> None:
        n = int(self._size[0])
        if 2 * (n + 1) >= len(self._slots):
            for name in ("_hashes", "_counts", "_held", "_last"):
                setattr(self, name, _wider(getattr(self, name), 0))
            self._pool_ends = _wider(self._pool_ends, 0)
            self._slots = np.full(2 * len(self._slots), EMPTY, np.int32)
            fill_slots(self._slots, self._hashes, n)
        if self._size[1] + longest > len(self._pool):
            self._pool = _wider(self._pool, longest)
        if self._size[2] + 1 > len(self._nodes):
            self._nodes, self._links = _wider(self._nodes, 0), _wider(self._links, 0)

    def merge(self, other: Counted) -> None:
        """Add what was counted elsewhere, as if all of its records had been added here.

        Raises `InvalidConfig` unless it was counted for the same `min_records`.
        """
        if other.min_records != self.min_records:
            raise InvalidConfig(f"counts are for min_records {other.min_records}; expected {self.min_records}")
        self._reserve(len(other.counts), len(other.symbols), len(other.holders.record))
        merge_patches(
            other.symbols,
            other.ends,
            other.counts,
            other.holders.last,
            other.holders.record,
            other.holders.link,
            self.min_records,
            self._size,
            self._slots,
            self._hashes,
            self._pool,
            self._pool_ends,
            self._counts,
            self._held,
            self._last,
            self._nodes,
            self._links,
        )
        self.records += other.records

    def _reserve(self, patches: int, symbols: int, nodes: int) -> None:
        """Make room for so many more."""
        n = int(self._size[0])
        while 2 * (n + patches + 1) >= len(self._slots):
            for name in ("_hashes", "_counts", "_held", "_last"):
                setattr(self, name, _wider(getattr(self, name), 0))
            self._pool_ends = _wider(self._pool_ends, 0)
            self._slots = np.full(2 * len(self._slots), EMPTY, np.int32)
            fill_slots(self._slots, self._hashes, n)
        if self._size[1] + symbols > len(self._pool):
            self._pool = _wider(self._pool, symbols)
        while self._size[2] + nodes > len(self._nodes):
            self._nodes, self._links = _wider(self._nodes, 0), _wider(self._links, 0)

    def counted(self) -> Counted:
        """Return what was counted, for `merge`."""
        return Counted(self.min_records, self.records, *self.patches())

    def patches(self) -> tuple[Symbols, Ends, NDArray[np.int64], Holders]:
        """Return the unique patches: their symbols, ends, counts and holders."""
        n, symbols, nodes = (int(size) for size in self._size)
        holders = Holders(self._held[:n], self._last[:n], self._nodes[:nodes], self._links[:nodes])
        return self._pool[:symbols], self._pool_ends[1 : n + 1], self._counts[:n], holders


def _wider(array: NDArray[Scalar], extra: int) -> NDArray[Scalar]:
    out = np.empty(2 * len(array) + extra, array.dtype)
    out[: len(array)] = array
    return out


@njit(cache=True)
def count_patches(
    symbols: NDArray[np.uint32],
    ends: NDArray[np.int64],
    records: NDArray[np.int64],
    first: int,
    limit: int,
    state: NDArray[np.int64],
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    pool: NDArray[np.uint32],
    pool_ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    holders: Holders,
) -> int:
    """Count the patches from `first` on; return the first that found no room (the caller grows and calls again).

    `state` is [patches, pooled symbols, holder nodes]. Patch k spells `pool[pool_ends[k]:pool_ends[k + 1]]`, occurs
    `counts[k]` times; `holders` lists the distinct records (known by the hash of their symbols) that hold it, up to
    `limit` of them.
    """
    mask = np.uint64(len(slots) - 1)
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
        length = ends[patch] - start
        roomy = 2 * (state[0] + 1) < len(slots) and state[0] + 1 < len(counts)
        if not roomy or state[1] + length > len(pool) or state[2] + 1 > len(holders.record):
            return patch
        h = hash_run(symbols, start, ends[patch])
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
            known = state[0]
            state[0] += 1
            slots[at] = known
            hashes[known] = h
            pool[state[1] : state[1] + length] = symbols[start : ends[patch]]
            state[1] += length
            pool_ends[known + 1] = state[1]
            counts[known] = 0
            holders.held[known] = 0
            holders.last[known] = EMPTY
        counts[known] += 1
        if limit > 1 and holders.held[known] < limit:
            node = holders.last[known]
            while node != EMPTY and holders.record[node] != record_hash:
                node = holders.link[node]
            if node == EMPTY:
                holders.record[state[2]] = record_hash
                holders.link[state[2]] = holders.last[known]
                holders.last[known] = state[2]
                holders.held[known] += 1
                state[2] += 1
    return len(ends)


@njit(cache=True)
def fill_slots(slots: NDArray[np.int32], hashes: NDArray[np.uint64], n: int) -> None:
    """Enter the first `n` patches into empty `slots`."""
    mask = np.uint64(len(slots) - 1)
    for k in range(n):
        at = hashes[k] & mask
        while slots[at] != EMPTY:
            at = (at + np.uint64(1)) & mask
        slots[at] = k

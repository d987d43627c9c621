"""How often each patch occurs, and how many distinct records hold it: all that fitting a table needs to know."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ult import kernels
from ult.codecs.base import Ends, Patches, Symbols

Scalar = TypeVar("Scalar", bound=np.generic)


class PatchCounts:
    """Counts of unique patches. What is added in which order or batches changes no count.

    `holders` are counted up to `min_records` only, and a record is known by a hash of its symbols, so the same record
    given twice is one holder.
    """

    def __init__(self, *, min_records: int = 1) -> None:
        self.min_records = min_records
        self.records = 0
        self._size: NDArray[np.int64] = np.zeros(3, np.int64)  # patches, pooled symbols, holder nodes
        self._slots: NDArray[np.int32] = np.full(1 << 12, kernels.EMPTY, np.int32)
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
            done = kernels.count_patches(
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
                kernels.Holders(self._held, self._last, self._nodes, self._links),
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
            self._slots = np.full(2 * len(self._slots), kernels.EMPTY, np.int32)
            kernels.fill_slots(self._slots, self._hashes, n)
        if self._size[1] + longest > len(self._pool):
            self._pool = _wider(self._pool, longest)
        if self._size[2] + 1 > len(self._nodes):
            self._nodes, self._links = _wider(self._nodes, 0), _wider(self._links, 0)

    def patches(self) -> tuple[Symbols, Ends, NDArray[np.int64], kernels.Holders]:
        """Return the unique patches: their symbols, ends, counts and holders."""
        n, symbols, nodes = (int(size) for size in self._size)
        holders = kernels.Holders(self._held[:n], self._last[:n], self._nodes[:nodes], self._links[:nodes])
        return self._pool[:symbols], self._pool_ends[1 : n + 1], self._counts[:n], holders


def _wider(array: NDArray[Scalar], extra: int) -> NDArray[Scalar]:
    out = np.empty(2 * len(array) + extra, array.dtype)
    out[: len(array)] = array
    return out

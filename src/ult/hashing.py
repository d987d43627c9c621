"""Open-addressing hash tables of integers, for the compiled loops that count, learn and apply."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = -1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


@njit(cache=True)
def hash_run(symbols: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """Return a 64-bit hash of `symbols[start:end]`; for tables in memory, not for security."""
    h = np.uint64(end - start) * _GOLDEN
    for i in range(start, end):
        h = (h ^ np.uint64(symbols[i])) * _GOLDEN
        h ^= h >> _SHIFT
    return h


@njit(cache=True)
def pair_key(left: int, right: int) -> np.uint64:
    """Return the pair as one integer that sorts as the pair does."""
    return (np.uint64(left) << _SHIFT) | np.uint64(right)


@njit(cache=True)
def find_key(slots: NDArray[np.int32], keys: NDArray[np.uint64], key: np.uint64) -> np.uint64:
    """Return the slot of `key`, or the empty slot where it belongs; linear probing, a power of two of slots."""
    mask = np.uint64(len(slots) - 1)
    h = key * _GOLDEN
    at = (h ^ (h >> _SHIFT)) & mask
    while slots[at] != EMPTY and keys[slots[at]] != key:
        at = (at + np.uint64(1)) & mask
    return at

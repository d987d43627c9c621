"""Open-addressing hash tables of integers, for the compiled loops that count patches, learn merges and apply them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.host.kernel import njit

EMPTY = -1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


@njit(cache=True)
def hash_run(symbols: NDArray[np.uint32], start: int, end: int) -> np.uint64:
    """Return a 64-bit hash of `symbols[start:end]`, for hash tables in memory; it is not a cryptographic hash."""
    h = np.uint64(end - start) * _GOLDEN
    for i in range(start, end):
        h = (h ^ np.uint64(symbols[i])) * _GOLDEN
        h ^= h >> _SHIFT
    return h


@njit(cache=True)
def pair_key(left: int, right: int) -> np.uint64:
    """Return the pair as one integer; such integers sort in the order of their pairs."""
    return (np.uint64(left) << _SHIFT) | np.uint64(right)


@njit(cache=True)
def find_key(slots: NDArray[np.int32], keys: NDArray[np.uint64], key: np.uint64) -> np.uint64:
    """Return the slot of `key`, or the empty slot where it belongs, by linear probing; `len(slots)` is a power of 2."""
    mask = np.uint64(len(slots) - 1)
    h = key * _GOLDEN
    at = (h ^ (h >> _SHIFT)) & mask
    while slots[at] != EMPTY and keys[slots[at]] != key:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True)
def load8(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Return eight bytes from `at` on as a little-endian integer; LLVM makes one load of this if `at` is unsigned."""
    word = np.uint64(data[at])
    word |= np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(data[at + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(data[at + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    return word


@njit(cache=True)
def store8(data: NDArray[np.uint8], at: np.uint64, word: np.uint64) -> None:
    """Write `word` as eight bytes from `at` on, as `load8` reads them; this too is one store if `at` is unsigned."""
    data[at] = np.uint8(word)
    data[at + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    data[at + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    data[at + np.uint64(3)] = np.uint8(word >> np.uint64(24))
    data[at + np.uint64(4)] = np.uint8(word >> np.uint64(32))
    data[at + np.uint64(5)] = np.uint8(word >> np.uint64(40))
    data[at + np.uint64(6)] = np.uint8(word >> np.uint64(48))
    data[at + np.uint64(7)] = np.uint8(word >> np.uint64(56))

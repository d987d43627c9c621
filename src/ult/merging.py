"""Add counted patches to others: the compiled loop behind `PatchCounts.merge`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.hashing import EMPTY, hash_run


@njit(cache=True)
def merge_patches(
    symbols: NDArray[np.uint32],
    ends: NDArray[np.int64],
    weights: NDArray[np.int64],
    their_last: NDArray[np.int32],
    their_record: NDArray[np.uint64],
    their_link: NDArray[np.int32],
    limit: int,
    state: NDArray[np.int64],
    slots: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    pool: NDArray[np.uint32],
    pool_ends: NDArray[np.int64],
    counts: NDArray[np.int64],
    held: NDArray[np.int32],
    last: NDArray[np.int32],
    record: NDArray[np.uint64],
    link: NDArray[np.int32],
) -> None:
    """Add unique patches, `weights` times each, and their holders; there is room for all of them.

    Holders are sets of record hashes, kept up to `limit`: a set that is full needs no more, one that is not is whole.
    """
    mask = np.uint64(len(slots) - 1)
    start = 0
    for patch in range(len(ends)):
        length = ends[patch] - start
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
            held[known] = 0
            last[known] = EMPTY
        counts[known] += weights[patch]
        theirs = their_last[patch]
        while theirs != EMPTY and held[known] < limit:
            node = last[known]
            while node != EMPTY and record[node] != their_record[theirs]:
                node = link[node]
            if node == EMPTY:
                record[state[2]] = their_record[theirs]
                link[state[2]] = last[known]
                last[known] = state[2]
                held[known] += 1
                state[2] += 1
            theirs = their_link[theirs]
        start = ends[patch]

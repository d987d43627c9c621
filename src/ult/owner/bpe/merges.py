"""Learn merges from counted patches. The time of a merge grows with the occurrences of its pair, not with the data.

`reference.learn` is the same in plain Python; tests compare the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.host.kernel import njit
from ult.owner.bpe.hashtable import EMPTY, find_key, pair_key
from ult.owner.bpe.patch_table import Holders

_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Text(NamedTuple):
    """The distinct patches as linked lists of units; EMPTY ends a patch, and replaces a unit that was merged away."""

    unit: NDArray[np.int32]
    preceding: NDArray[np.int32]
    following: NDArray[np.int32]
    patch: NDArray[np.int32]
    weight: NDArray[np.int64]  # how often each patch occurs


class Pairs(NamedTuple):
    """Pairs of adjacent units: a hash table of keys, and for each pair its count and a linked list of its positions.

    A list may hold positions where the pair no longer is, so a reader checks each one. `size` is [pairs, list nodes].
    """

    slots: NDArray[np.int32]
    key: NDArray[np.uint64]
    total: NDArray[np.int64]
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    node_at: NDArray[np.int32]
    node_next: NDArray[np.int32]
    size: NDArray[np.int64]


@njit(cache=True)
def _link(symbols: NDArray[np.uint32], ends: NDArray[np.int64], weight: NDArray[np.int64]) -> Text:
    n = len(symbols)
    preceding = np.arange(-1, n - 1).astype(np.int32)
    following = np.arange(1, n + 1).astype(np.int32)
    patch = np.empty(n, np.int32)
    begin = 0
    for k in range(len(ends)):
        preceding[begin] = EMPTY
        following[ends[k] - 1] = EMPTY
        patch[begin : ends[k]] = k
        begin = ends[k]
    return Text(symbols.astype(np.int32), preceding, following, patch, weight)


@njit(cache=True)
def _no_pairs(n: int) -> Pairs:
    """Return no pairs, with room for 3 n list nodes: n at first, and two for each of at most n merged occurrences."""
    return Pairs(
        np.full(2048, EMPTY, np.int32),
        np.empty(1024, np.uint64),
        np.empty(1024, np.int64),
        np.empty(1024, np.int32),
        np.empty(1024, np.int32),
        np.empty(3 * n, np.int32),
        np.empty(3 * n, np.int32),
        np.zeros(2, np.int64),
    )


@njit(cache=True)
def _grown(array: Any) -> Any:
    out = np.empty(2 * len(array), array.dtype)
    out[: len(array)] = array
    return out


@njit(cache=True)
def _doubled(pairs: Pairs) -> Pairs:
    slots = np.full(2 * len(pairs.slots), EMPTY, np.int32)
    for pair in range(pairs.size[0]):
        slots[find_key(slots, pairs.key, pairs.key[pair])] = pair
    return Pairs(
        slots,
        _grown(pairs.key),
        _grown(pairs.total),
        _grown(pairs.head),
        _grown(pairs.tail),
        pairs.node_at,
        pairs.node_next,
        pairs.size,
    )


@njit(cache=True)
def _enter(pairs: Pairs, text: Text, at: int) -> Pairs:
    """Add position `at` to the count and the list of the pair there; return the pairs, maybe in larger arrays."""
    if pairs.size[0] == len(pairs.key):
        pairs = _doubled(pairs)
    key = pair_key(text.unit[at], text.unit[text.following[at]])
    slot = find_key(pairs.slots, pairs.key, key)
    pair = pairs.slots[slot]
    node = pairs.size[1]
    pairs.size[1] += 1
    pairs.node_at[node] = at
    pairs.node_next[node] = EMPTY
    if pair == EMPTY:
        pair = pairs.size[0]
        pairs.size[0] += 1
        pairs.slots[slot] = pair
        pairs.key[pair] = key
        pairs.total[pair] = 0
        pairs.head[pair] = node
    else:
        pairs.node_next[pairs.tail[pair]] = node
    pairs.tail[pair] = node
    pairs.total[pair] += text.weight[text.patch[at]]
    return pairs


@njit(cache=True)
def _leave(pairs: Pairs, text: Text, at: int) -> None:
    """Subtract the pair at position `at` from its count; the list of positions keeps it."""
    key = pair_key(text.unit[at], text.unit[text.following[at]])
    pairs.total[pairs.slots[find_key(pairs.slots, pairs.key, key)]] -= text.weight[text.patch[at]]


@njit(cache=True)
def _before(pairs: Pairs, count_a: int, a: int, count_b: int, b: int) -> bool:
    return bool(count_a > count_b or (count_a == count_b and pairs.key[a] < pairs.key[b]))


@njit(cache=True)
def _push(counts: NDArray[np.int64], heap: NDArray[np.int64], n: int, pairs: Pairs, pair: int) -> None:
    """Add a pair to a heap of `n` entries, ordered by falling count, then by rising pair."""
    count = pairs.total[pair]
    while n > 0 and _before(pairs, count, pair, counts[(n - 1) // 2], heap[(n - 1) // 2]):
        counts[n], heap[n] = counts[(n - 1) // 2], heap[(n - 1) // 2]
        n = (n - 1) // 2
    counts[n], heap[n] = count, pair


@njit(cache=True)
def _pop(counts: NDArray[np.int64], heap: NDArray[np.int64], n: int, pairs: Pairs) -> None:
    """Remove the first entry of a heap of `n` entries."""
    count, pair = counts[n - 1], heap[n - 1]
    at = 0
    while 2 * at + 1 < n - 1:
        child = 2 * at + 1
        if child + 1 < n - 1 and _before(pairs, counts[child + 1], heap[child + 1], counts[child], heap[child]):
            child += 1
        if not _before(pairs, counts[child], heap[child], count, pair):
            break
        counts[at], heap[at] = counts[child], heap[child]
        at = child
    counts[at], heap[at] = count, pair


@njit(cache=True)
def _held_by(pairs: Pairs, text: Text, holders: Holders, pair: int, limit: int) -> bool:
    """Return whether at least `limit` distinct records hold the pair."""
    seen = np.empty(limit, np.uint64)
    n = 0
    node = pairs.head[pair]
    while node != EMPTY:
        at = pairs.node_at[node]
        node = pairs.node_next[node]
        if not _stands(pairs, text, pair, at):
            continue
        patch = text.patch[at]
        if holders.held[patch] >= limit:
            return True
        holder = holders.last[patch]
        while holder != EMPTY:
            if not (seen[:n] == holders.record[holder]).any():
                seen[n] = holders.record[holder]
                n += 1
                if n >= limit:
                    return True
            holder = holders.link[holder]
    return False


@njit(cache=True)
def _stands(pairs: Pairs, text: Text, pair: int, at: int) -> bool:
    if text.unit[at] == EMPTY or text.following[at] == EMPTY:
        return False
    return bool(pair_key(text.unit[at], text.unit[text.following[at]]) == pairs.key[pair])


@njit(cache=True)
def _join(pairs: Pairs, text: Text, pair: int, new: int) -> Pairs:
    """Replace every occurrence of the pair by unit `new`, from left to right; return the pairs as `_enter` does."""
    node = pairs.head[pair]
    while node != EMPTY:
        at = pairs.node_at[node]
        node = pairs.node_next[node]
        if not _stands(pairs, text, pair, at):
            continue
        other = text.following[at]
        before, after = text.preceding[at], text.following[other]
        if before != EMPTY:
            _leave(pairs, text, before)
        if after != EMPTY:
            _leave(pairs, text, other)
            text.preceding[after] = at
        text.unit[at] = new
        text.unit[other] = EMPTY
        text.following[at] = after
        if before != EMPTY:
            pairs = _enter(pairs, text, before)
        if after != EMPTY:
            pairs = _enter(pairs, text, at)
    pairs.total[pair] = 0
    return pairs


@njit(cache=True)
def learn_merges(
    symbols: NDArray[np.uint32],
    ends: NDArray[np.int64],
    weight: NDArray[np.int64],
    holders: Holders,
    alphabet: int,
    n_merges: int,
    min_records: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the merges (m, 2) int32 and how often each unit occurs once all are applied, (alphabet + m,) int64.

    Patch k is `symbols[ends[k - 1] : ends[k]]` and occurs `weight[k]` times. A heap finds the most frequent pair; if
    the count of a pair has fallen since it was pushed, the pair is pushed again with its present count.
    """
    text = _link(symbols, ends, weight)
    pairs = _no_pairs(len(symbols))
    for at in range(len(symbols)):
        if text.following[at] != EMPTY:
            pairs = _enter(pairs, text, at)
    merges = np.empty((n_merges, 2), np.int32)
    heap_counts = np.empty(1024, np.int64)
    heap = np.empty(1024, np.int64)
    n_heap = pushed = made = 0
    while made < n_merges:
        while pushed < pairs.size[0]:
            if n_heap == len(heap):
                heap_counts, heap = _grown(heap_counts), _grown(heap)
            _push(heap_counts, heap, n_heap, pairs, pushed)
            n_heap += 1
            pushed += 1
        if n_heap == 0:
            break
        count, pair = heap_counts[0], heap[0]
        _pop(heap_counts, heap, n_heap, pairs)
        n_heap -= 1
        if pairs.total[pair] == 0:
            continue
        if pairs.total[pair] != count:
            _push(heap_counts, heap, n_heap, pairs, pair)
            n_heap += 1
            continue
        if min_records > 1 and not _held_by(pairs, text, holders, pair, min_records):
            continue  # for good: a pair gains no occurrence after the merge that made the newer of its units
        merges[made, 0] = np.int32(pairs.key[pair] >> _SHIFT)
        merges[made, 1] = np.int32(pairs.key[pair] & _LOW)
        pairs = _join(pairs, text, pair, alphabet + made)
        made += 1
    uses = np.zeros(alphabet + made, np.int64)
    for at in range(len(symbols)):
        if text.unit[at] != EMPTY:
            uses[text.unit[at]] += weight[text.patch[at]]
    return merges[:made].copy(), uses

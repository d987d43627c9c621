"""Interpolated Kneser-Ney: what counts of n-grams alone predict of ids (Kneser and Ney 1995; one discount an order)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]  # n-grams as numbers in base `size`
END = 0  # stands before each record and after it


@dataclass(frozen=True)
class _Order:
    """Counts of n-grams and of what follows their contexts; keys are sorted."""

    grams: Keys
    counts: NDArray[np.int64]
    contexts: Keys
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]
    discount: float


class Counts:
    """A model of ids below `size` by the `order` - 1 before each: `size` to the power of `order` is below 2^64."""

    def __init__(self, records: Sequence[NDArray[Any]], size: int, order: int) -> None:
        if size**order >= 2**64:
            raise ValueError(f"n-grams of {order} ids below {size} are no numbers below 2^64")
        self._size, self._order = np.uint64(size), order
        grams, counts = np.unique(self._grams(records), return_counts=True)
        self._orders: list[_Order] = []
        for n in range(order, 0, -1):
            self._orders.insert(0, self._of(grams, counts))
            if n > 1:  # lower orders count how many ids stand before, not how often
                grams, counts = np.unique(grams % self._size ** np.uint64(n - 1), return_counts=True)

    def bits(self, records: Sequence[NDArray[Any]]) -> float:
        """Return the bits in which all records are told, their ends included."""
        asked = self._grams(records)
        chance = np.full(len(asked), 1 / float(self._size))
        for n, one in enumerate(self._orders, 1):
            gram = asked % self._size ** np.uint64(n) if n < self._order else asked
            count, context = _at(one.grams, one.counts, gram), gram // self._size
            total, kinds = _at(one.contexts, one.totals, context), _at(one.contexts, one.kinds, context)
            seen = total > 0
            lower = chance[seen] * one.discount * kinds[seen]
            chance[seen] = (np.maximum(count[seen] - one.discount, 0) + lower) / total[seen]
        return float(-np.log2(chance).sum())

    def _of(self, grams: Keys, counts: NDArray[np.int64]) -> _Order:
        contexts, place = np.unique(grams // self._size, return_inverse=True)
        once, twice = (int((counts == k).sum()) for k in (1, 2))
        return _Order(
            grams,
            counts,
            contexts,
            np.bincount(place, counts).astype(np.int64),
            np.bincount(place),
            once / max(1, once + 2 * twice) if once else 0.5,
        )

    def _grams(self, records: Sequence[NDArray[Any]]) -> Keys:
        """Return the n-gram that ends at each id and at the end of each record."""
        before, end = np.full(self._order - 1, END, np.uint64), np.array([END], np.uint64)
        padded = [np.concatenate([before, one.astype(np.uint64), end]) for one in records]
        found = []
        for one in padded:
            gram, last = np.zeros(len(one) - self._order + 1, np.uint64), len(one) - self._order + 1
            for k in range(self._order):
                gram = gram * self._size + one[k : k + last]
            found.append(gram)
        return np.concatenate(found)


def _at(keys: Keys, values: NDArray[np.int64], asked: Keys) -> NDArray[np.int64]:
    """Return the value of each asked key; 0 if it is not there."""
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)

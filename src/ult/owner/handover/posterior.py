"""How likely each value of one column is, given all other cells of a record, by a run that knows ids of whole records.

The record is encoded once with each value. What the run finds likely of these sequences, scaled to 1, is the
probability of each value, whatever the place of the column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import cut
from ult.owner.handover.candidates import Bins, Column
from ult.public.vocabulary import EOS
from ult.trainer.scoring import Endings, Scorer

_NEXT = 1e-6  # the least probability of the marker alone at which what follows it is looked at
_LEAST = 1e-300


class Posterior:
    """The probabilities of `cells` of a column, or with `bins` of the bins that these cells stand for.

    A bin has the probability that the run gives to its symbol after what stands before, the sum over all numbers in it,
    times what it then gives to what stands behind, with the cell in place of the number.
    """

    def __init__(self, scorer: Scorer, column: Column, cells: Sequence[str], bins: Bins | None = None) -> None:
        self.scorer, self.column, self.cells = scorer, column, tuple(cells)
        self.cut = 0  # records that were longer than the run's context
        self._bins = None if bins is None else bins.begun_by(column)
        if self._bins is not None:
            spellings = column.table.spellings()
            self._lengths = np.array([len(one) for one in spellings])
            self._marked = np.array([column.marker in one for one in spellings])
            self._first = column.table.size - len(spellings)

    def probabilities(self, records: Sequence[tuple[Any, ...]]) -> NDArray[np.float64]:
        """Return the probability of each cell (n, cells) for each record; the record's own cell is never looked at.

        Raises `InvalidRecord` if the codec refuses another cell.
        """
        n, k = len(self.cells), self.column.k
        many = [(*record[:k], cell, *record[k + 1 :]) for record in records for cell in self.cells]
        ids = cut(*self.column.table.encode_ragged(many, warn=False))
        each = [ids[first : first + n] for first in range(0, len(ids), n)]
        logs = self._of_values(each) if self._bins is None else self._of_bins(each, *self._bins)
        logs -= logs.max(1, keepdims=True)
        found = np.exp(logs)
        return np.asarray(found / found.sum(1, keepdims=True))

    def _of_values(self, each: Iterable[list[NDArray[np.uint32]]]) -> NDArray[np.float64]:
        items = []
        for several in each:
            same = _shared(several)
            items.append(Endings(several[0][:same], [np.append(ids[same:], np.uint32(EOS)) for ids in several]))
        return self._scored(items)

    def _of_bins(
        self, each: Iterable[list[NDArray[np.uint32]]], whole: NDArray[np.int64], rest: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        items, begins = [], []
        for several in each:
            at = int(self._marked[several[0] - self._first].argmax())
            begins.append(several[0][:at])
            ends = [np.append(ids[at:], np.uint32(EOS)) for ids in several]
            counted = [self._after(ids[at:], cell) for ids, cell in zip(several, self.cells, strict=True)]
            items.append(Endings(begins[-1], ends, counted))
        return self._scored(items) + np.log(np.maximum(self._masses(begins, whole, rest), _LEAST))

    def _scored(self, items: Sequence[Endings]) -> NDArray[np.float64]:
        found, cut_ = self.scorer.score(items)
        self.cut += cut_
        return np.stack(found)

    def _after(self, ids: NDArray[np.uint32], cell: str) -> int:
        """Return how many of the first ids spell the marker, the bin and the text of a cell."""
        size = 2 if self.column.field.levels else 2 + len(cell.encode("utf-8", "surrogatepass"))
        return int(np.searchsorted(np.cumsum(self._lengths[ids - self._first]), size) + 1)

    def _masses(
        self, begins: Sequence[NDArray[np.uint32]], whole: NDArray[np.int64], rest: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the probability (n, bins) of the marker with each bin after each beginning, in one id or in two."""
        marker = np.uint32(self.column.table.encode_phrases([np.array([self.column.marker], np.uint32)])[0][0])
        first = self.scorer.following(begins)
        found = _summed(first, whole, len(self.cells))
        alone = np.flatnonzero(first[:, marker] > _NEXT)
        if len(alone):
            second = self.scorer.following([np.append(begins[i], marker) for i in alone.tolist()])
            found[alone] += first[alone, marker][:, None] * _summed(second, rest, len(self.cells))
        return found


def _summed(of_ids: NDArray[np.float64], groups: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """Return the sums (m, n) of the probabilities (m, ids) of each group of ids; ids of group -1 are left out."""
    return np.stack([np.bincount(groups + 1, weights=row, minlength=n + 1)[1:] for row in of_ids])


def _shared(several: Sequence[NDArray[np.uint32]]) -> int:
    """Return how many ids all sequences begin with."""
    shortest = min(map(len, several))
    stack = np.stack([ids[:shortest] for ids in several])
    differ = (stack != stack[0]).any(0)
    return int(differ.argmax()) if differ.any() else shortest

"""Records that are drawn from noisy counts of pairs, along a tree of columns. No record is looked at here.

With a label, three pairs make one table of the label, a column and the column before it in the tree, the one that
assumes nothing more (iterative proportional fitting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ult.synth.marginals.column import Cell, Codes, Floats
from ult.synth.marginals.known import LEAST, ROUNDS, Known, Measured


def together(label_before: Floats, label_own: Floats, before_own: Floats) -> Floats:
    """Return a table (label, before, own) with these three tables as its sums, and nothing more assumed."""
    found = np.maximum(label_before, LEAST)[:, :, None] * np.ones(before_own.shape[1])
    for _ in range(ROUNDS):
        found *= (label_own / np.maximum(found.sum(1), LEAST))[:, None, :]
        found *= before_own / np.maximum(found.sum(0), LEAST)
        found *= (label_before / np.maximum(found.sum(2), LEAST))[:, :, None]
    return found


class Model:
    """Draws records by what is known of them; `label` says whether the first column is one."""

    def __init__(self, measured: Measured, *, label: bool) -> None:
        self.columns, self.label = measured.columns, label
        self.known = Known(measured.records, measured.columns, measured.noise, measured.pairs)
        self.before = self._walk()

    def _walk(self) -> dict[int, int | None]:
        """Return the column before each one in the tree, in an order in which that comes first."""
        free = list(range(self.label, len(self.columns)))
        found: dict[int, int | None] = {}
        for root in free:
            if root not in found:
                found[root], new = None, [root]
                while new:
                    k = new.pop()
                    beside = [m for m in free if (k, m) in self.known.pairs and m not in found]
                    found |= dict.fromkeys(beside, k)
                    new += beside
        return found

    def counts(self) -> dict[str, float]:
        """Return how many records have each label."""
        return {str(cell): float(n) for cell, n in zip(self.columns[0].atoms, self.known.alone[0], strict=False)}

    def draw(self, n: int, seed: int, labels: Sequence[str] = ()) -> list[tuple[Cell, ...]]:
        """Return `n` records, with these `labels` if there are some."""
        rng = np.random.default_rng(seed)
        codes: dict[int, Codes] = {}
        if self.label:
            codes[0] = self.columns[0].codes(labels)
        for k, before in self.before.items():
            codes[k] = self._column(k, before, codes, n, rng)
        cells = [self.columns[k].cells(codes[k], rng) for k in range(len(self.columns))]
        return list(zip(*cells, strict=True))

    def _column(
        self, k: int, before: int | None, codes: Mapping[int, Codes], n: int, rng: np.random.Generator
    ) -> Codes:
        """Return the classes (n,) of a column, given those of the columns before it."""
        known = self.known
        if not self.label:
            table = known.alone[k][None] if before is None else known.pairs[before, k]
            return _drawn(table, np.zeros(n, np.int64) if before is None else codes[before], self._usual(k), rng)
        if before is None:
            return _drawn(known.pairs[0, k], codes[0], self._usual(k), rng)
        three = together(known.pairs[0, before], known.pairs[0, k], known.pairs[before, k])
        given = codes[0] * three.shape[1] + codes[before]
        return _drawn(three.reshape(-1, three.shape[2]), given, self._usual(k), rng)

    def _usual(self, k: int) -> Floats:
        """Return how often each class of a column is there, the last one left out if there is any other."""
        found = self.known.alone[k].copy()
        if found[:-1].sum() > 0:
            found[-1] = 0
        return found if found.sum() > 0 else np.eye(len(found))[-1]


def _drawn(tables: Floats, given: Codes, usual: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a class for each of `given` (n,), by the row of `tables` that it names, or as is usual if that is empty.

    Of the records with the same row, each class gets its share, but for what is no whole number.
    """
    found = np.zeros(len(given), np.int64)
    for row in np.unique(given).tolist():
        at = np.flatnonzero(given == row)
        shares = tables[row] * (usual > 0)
        shares = shares if shares.sum() > LEAST * len(shares) * 2 else usual
        stops = np.cumsum(shares / shares.sum())
        places = (np.arange(len(at)) + rng.random()) / len(at)
        found[rng.permutation(at)] = np.minimum(np.searchsorted(stops, places, side="right"), len(shares) - 1)
    return found

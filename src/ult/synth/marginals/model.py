"""Records that are drawn from noisy counts of pairs, along a tree of columns. No record is looked at here.

With a label, three pairs make one table of the label, a column and the column before it in the tree, the one that
assumes nothing more (iterative proportional fitting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.synth.marginals.column import Cell, Codes, Floats
from ult.synth.marginals.known import LEAST, ROUNDS, Known, Measured, projected
from ult.synth.marginals.persons import Persons


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
        given = {0: self.columns[0].codes(labels)} if self.label else {}
        codes = self._codes(n, given, {}, rng)
        cells = [self.columns[k].cells(codes[k], rng) for k in range(len(self.columns))]
        return list(zip(*cells, strict=True))

    def draw_persons(self, told: Persons, n: int, seed: int) -> list[tuple[tuple[Cell, ...], ...]]:
        """Return the rows of `n` persons, whose cells stay as they are from row to row as often as was counted."""
        rng = np.random.default_rng(seed)
        sizes = projected(np.array(told.sizes), self.known.n)
        many = 1 + _drawn(sizes[None], np.zeros(n, np.int64), sizes, rng)
        stays = self._stays(told, float(sizes[1:].sum()))
        rows: list[list[tuple[Cell, ...]]] = [[] for _ in range(n)]
        codes: dict[int, Codes] = {}
        for row in range(int(many.max())):
            here, width = np.flatnonzero(many > row), range(len(self.columns))
            kept = {k: rng.random(len(here)) < (stays[k] if row else 0.0) for k in width}
            last = {k: (kept[k], codes[k][here]) for k in width if row}
            new = self._codes(len(here), {}, last, rng)
            cells = [self.columns[k].cells(new[k], rng) for k in width]
            codes = {k: _spread(new[k], here, n) for k in width}
            for j, i in enumerate(here.tolist()):
                rows[i].append(tuple(rows[i][-1][k] if kept[k][j] else cells[k][j] for k in width))
        return [tuple(one) for one in rows]

    def _stays(self, told: Persons, several: float) -> list[float]:
        """Return how often each column's cell stays beside those that are drawn anew and happen to be the same."""
        found = [1.0] * (len(self.columns) - len(told.stays))
        for column, alone, many in zip(
            self.columns[len(found) :], self.known.alone[len(found) :], told.stays, strict=True
        ):
            shares = alone[: len(column.atoms)] / self.known.n
            by_chance, there = float((shares**2).sum()), many / max(several, 1.0)
            found.append(min(max((there - by_chance) / max(1 - by_chance, LEAST), 0.0), 1.0))
        return found

    def _codes(
        self, n: int, given: Mapping[int, Codes], last: Mapping[int, tuple[Any, Codes]], rng: np.random.Generator
    ) -> dict[int, Codes]:
        """Return the classes (n,) of each column; where `last` says which are kept (n,), they are as they were."""
        codes = dict(given)
        for k, before in self.before.items():
            codes[k] = self._column(k, before, codes, n, rng)
            if k in last:
                codes[k] = np.where(*last[k], codes[k])
        return codes

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
        """Return how often each class of a column is there, the last one left out if its cells are too rare to be told.

        What goes beyond what was declared is written as empty, unless the field is required.
        """
        found = self.known.alone[k].copy()
        column = self.columns[k]
        if found[:-1].sum() > 0 and (not column.closed or column.field.required):
            found[-1] = 0
        return found if found.sum() > 0 else np.eye(len(found))[-1]


def _spread(codes: Codes, at: Codes, n: int) -> Codes:
    """Return the classes (n,) of all, of which those at some places are known."""
    found = np.zeros(n, np.int64)
    found[at] = codes
    return found


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

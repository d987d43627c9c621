"""Gather what a run predicts of a column, a batch of records at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.codecs.record.numeric import Number
from ult.data.columns.schema import Schema
from ult.host.shown import count
from ult.owner.handover.candidates import Bins, Column
from ult.owner.handover.questions import Question
from ult.trainer.tasks.figures import Figures
from ult.trainer.tasks.predicted import Predicted


@dataclass(slots=True)
class Answers:
    """Gathers the probabilities of the `cells` of a column, or with `bins` of those, a batch of records at a time."""

    column: Column
    cells: tuple[str, ...]
    bins: Bins | None
    _found: list[NDArray[np.float32]] = field(default_factory=list)
    _records: list[str] = field(default_factory=list)
    _truth: list[int] = field(default_factory=list)
    _true: list[float] = field(default_factory=list)  # the true number of each record, of a number in bins
    _unlisted: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The values that are told apart."""
        return self.bins.names if self.bins else self.cells

    def layout(self) -> Schema:
        """Return the columns of the output."""
        more = ["expected", "median"] if self.bins else []
        chances = [*more, *(f"p({name})" for name in self.names)]
        texts = [Field(name=name, kind="text") for name in ("record", "predicted")]
        return Schema(fields=(*texts, *(Field(name=name, kind="number", type="double") for name in chances)))

    def add(self, question: Question, probabilities: NDArray[np.float64]) -> list[tuple[Any, ...]]:
        """Add the probabilities (n, values) of the records of a question; return the lines of the output."""
        self._found.append(probabilities.astype(np.float32))
        self._records += question.names
        for cell in question.truth:
            place, number = self._place(cell)
            self._truth.append(place)
            self._true.append(number)
            self._unlisted += place < 0 and cell not in (None, "", *self.column.field.missing)
        best = probabilities.argmax(1).tolist()
        numbers = self._expected(probabilities) if self.bins else np.empty((len(best), 0))
        chances = np.hstack([numbers, probabilities])
        return [
            (name, self.cells[value], *(f"{chance:.6g}" for chance in row))
            for name, value, row in zip(question.names, best, chances.tolist(), strict=True)
        ]

    def _place(self, cell: str | None) -> tuple[int, float]:
        """Return which of the values a true cell is, -1 for none of them, and the number that it holds."""
        kind = self.column.codec.kinds[self.column.place]
        if self.bins is None or not isinstance(kind, Number):
            return (self.cells.index(cell) if cell in self.cells else -1), np.nan
        spelled = (cell or "").encode("utf-8", "surrogatepass")
        if cell is None or cell in kind.numbers.missing or not kind.numbers.machine.accepts(spelled):
            return -1, np.nan
        return kind.numbers.bin_of(cell, None), float(kind.numbers.plain(cell))

    def _expected(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the expected number and the median (n, 2)."""
        if self.bins is None:
            return np.empty((len(probabilities), 0))
        chances = probabilities.astype(np.float64)
        median = (chances.cumsum(1) >= 0.5 * chances.sum(1, keepdims=True)).argmax(1)
        return np.stack([chances @ self.bins.centres, self.bins.values[median]], 1)

    def predicted(self, path: Path | None, told: Sequence[str]) -> Predicted:
        """Return all of it."""
        found = np.concatenate([np.empty((0, len(self.names)), np.float32), *self._found])
        truth, true = np.array(self._truth, np.int64), np.array(self._true)
        numbers = self._expected(found) if self.bins else None
        known = ~np.isnan(true)
        of = None if numbers is None else (true[known], numbers[known, 1])
        return Predicted(
            target=self.column.field.name,
            values=self.names,
            records=tuple(self._records),
            likeliest=tuple(self.cells[value] for value in found.argmax(1).tolist()),
            probabilities=found,
            truth=truth,
            expected=None if numbers is None else numbers[:, 0],
            median=None if numbers is None else numbers[:, 1],
            figures=Figures.of(truth, found, self.names, unlisted=self._unlisted, numbers=of),
            path=path,
            told=tuple(told),
        )

    def remarks(self, cut: int, context: int) -> list[str]:
        """Return sentences on what was not read and not told apart."""
        found = []
        if cut:
            found.append(
                f"{count(cut, 'record')} of more ids than the run's context of {context}: only what stands near "
                f"{self.column.field.name!r} was read"
            )
        if self._unlisted:
            what = "no number" if self.bins else "none of the values"
            found.append(f"{count(self._unlisted, 'true cell')} {'is' if self._unlisted == 1 else 'are'} {what}")
        return found

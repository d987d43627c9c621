"""What a run predicts of records: the likeliest value of each, the probability of each value, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ult.host.shown import Facts, Shown, count
from ult.trainer.tasks.figures import Figures
from ult.trainer.tasks.regress import Numbers


@dataclass(frozen=True, slots=True, repr=False)
class Predicted(Shown):
    """What a run predicts of a column, for each record; the column may be a label that shards keep.

    `values` are what is told apart, and `probabilities` (n, values) float32 how likely each is; `likeliest` holds the
    likeliest one of each record. `records` are the units of the records, or their places. `truth` (n,) int64 says which
    of the values the true one is, -1 if that is not known or none of them.

    Of a number, `values` are bins, the likeliest one is a cell of its bin, and `expected` and `median` (n,) are of the
    bins' means and cells. `figures` are there if the inputs have the column.
    """

    target: str
    values: tuple[str, ...]
    records: tuple[str, ...]
    likeliest: tuple[str, ...]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.int64]
    expected: NDArray[np.float64] | None
    median: NDArray[np.float64] | None
    figures: Figures | Numbers | None
    path: Path | None
    told: tuple[str, ...] = ()

    @property
    def told_apart(self) -> str:
        """The number of values or bins, as a phrase."""
        if not self.values:
            return "one number a record"
        return count(len(self.values), "value" if self.expected is None else "bin")

    def facts(self) -> Facts:
        """Return how many records and values there are, the figures, and the output's path; never a record."""
        place = [("written to", str(self.path))] if self.path else []
        figures = self.figures.facts() if self.figures else []
        return [("records", f"{len(self.records):,}"), ("told apart", self.told_apart), *figures, *place]

    def __repr__(self) -> str:
        return f"<Predicted: {self.told_apart} of {count(len(self.records), 'record')}>"

    def remarks(self) -> list[str]:
        """Return sentences that the reader of the figures should know."""
        return list(self.told)

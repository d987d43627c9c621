"""How good predictions of a column are, where the true cells are there: figures, with those of guessing beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.host.shown import Facts
from ult.trainer.evaluate import wilson

_LEAST = 1e-300  # a probability of 0 would cost infinitely many nats


@dataclass(frozen=True, slots=True)
class Figures:
    """What predictions achieve on `records` of which the true cell is told.

    `accuracy` is the share whose likeliest value is the true one, with its 95 % interval, and `majority` that of the
    most frequent one; higher is better. `log_loss`, in nats a record, is that of the probabilities, and `base_loss`
    that of the shares of the true values; lower is better. `auroc` is for two values, the second in their order against
    the first; higher is better. Of `unlisted` records the true cell is none of the values: they count as wrong, and
    only in `accuracy`.

    Of a number, values are bins; `error` is the mean distance of the predicted median from the true number, and
    `base_error` that of one median for all records; lower is better.
    """

    records: int
    unlisted: int
    accuracy: float
    interval: tuple[float, float]
    majority: float
    log_loss: float | None
    base_loss: float | None
    auroc: float | None = None
    positive: str = ""
    error: float | None = None
    base_error: float | None = None

    @classmethod
    def of(
        cls,
        truth: NDArray[np.int64],
        probabilities: NDArray[np.floating],
        names: Sequence[str],
        *,
        unlisted: int,
        numbers: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> Figures | None:
        """Return the figures of true values (n,) and probabilities (n, values); None if no truth is known.

        A truth of -1 is not known or, `unlisted` times, none of the values. `numbers` are the true numbers and the
        predicted medians (m,) of those that are known.
        """
        known = np.flatnonzero(truth >= 0)
        n = len(known) + unlisted
        if not n:
            return None
        told, found = truth[known], probabilities[known].astype(np.float64)
        shares = np.bincount(told, minlength=len(names)) / max(len(known), 1)
        accuracy = float((found.argmax(1) == told).sum() / n)
        low, high = wilson(accuracy, n)
        occurring = np.flatnonzero(shares)
        auroc, positive = None, ""
        if len(occurring) == 2:
            first, second = occurring
            both = found[:, first] + found[:, second]
            auroc = area(found[:, second] / np.maximum(both, _LEAST), told == second)
            positive = names[int(second)]
        error = base_error = None
        if numbers is not None and len(numbers[0]):
            true, median = numbers
            error = float(np.abs(true - median).mean())
            base_error = float(np.abs(true - np.median(true)).mean())
        of_truth = found[np.arange(len(told)), told]
        return cls(
            n,
            unlisted,
            accuracy,
            (low, high),
            float(shares.max()) * len(known) / n,
            float(-np.log(np.maximum(of_truth, _LEAST)).mean()) if len(told) else None,
            float(-(shares[occurring] * np.log(shares[occurring])).sum()) if len(told) else None,
            auroc,
            positive,
            error,
            base_error,
        )

    def facts(self) -> Facts:
        """Return the figures as names and values."""
        low, high = self.interval
        bins = self.error is not None
        found = [
            ("accuracy" + (" of the bin" if bins else ""), f"{self.accuracy:.1%}  (95 %: {low:.1%} to {high:.1%})"),
            ("the most frequent one", f"{self.majority:.1%}"),
        ]
        if self.log_loss is not None:
            found += [
                ("log loss", f"{self.log_loss:.4f} nats"),
                ("log loss of the shares", f"{self.base_loss:.4f} nats"),
            ]
        if self.auroc is not None:
            found.append((f"AUROC of {self.positive}", f"{self.auroc:.4f}"))
        if self.error is not None:
            found += [("mean error of the median", f"{self.error:.4g}"), ("of one median", f"{self.base_error:.4g}")]
        return [*found, ("true cells", f"{self.records:,}")]


def area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: how likely a positive scores above a negative, ties counting half.

    >>> area(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    n = int(positive.sum())
    above = ranks[positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(scores) - n)))

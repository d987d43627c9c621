"""How good predictions of a column are, where the true cells are there: figures, with those of guessing beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.host.shown import Facts
from ult.trainer.tasks.classified import Classified, recall_facts
from ult.trainer.tasks.interval import wilson

_LEAST = 1e-300  # a probability of 0 would cost infinitely many nats


@dataclass(frozen=True, slots=True)
class Figures:
    """What predictions achieve on `records` of which the true cell is told.

    `accuracy` is the share whose likeliest value is the true one, with its 95 % interval, and `majority` that of the
    most frequent one; higher is better. `log_loss`, in nats a record, is that of the probabilities, and `base_loss`
    that of the shares of the true values; lower is better. `auroc` and `auprc` are for two values, the second in their
    order against the first, or of more the mean of each against all others; higher is better, as of
    `balanced_accuracy`. `calibration_error` is the mean distance of the highest probability from the share that is
    right; lower is better. `recalls` say in words what each value is taken for. Of `unlisted` records the true cell is
    none of the values: they count as wrong, and only in `accuracy`.

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
    auprc: float | None = None
    positive: str = ""
    balanced_accuracy: float | None = None
    calibration_error: float | None = None
    recalls: tuple[tuple[str, str], ...] = ()
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
        rates = Classified.of(told, found) if len(known) else None
        areas, positive = rates, ""
        if len(occurring) == 2:
            second = int(occurring[1])
            both = found[:, occurring]
            areas = Classified.of((told == second).astype(np.int64), both / np.maximum(both.sum(1), _LEAST)[:, None])
            positive = names[second]
        error = base_error = None
        if numbers is not None and len(numbers[0]):
            true, median = numbers
            error = float(np.abs(true - median).mean())
            base_error = float(np.abs(true - np.median(true)).mean())
        return cls(
            n,
            unlisted,
            accuracy,
            (low, high),
            float(shares.max()) * len(known) / n,
            None if rates is None else rates.log_loss,
            float(-(shares[occurring] * np.log(shares[occurring])).sum()) if len(told) else None,
            None if areas is None else areas.auroc,
            None if areas is None else areas.auprc,
            positive,
            None if rates is None else rates.balanced_accuracy,
            None if rates is None else rates.calibration_error,
            () if rates is None or numbers is not None else tuple(recall_facts(names, rates.confusion)),
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
        if self.auroc is not None and not bins:
            of = f"of {self.positive}" if self.positive else "of each against the rest"
            found += [
                ("balanced accuracy", f"{self.balanced_accuracy:.1%}"),
                (f"AUROC {of}", f"{self.auroc:.4f}"),
                (f"AUPRC {of}", f"{self.auprc:.4f}"),
                ("calibration error", f"{self.calibration_error:.4f}"),
            ]
        if self.error is not None:
            found += [("mean error of the median", f"{self.error:.4g}"), ("of one median", f"{self.base_error:.4g}")]
        return [*found, ("true cells", f"{self.records:,}"), *self.recalls]

"""What probabilities of classes achieve where the true ones are known: recalls, areas, calibration, what is mistaken.

The figures are those of scikit-learn, with which the tests compare them; the trainer does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.host.shown import Facts

CONFIDENCES = 15  # bins of equal width of the highest probability, as in Guo et al. (arXiv:1706.04599)
_LEAST = 1e-300  # a probability of 0 would cost infinitely many nats
_LINES, _NAMED = 20, 4  # classes that are shown, and classes that each is mistaken for


@dataclass(frozen=True, slots=True)
class Classified:
    """What probabilities achieve on records of known classes.

    `confusion` (classes, classes) counts the records of a true class, its row, by the likeliest one. `auroc` and
    `auprc`, the areas under the curves of ROC and of precision and recall, are those of the second of two classes, of
    more the mean of each one against all others; both and `balanced_accuracy`, the mean recall, are of the classes that
    occur, and higher is better. `log_loss`, in nats a record, and `calibration_error`, the mean distance of the highest
    probability from the share that is right: lower is better. `majority` is the share of the most frequent class.
    """

    confusion: NDArray[np.int64]
    log_loss: float
    calibration_error: float
    auroc: float | None
    auprc: float | None

    @classmethod
    def of(cls, truth: NDArray[np.int64], probabilities: NDArray[np.floating]) -> Classified:
        """Return the figures of true classes (n,), at least one, and probabilities (n, classes)."""
        found, classes = probabilities.astype(np.float64), probabilities.shape[1]
        best = found.argmax(1)
        confusion = np.bincount(truth * classes + best, minlength=classes**2).reshape(classes, classes)
        known = [k for k in ([1] if classes == 2 else range(classes)) if 0 < (truth == k).sum() < len(truth)]
        return cls(
            confusion,
            float(-np.log(np.maximum(found[np.arange(len(truth)), truth], _LEAST)).mean()),
            calibration_error(found.max(1), best == truth),
            _mean([area(found[:, k], truth == k) for k in known]),
            _mean([average_precision(found[:, k], truth == k) for k in known]),
        )

    @property
    def recalls(self) -> NDArray[np.float64]:
        """The share of each class (classes,) that is found; no number for one that does not occur."""
        every = self.confusion.sum(1)
        return np.where(every > 0, np.diag(self.confusion) / np.maximum(every, 1), np.nan)

    @property
    def accuracy(self) -> float:
        """The share of records whose likeliest class is the true one."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that occur."""
        return float(np.nanmean(self.recalls))

    @property
    def majority(self) -> float:
        """The share of the most frequent class."""
        return float(self.confusion.sum(1).max() / self.confusion.sum())


def recall_facts(names: Sequence[str], confusion: NDArray[np.int64]) -> Facts:
    """Return a line a class that occurs: its recall, and which classes it is mistaken for; the most frequent first."""
    every = confusion.sum(1)
    order = [k for k in np.argsort(-every, kind="stable").tolist() if every[k]]
    found = []
    for k in order[:_LINES]:
        others = [j for j in np.argsort(-confusion[k], kind="stable").tolist() if j != k and confusion[k, j]]
        taken = [f"{names[j]} {confusion[k, j]:,}" for j in others[:_NAMED]]
        taken += [f"{len(others) - _NAMED} more"] if len(others) > _NAMED else []
        mistaken = f"; taken for {', '.join(taken)}" if taken else ""
        found.append((f"recall of {names[k]}", f"{confusion[k, k] / every[k]:.1%} of {every[k]:,}{mistaken}"))
    return [*found, *([("more classes", f"{len(order) - _LINES:,}")] if len(order) > _LINES else [])]


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


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the precision at each score, averaged over the positives; records of one score come together.

    >>> average_precision(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.8333333333333333
    """
    _, places = np.unique(-scores, return_inverse=True)
    found = np.bincount(places, weights=positive)
    precision = found.cumsum() / np.bincount(places).cumsum()
    return float((precision * found).sum() / positive.sum())


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Return the mean distance of confidence from accuracy over `CONFIDENCES` bins, each weighed by its records.

    >>> round(calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, True, True, False])), 6)
    0.1
    """
    places = np.minimum((confidence * CONFIDENCES).astype(np.int64), CONFIDENCES - 1)
    excess = np.bincount(places, weights=confidence - right, minlength=CONFIDENCES)
    return float(np.abs(excess).sum() / len(confidence))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None

"""The likelihood ratio of a score between makings with a record and without it (LiRA, Carlini et al. 2022)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEW = 64  # with fewer makings, all records share one variance, as in the paper
Floats = NDArray[np.float64]


def ratio(of: Floats, scores: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Return the score of each record, (records,), higher for those that what is audited was made with.

    `of` (records,) are the scores of what is audited, `scores` (makings, records) those of makings of which it is known
    what they saw: `seen` (makings, records). It is the online attack; both distributions are taken as normal.
    """
    total = np.zeros(len(of))
    for sign, which in ((1.0, seen), (-1.0, ~seen)):
        n = which.sum(0)
        mean = (scores * which).sum(0) / n
        variance = (((scores - mean) ** 2) * which).sum(0) / np.maximum(n - 1, 1)
        if len(scores) < FEW:
            variance = np.full(len(of), variance[n > 1].mean())
        variance = np.maximum(variance, 1e-12)
        total += sign * (-np.log(variance) / 2 - (of - mean) ** 2 / (2 * variance))
    return total

"""95 % intervals of shares and of ratios over records."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # the normal deviate of a two-sided 95 % interval
RESAMPLES = 2000


def wilson(share: float, n: int) -> list[float]:
    """Return Wilson's 95 % interval (1927) of a share of `n`.

    >>> [round(x, 4) for x in wilson(0.9, 100)]
    [0.8256, 0.9448]
    """
    centre, spread = share + Z**2 / (2 * n), Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return [max(0.0, (centre - spread) / (1 + Z**2 / n)), min(1.0, (centre + spread) / (1 + Z**2 / n))]


def half_width(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float | None:
    """Return half the width of the 95 % interval of sum(values) / sum(counts) over records, by the ratio estimator.

    Cochran, Sampling Techniques (1977), section 6.4. None for a single record.
    """
    n = len(values)
    if n < 2:
        return None
    residuals = values - values.sum() / counts.sum() * counts
    return float(Z * math.sqrt((residuals**2).sum() / (n - 1) / n) / counts.mean())

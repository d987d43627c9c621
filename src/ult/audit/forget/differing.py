"""How a run differs from the retrained one on forgotten records, beside how it differs on records that no run saw.

The scores are differences of a record's mean log-probability under the two runs. Whatever makes a record easy is in
both and cancels out, so on a run that knows no more than the retrained one, forgotten records are drawn from the same
distribution as the others: the AUC is 0.5, above it the run remembers, below it the run avoids what it was to forget.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from ult.audit.bounds import MISS, Scores, auc, auc_interval
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import stats

SHIFT = 0.5  # the shift, in standard deviations, for which the power of the Kolmogorov-Smirnov test is told
_TRIALS = 400


def differing(forgotten: Scores, nonmembers: Scores, *, tests: int = 1) -> dict[str, Any]:
    """Return, as JSON values, the AUC of differences (f,) on forgotten records above those (n,) on others.

    The interval is wrong at most `MISS / tests`.
    """
    area = auc(forgotten, nonmembers)
    interval = auc_interval(area, len(forgotten), len(nonmembers), MISS / tests)
    return {"auc": area, "auc_interval": interval, "forgotten": len(forgotten), "nonmembers": len(nonmembers)}


def alone(forgotten: Scores, nonmembers: Scores) -> dict[str, Any]:
    """Return, as JSON values, the AUC of a run's own log-probabilities, as most papers report it."""
    area = auc(forgotten, nonmembers)
    return {"auc": area, "auc_interval": auc_interval(area, len(forgotten), len(nonmembers))}


def smirnov(forgotten: Scores, nonmembers: Scores) -> dict[str, Any]:
    """Return, as JSON values, the Kolmogorov-Smirnov test of the two groups, and what so few records can show.

    `power` is the probability that it finds a shift of `SHIFT` standard deviations of one of the groups at level 0.05:
    a large p-value of few records says nothing.
    """
    found = stats.ks_2samp(forgotten, nonmembers)
    few, many = len(forgotten), len(nonmembers)
    return {
        "statistic": float(found.statistic),
        "p_value": float(found.pvalue),
        "n": [few, many],
        "shift": SHIFT,
        "power": power(few, many),
    }


@cache
def power(few: int, many: int, shift: float = SHIFT) -> float:
    """Return the probability that the test finds a shift of normal scores at level 0.05, by simulation.

    >>> power(20, 200) < 0.6 < 0.95 < power(200, 200)
    True
    """
    rng = np.random.default_rng(0)
    found = [
        stats.ks_2samp(rng.normal(shift, 1, few), rng.normal(0, 1, many), method="asymp").pvalue < MISS
        for _ in range(_TRIALS)
    ]
    return float(np.mean(found))


def dearer(of: Scores, beside: Scores, *, seed: int = 0, resamples: int = 1000) -> dict[str, Any]:
    """Return, as JSON values, the ratio of two runs' costs (n,) of the same records, with a bootstrap interval."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(of), len(of)) for _ in range(resamples)]
    low, high = np.quantile([of[k].sum() / beside[k].sum() for k in drawn], [MISS / 2, 1 - MISS / 2])
    return {"ratio": float(of.sum() / beside.sum()), "interval": [float(low), float(high)], "records": len(of)}

"""95 % intervals: over seeds (Student's t), over records (bootstrap, Wilson), over both at once (bootstrap).

What was timed in rounds has their whole range instead.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
T, WILSON, RECORDS, BOTH = "t over seeds", "Wilson over records", "bootstrap over records", "bootstrap over both"
CLOPPER = "Clopper-Pearson over records and pairs"
ROUNDS = "range of the rounds"
FIT = "t of a fitted curve"
COUNTED, UNMEASURED, ONE_SEED = "none: counted", "none: not measured", "none: one seed"
KINDS = (T, WILSON, RECORDS, BOTH, CLOPPER, ROUNDS, FIT, COUNTED, UNMEASURED, ONE_SEED)
NO_SEEDS = (ROUNDS, FIT, COUNTED, UNMEASURED)  # kinds that may rest on no seed
RESAMPLES = 1000


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return mean and t-interval of a value per seed: what training again would change, on the same records.

    >>> {k: round(v, 3) for k, v in over_seeds([1.0, 2.0, 3.0]).items() if k != "interval"}
    {'value': 2.0, 'low': -0.484, 'high': 4.484}
    """
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < 2:
        return {"value": mean, "low": None, "high": None, "interval": ONE_SEED}
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return {"value": mean, "low": mean - half, "high": mean + half, "interval": T}


def of_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Return the ratio of positive values, paired by seed: geometric mean and t-interval of the logarithms.

    >>> {k: round(v, 3) for k, v in of_ratio([2.0, 4.0], [1.0, 2.0]).items() if k != "interval"}
    {'value': 2.0, 'low': 2.0, 'high': 2.0}
    """
    logs = over_seeds([math.log(a / b) for a, b in zip(ours, theirs, strict=True)])
    return {key: math.exp(v) if isinstance(v, float) else v for key, v in logs.items()}


def over_records(statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int = 0) -> dict[str, Any]:
    """Return `statistic` of all places `arange(n)`, and its percentile interval over places drawn with replacement."""
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": float(statistic(np.arange(n))), "low": float(low), "high": float(high), "interval": RECORDS}


def over_both(scores: Floats, classes: NDArray[Any] | None = None, *, seed: int = 0) -> dict[str, Any]:
    """Return the mean of `scores` (seeds, records), and its interval over seeds and records drawn anew at once.

    With `classes` (records,) it is the mean of the classes' means: of hits, the balanced accuracy. A score may be a
    difference between two systems, and the interval is then a paired one. The pigeonhole bootstrap of Owen (2007),
    somewhat wide by design: seeds and records are drawn independently. A single seed is not drawn.
    """
    rng, (seeds, records) = np.random.default_rng(seed), scores.shape
    of = np.zeros(records) if classes is None else classes
    member = (np.unique(of)[:, None] == of).astype(float)  # (classes, records)

    def mean(of_seed: NDArray[np.int64], of_record: NDArray[np.int64]) -> float:
        drawn = member @ of_record
        sums = member @ (of_record * (of_seed @ scores)) / of_seed.sum()
        return float((sums[drawn > 0] / drawn[drawn > 0]).mean())

    means = [
        mean(
            np.bincount(rng.integers(0, seeds, seeds), minlength=seeds),
            np.bincount(rng.integers(0, records, records), minlength=records),
        )
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    value = mean(np.ones(seeds, int), np.ones(records, int))
    return {"value": value, "low": float(low), "high": float(high), "interval": BOTH if seeds > 1 else RECORDS}


def ratio_over_both(ours: Floats, theirs: Floats, *, seed: int = 0) -> dict[str, Any]:
    """Return the ratio of two sums of (seeds, records), and its interval over seeds and records drawn anew at once.

    >>> ours = np.arange(1.0, 7.0).reshape(2, 3)
    >>> {k: round(v, 3) for k, v in ratio_over_both(2 * ours, ours).items() if k != "interval"}
    {'value': 2.0, 'low': 2.0, 'high': 2.0}
    """
    rng, (seeds, records) = np.random.default_rng(seed), ours.shape
    drawn = []
    for _ in range(RESAMPLES):
        of_seed = np.bincount(rng.integers(0, seeds, seeds), minlength=seeds)
        of_record = np.bincount(rng.integers(0, records, records), minlength=records)
        drawn.append(float((of_seed @ ours @ of_record) / (of_seed @ theirs @ of_record)))
    low, high = map(float, np.quantile(drawn, [0.025, 0.975]))
    kind = BOTH if seeds > 1 else RECORDS
    return {"value": float(ours.sum() / theirs.sum()), "low": low, "high": high, "interval": kind}


def of_growth(sizes: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    """Return the exponent e of values that are a + b sizes^e, a at least 0, and its t-interval by the fit's residuals.

    The squares of relative errors are least. It takes four sizes or more.

    >>> found = of_growth([1, 10, 100, 1000, 10000], [3.0, 12.1, 102.0, 1000.0, 10003.0])
    >>> round(found["value"], 2), round(found["low"], 2) <= 1.0 <= found["high"]
    (1.0, True)
    """
    from scipy.optimize import curve_fit
    from scipy.stats import t

    x, y = np.array(sizes, float) / max(sizes), np.array(values, float)
    begin = [y.min(), max(y.max() - y.min(), y.max() / 100), 1.0]
    limits = ([0.0, 0.0, 0.0], [np.inf, np.inf, 5.0])
    found, spread = curve_fit(lambda x, a, b, e: a + b * x**e, x, y, begin, sigma=y, bounds=limits)
    half = float(t.ppf(0.975, len(y) - 3) * math.sqrt(spread[2, 2]))
    exponent = float(found[2])
    return {"value": exponent, "low": exponent - half, "high": exponent + half, "interval": FIT}


def counted(value: float) -> dict[str, Any]:
    """Return a value that was counted, not estimated: it has no interval."""
    return {"value": float(value), "low": None, "high": None, "interval": COUNTED}


def unmeasured(value: float) -> dict[str, Any]:
    """Return an estimate of which nobody measured how far off it may be."""
    return counted(value) | {"interval": UNMEASURED}


def of_rounds(values: Sequence[float]) -> dict[str, Any]:
    """Return the median of what was timed in rounds, and their range.

    >>> of_rounds([3.0, 1.0, 2.0])
    {'value': 2.0, 'low': 1.0, 'high': 3.0, 'interval': 'range of the rounds'}
    """
    return {"value": statistics.median(values), "low": min(values), "high": max(values), "interval": ROUNDS}

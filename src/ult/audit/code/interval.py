"""The 95 % confidence interval of a share of id occurrences, over the choice of records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import special, stats

MISS = 0.05  # the probability that an interval is wrong


def over_records(right: NDArray[np.bool_], target: Coded) -> list[float]:
    """Return the 95 % interval of the share of occurrences whose kinds are `right` (k,) bool, over records like these.

    The interval does not cover that an attack on other records might get other kinds right.
    """
    records = target.ends > target.starts
    sizes = (target.ends - target.starts)[records].astype(float)
    hits = np.diff(np.append(0, np.cumsum(right[target.kinds])[target.ends - 1][records])).astype(float)
    return of_ratio(hits, sizes)


def of_ratio(hits: NDArray[np.float64], sizes: NDArray[np.float64]) -> list[float]:
    """Return the 95 % interval of the share `hits` of `sizes`, (r,) each, of records like these.

    It is the Clopper-Pearson interval for the effective sample size: the number of independent occurrences with the
    variance seen between records (Korn and Graubard, Survey Methodology 24, 1998). What is in one record is correlated,
    so few records give a wide interval, and one record gives [0, 1].
    """
    hits, sizes = hits[sizes > 0], sizes[sizes > 0]
    n, total = len(sizes), float(sizes.sum())
    share = float(hits.sum() / total)
    if n == 1:
        return [0.0, 1.0]
    spread = n / (n - 1) * float(((hits - share * sizes) ** 2).sum()) / total**2  # variance of the ratio, linearised
    if spread > 0:
        normal, student = special.ndtri(1 - MISS / 2), stats.t.ppf(1 - MISS / 2, n - 1)
        effective = min(total, share * (1 - share) / spread) * float(normal / student) ** 2
    else:  # all records have the same share, so their variance is unknown
        effective = float(n)
    successes, failures = share * effective, (1 - share) * effective
    low = stats.beta.ppf(MISS / 2, successes, failures + 1) if share > 0 else 0.0
    high = stats.beta.ppf(1 - MISS / 2, successes + 1, failures) if share < 1 else 1.0
    return [min(float(low), share), max(float(high), share)]

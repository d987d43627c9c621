"""The 95 % interval of a share of id occurrences: how far another draw of such records could be from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import Coded
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import special, stats

MISS = 0.05  # how often an interval may be wrong


def over_records(right: NDArray[np.bool_], target: Coded) -> list[float]:
    """Return the 95 % interval of the share of occurrences whose kinds are `right` (k,), over records like these.

    Clopper and Pearson's for as many independent occurrences as would scatter as the records do (Korn and Graubard,
    Survey Methodology 24, 1998). Ids of a record stand and fall together, so that few records tell little, and one
    record nothing. Which kinds are right is taken as it is: other records of the table might have others read.
    """
    records = target.ends > target.starts
    sizes = (target.ends - target.starts)[records].astype(float)
    hits = np.diff(np.append(0, np.cumsum(right[target.kinds])[target.ends - 1][records])).astype(float)
    n, total = len(sizes), float(sizes.sum())
    share = float(hits.sum() / total)
    if n == 1:
        return [0.0, 1.0]
    spread = n / (n - 1) * float(((hits - share * sizes) ** 2).sum()) / total**2  # of the ratio, by linearisation
    if spread > 0:
        normal, student = special.ndtri(1 - MISS / 2), stats.t.ppf(1 - MISS / 2, n - 1)
        effective = min(total, share * (1 - share) / spread) * float(normal / student) ** 2
    else:  # all as well read, at all or not: no scatter tells how they vary
        effective = float(n)
    seen, unseen = share * effective, (1 - share) * effective
    low = stats.beta.ppf(MISS / 2, seen, unseen + 1) if share > 0 else 0.0
    high = stats.beta.ppf(1 - MISS / 2, seen + 1, unseen) if share < 1 else 1.0
    return [min(float(low), share), max(float(high), share)]

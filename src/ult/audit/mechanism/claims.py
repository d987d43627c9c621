"""Test whether trials of a mechanism refute its promise, and compute which faults they would have found.

A promise bounds the probability of any event with a record by its probability without the record. Trials count events
in both cases, and the promise is refuted if Clopper-Pearson bounds on both probabilities contradict it. The events are
chosen before any trial, and share the probability of refuting a promise that holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.onerun import gaussian_epsilon
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import optimize, special, stats

Floats = NDArray[np.float64]
_OVERLOOKED = 0.05  # the probability that a fault as large as "would_find" is missed
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.12)  # thresholds on log-likelihood ratios, as shares of epsilon
_MOST = 32.0  # "would_find" is searched up to this many times the promise


def rare(what: str, seen: int, trials: int, promised: float, *, whole: float, miss: float) -> dict[str, Any]:
    """Return, as JSON values, whether an event that is impossible without the record exceeds its promised probability.

    `promised` is the part of the promise's delta that allows for the event, `whole` the whole delta.
    """
    least = _low(seen, trials, miss)
    return {
        "claim": what,
        "promised": {"delta": promised, "of": whole},
        "seen": seen,
        "trials": trials,
        "at_least": {"delta": least},
        "would_find": {"delta": _found(lambda p: _low(int(_few(trials, p)), trials, miss) > promised, promised)},
        "refuted": least > promised,
    }


def alike(what: str, scores: Floats, without: Floats, epsilon: float, delta: float, *, miss: float) -> dict[str, Any]:
    """Return, as JSON values, whether outcomes with the record (n,) and without it (m,) refute (epsilon, delta).

    `scores` and `without` are the outcomes' log-likelihood ratios, with / without the record, under the claim.
    """
    cuts = [(sign, share * epsilon) for sign in (1, -1) for share in _SHARES]
    pairs = [(scores, without) if sign > 0 else (-without, -scores) for sign, _ in cuts]
    of_each = miss / len(cuts)
    rates = [
        _bounds(int((yes > at).sum()), len(yes), int((no > at).sum()), len(no), of_each)
        for (_, at), (yes, no) in zip(cuts, pairs, strict=True)
    ]
    least = max(_proven(low, high, delta) for low, high in rates)
    n = min(len(scores), len(without))
    shift = shift_of(epsilon, delta)
    return {
        "claim": what,
        "promised": {"epsilon": epsilon, "delta": delta},
        "trials": n,
        "at_least": {
            "epsilon": least,
            "delta": max(0.0, *(low - math.exp(epsilon) * high for low, high in rates)),
        },
        "would_find": {"epsilon": _found(lambda e: _told_apart(e, epsilon, delta, shift, n, of_each), epsilon)},
        "refuted": least > epsilon,
    }


def _told_apart(true: float, epsilon: float, delta: float, claimed: float, n: int, miss: float) -> bool:
    """Return whether n trials of a Gaussian mechanism whose epsilon is `true` refute `epsilon`, in 95 % of audits."""
    shift = shift_of(true, delta)
    for share in _SHARES:
        at = 0.5 + share * epsilon / claimed**2  # the threshold, in units of the record's contribution
        yes, no = special.ndtr((1 - at) * shift), special.ndtr(-at * shift)
        low, high = _bounds(int(_few(n, yes)), n, int(stats.binom.ppf(1 - _OVERLOOKED / 2, n, no)), n, miss)
        if _proven(low, high, delta) > epsilon:
            return True
    return False


def _few(n: int, share: float) -> float:
    return float(stats.binom.ppf(_OVERLOOKED / 2, n, share))


def _bounds(k: int, n: int, other: int, m: int, miss: float) -> tuple[float, float]:
    """Return a lower bound on one probability and an upper bound on another; together wrong at most `miss`."""
    high = float(stats.beta.ppf(1 - miss / 2, other + 1, m - other)) if other < m else 1.0
    return _low(k, n, miss / 2), high


def _low(k: int, n: int, miss: float) -> float:
    return float(stats.beta.ppf(miss, k, n - k + 1)) if k else 0.0


def _proven(low: float, high: float, delta: float) -> float:
    return max(0.0, math.log((low - delta) / high)) if low > delta else 0.0


def shift_of(epsilon: float, delta: float) -> float:
    """Return the distance of means, in deviations, of the Gaussian mechanism that has (epsilon, delta).

    An epsilon over 100 counts as 100.
    """
    epsilon = min(epsilon, 100.0)
    return float(optimize.brentq(lambda shift: gaussian_epsilon(shift, delta) - epsilon, 1e-4, 19.0, xtol=1e-6))


def _found(finds: Callable[[float], bool], promised: float) -> float | None:
    """Return the smallest value above `promised`, in steps of 5 %, that is found; None beyond `_MOST` times as much."""
    values = [promised * 1.05**k for k in range(1, math.ceil(math.log(_MOST) / math.log(1.05)))]
    return next((value for value in values if finds(value)), None)

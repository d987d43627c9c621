"""What scores of members and of nonmembers prove: shares, areas and privacy losses, each with its 95 % interval.

A score says how much a record looks like one that was trained on; higher is more. Every interval counts chance alone:
whether members and nonmembers differ in anything but membership is for whoever chose them to make sure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ult.audit.onerun import proofs
from ult.errors import InvalidConfig
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import optimize, special, stats

MISS = 0.05  # how often an interval or a bound may be wrong
FPRS = (0.001, 0.01)
DELTA = 1e-5
Scores = NDArray[np.float64]


def summarize(members: ArrayLike, nonmembers: ArrayLike, *, delta: float = DELTA, attacks: int = 1) -> dict[str, Any]:
    """Return, as JSON values, what the scores of members (m,) and of nonmembers (n,) tell. Raises `InvalidConfig`.

    So many `attacks` share the probability that a bound on epsilon from one run is wrong: the greatest of them holds.
    """
    inside, outside = _scores(members, "members"), _scores(nonmembers, "nonmembers")
    area = auc(inside, outside)
    return {
        "members": len(inside),
        "nonmembers": len(outside),
        "auc": area,
        "auc_interval": auc_interval(area, len(inside), len(outside)),
        "tpr": [tpr_at(inside, outside, fpr) for fpr in FPRS],
        "delta": delta,
        **proofs(inside, outside, delta=delta, miss=MISS / attacks),
        "epsilon_at_least_if_independent": epsilon_independent(inside, outside, delta=delta),
    }


def promised_delta(promise: Mapping[str, Any] | None) -> float:
    """Return the delta to bound epsilon at: that of what was promised, so that they can be compared, else `DELTA`."""
    return float(promise["delta"]) if promise else DELTA


def clopper_pearson(k: int, n: int, miss: float = MISS) -> list[float]:
    """Return the interval of a share of which `k` of `n` were seen (Clopper and Pearson 1934), wrong `miss` at most.

    >>> [round(x, 4) for x in clopper_pearson(0, 20)]
    [0.0, 0.1684]
    """
    low = stats.beta.ppf(miss / 2, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(1 - miss / 2, k + 1, n - k) if k < n else 1.0
    return [float(low), float(high)]


def auc(members: Scores, nonmembers: Scores) -> float:
    """Return how probably a member scores above another record, ties counting half (Mann and Whitney 1947)."""
    ranks = stats.rankdata(np.concatenate([members, nonmembers]))[: len(members)]
    return float((ranks.sum() / len(members) - (len(members) + 1) / 2) / len(nonmembers))


def auc_deviation(area: float, members: int, nonmembers: int) -> float:
    """Return the standard deviation of an area under the curve that is truly `area` (Hanley and McNeil 1982)."""
    both, pair = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (members - 1) * (both - area**2) + (nonmembers - 1) * (pair - area**2)
    return math.sqrt(max(spread, 0.0) / (members * nonmembers))


def auc_interval(area: float, members: int, nonmembers: int, miss: float = MISS) -> list[float]:
    """Return all areas that would not be surprised by the one seen (Newcombe 2006, his method 4).

    Unlike intervals around what was seen, it does not shrink to nothing at 0 and 1; and as the deviation at 1/2 is that
    of Mann and Whitney's test, it holds 1/2 just if that test finds nothing.
    """
    z = float(special.ndtri(1 - miss / 2))

    def surprise(true: float) -> float:
        return abs(area - true) - z * auc_deviation(true, members, nonmembers)

    edge = 1e-9  # nothing spreads at 0 and 1 themselves
    seen = min(max(area, edge), 1 - edge)
    low = optimize.brentq(surprise, 0.0, seen) if area > edge else 0.0
    high = optimize.brentq(surprise, seen, 1.0) if area < 1 - edge else 1.0
    return [float(low), float(high)]


def blind_interval(area: float, members: int, nonmembers: int, folds: int) -> list[float]:
    """Return the interval of a mean area over so many folds, each guessed by what the others taught.

    It is that of fewer records, by the factor of Nadeau and Bengio (2003).
    """
    fewer = 1 + folds / (folds - 1)
    return auc_interval(area, max(2, int(members / fewer)), max(2, int(nonmembers / fewer)))


def tpr_at(members: Scores, nonmembers: Scores, fpr: float) -> dict[str, Any]:
    """Return the share of members above the lowest threshold that lets at most `fpr` of the nonmembers pass.

    `interval` is Clopper and Pearson's at that threshold, and `others_above` is the share of nonmembers above it: with
    few nonmembers the threshold is only roughly where it should be.
    """
    allowed = math.floor(fpr * len(nonmembers) + 1e-9)
    threshold = np.sort(nonmembers)[::-1][allowed] if allowed < len(nonmembers) else -np.inf
    found, passed = int((members > threshold).sum()), int((nonmembers > threshold).sum())
    return {
        "fpr": fpr,
        "tpr": found / len(members),
        "interval": clopper_pearson(found, len(members)),
        "others_above": passed / len(nonmembers),
        "others_above_interval": clopper_pearson(passed, len(nonmembers)),
    }


def epsilon_one_run(members: Scores, nonmembers: Scores, *, delta: float = DELTA, miss: float = MISS) -> float:
    """Return what the highest scores prove of epsilon in one run (Steinke, Nasr and Jagielski 2023, theorem 5.2).

    `ult.audit.onerun` proves more, of both ends, and is what an audit says.

    Guess "member" of the records that score highest, 1, 2, 4, .. of all, and share `miss` among these tries. It needs
    that a fair coin decided of each record alone whether it is a member, and nothing about how scores depend on each
    other. It cannot prove more than some log(n / log(tries / miss)) with n guesses.
    """
    total = len(members) + len(nonmembers)
    tries = _doubling(np.concatenate([members, nonmembers]))  # by the scores alone, whoever's they are
    best = 0.0
    for threshold in tries:
        right = int((members >= threshold).sum())
        guesses = right + int((nonmembers >= threshold).sum())
        best = max(best, _one_run(total, guesses, right, delta, miss / len(tries)))
    return best


def _doubling(scores: Scores) -> list[float]:
    """Return the highest score, the 2nd, the 4th, the 8th highest and so on."""
    places = 2 ** np.arange(int(math.log2(len(scores))) + 1) - 1
    return [float(score) for score in np.unique(np.sort(scores)[::-1][places])]


def _one_run(total: int, guesses: int, right: int, delta: float, miss: float) -> float:
    """Return the largest epsilon that so many right guesses refute."""

    def doubt(epsilon: float) -> float:
        return one_run_p_value(total, guesses, right, epsilon, delta) - miss

    if doubt(0.0) >= 0:
        return 0.0
    high = 1.0
    while doubt(high) < 0:
        high *= 2
    return float(optimize.brentq(doubt, 0.0, high, xtol=1e-6))


def one_run_p_value(total: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return how probable `right` of `guesses`, made about `total` records, are at most under (epsilon, delta)."""
    share = float(special.expit(epsilon))
    tail = float(stats.binom.sf(right - 1, guesses, share))
    steps = np.arange(1, right + 1)
    gained = stats.binom.sf(right - steps - 1, guesses, share) - tail
    return min(1.0, tail + 2 * total * delta * float(np.max(gained / steps, initial=0.0)))


def epsilon_independent(members: Scores, nonmembers: Scores, *, delta: float = DELTA, miss: float = MISS) -> float:
    """Return a lower bound on epsilon by Clopper and Pearson's bounds on both rates (Jagielski et al. 2020).

    Both ways of guessing count: who scores high is a member, who scores low is none. The threshold is chosen on one
    half of the records, drawn by a fixed seed, and judged on the other. It needs scores that are independent of each
    other, as of a model trained anew for each record; of one model it is an estimate and no proof.
    """
    rng = np.random.default_rng(0)
    inside, outside = rng.permutation(members), rng.permutation(nonmembers)
    ways = [(inside, outside), (-outside, -inside)]
    choices = []
    for yes, no in ways:
        tries = _doubling(np.concatenate([yes[::2], no[::2]]))
        choices += [(_by_rates(yes[::2], no[::2], t, delta, miss), t, yes[1::2], no[1::2]) for t in tries]
    _, threshold, yes, no = max(choices, key=lambda choice: choice[0])
    return _by_rates(yes, no, threshold, delta, miss)


def _by_rates(yes: Scores, no: Scores, threshold: float, delta: float, miss: float) -> float:
    """Return the epsilon that guessing "yes" from the threshold on proves; each rate is bounded from one side."""
    low = clopper_pearson(int((yes >= threshold).sum()), len(yes), miss)[0]
    high = clopper_pearson(int((no >= threshold).sum()), len(no), miss)[1]
    return max(0.0, math.log((low - delta) / high)) if low > delta else 0.0


def roc(members: Scores, nonmembers: Scores) -> tuple[Scores, Scores]:
    """Return the shares of nonmembers (t,) and of members (t,) above each threshold, rising from (0, 0) to (1, 1)."""
    thresholds = np.unique(np.concatenate([members, nonmembers]))[::-1]
    shares = [1 - np.searchsorted(np.sort(s), thresholds, side="left") / len(s) for s in (nonmembers, members)]
    return np.append(0.0, shares[0]), np.append(0.0, shares[1])


def _scores(values: ArrayLike, whose: str) -> Scores:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
        raise InvalidConfig(f"scores of {whose} are {scores.shape}, or not all finite; expected at least 2 numbers")
    return scores

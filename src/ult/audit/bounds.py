"""Statistics of membership inference: true-positive rates, AUC and lower bounds on epsilon, with 95 % intervals.

The input is scores of members and of nonmembers; a higher score means more likely a member. Intervals cover sampling
error only. Whoever chooses the records must make sure that the two groups differ in nothing but membership.
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

MISS = 0.05  # the probability that an interval or a bound is wrong
FPRS = (0.001, 0.01)  # false-positive rates at which true-positive rates are given
DELTA = 1e-5  # for bounds on epsilon, if no promise states another
Scores = NDArray[np.float64]


def summarize(members: ArrayLike, nonmembers: ArrayLike, *, delta: float = DELTA, attacks: int = 1) -> dict[str, Any]:
    """Return, as JSON values, the statistics of the scores of members (m,) and nonmembers (n,); raise `InvalidConfig`.

    If several `attacks` are summarised, they share the error probability `MISS` of the one-run bounds on epsilon, so
    that the largest of their bounds holds (Bonferroni).
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
    """Return the delta of the promise, so that bound and promise can be compared, or `DELTA` without a promise."""
    return float(promise["delta"]) if promise else DELTA


def clopper_pearson(k: int, n: int, miss: float = MISS) -> list[float]:
    """Return the Clopper-Pearson interval (1934) of a share after `k` of `n` successes; wrong at most `miss`.

    >>> [round(x, 4) for x in clopper_pearson(0, 20)]
    [0.0, 0.1684]
    """
    low = stats.beta.ppf(miss / 2, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(1 - miss / 2, k + 1, n - k) if k < n else 1.0
    return [float(low), float(high)]


def auc(members: Scores, nonmembers: Scores) -> float:
    """Return the AUC: the probability that a member scores above another record, ties counted half.

    Computed by ranks (Mann and Whitney 1947).
    """
    ranks = stats.rankdata(np.concatenate([members, nonmembers]))[: len(members)]
    return float((ranks.sum() / len(members) - (len(members) + 1) / 2) / len(nonmembers))


def auc_deviation(area: float, members: int, nonmembers: int) -> float:
    """Return the standard deviation of an estimated AUC whose true value is `area` (Hanley and McNeil 1982)."""
    both, pair = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (members - 1) * (both - area**2) + (nonmembers - 1) * (pair - area**2)
    return math.sqrt(max(spread, 0.0) / (members * nonmembers))


def auc_interval(area: float, members: int, nonmembers: int, miss: float = MISS) -> list[float]:
    """Return a score interval of the AUC: all true values that the estimate `area` does not reject (Newcombe 2006).

    It is his method 4. Unlike Wald intervals it does not shrink to nothing at 0 and 1. At 1/2 the deviation is that of
    the Mann-Whitney test, so the interval includes 1/2 exactly if that test is not significant.
    """
    z = float(special.ndtri(1 - miss / 2))

    def rejected(true: float) -> float:
        return abs(area - true) - z * auc_deviation(true, members, nonmembers)

    edge = 1e-9  # at 0 and 1 themselves the deviation is 0
    estimate = min(max(area, edge), 1 - edge)
    low = optimize.brentq(rejected, 0.0, estimate) if area > edge else 0.0
    high = optimize.brentq(rejected, estimate, 1.0) if area < 1 - edge else 1.0
    return [float(low), float(high)]


def blind_interval(area: float, members: int, nonmembers: int, folds: int) -> list[float]:
    """Return the interval of a mean AUC over the `folds` of a cross-validation.

    Folds are not independent, so it is the interval of fewer records, by the factor of Nadeau and Bengio (2003).
    """
    fewer = 1 + folds / (folds - 1)
    return auc_interval(area, max(2, int(members / fewer)), max(2, int(nonmembers / fewer)))


def tpr_at(members: Scores, nonmembers: Scores, fpr: float) -> dict[str, Any]:
    """Return the true-positive rate at the lowest threshold whose false-positive rate is at most `fpr`, as JSON values.

    `interval` is the Clopper-Pearson interval at that threshold. `others_above` is the false-positive rate there, with
    its own interval, because few nonmembers determine the threshold only roughly.
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
    """Return a lower bound on epsilon from one run (Steinke, Nasr and Jagielski 2023, theorem 5.2).

    An audit reports the bound of `ult.audit.onerun`, which is tighter because it also uses the lowest scores.

    The 1, 2, 4, ... records that score highest are guessed to be members; these tries share `miss`. The bound requires
    that a fair coin decided independently for each record whether it is a member; scores may depend on each other. With
    n guesses it cannot exceed about log(n / log(tries / miss)).
    """
    total = len(members) + len(nonmembers)
    tries = _doubling(np.concatenate([members, nonmembers]))  # chosen without regard to membership
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
    """Return the largest epsilon that `right` of `guesses` refute at level `miss`."""

    def excess(epsilon: float) -> float:
        return one_run_p_value(total, guesses, right, epsilon, delta) - miss

    if excess(0.0) >= 0:
        return 0.0
    high = 1.0
    while excess(high) < 0:
        high *= 2
    return float(optimize.brentq(excess, 0.0, high, xtol=1e-6))


def one_run_p_value(total: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return an upper bound on the probability of `right` of `guesses`, among `total` records, under (epsilon, delta).

    Steinke, Nasr and Jagielski 2023, theorem 5.2.
    """
    share = float(special.expit(epsilon))
    tail = float(stats.binom.sf(right - 1, guesses, share))
    steps = np.arange(1, right + 1)
    gained = stats.binom.sf(right - steps - 1, guesses, share) - tail
    return min(1.0, tail + 2 * total * delta * float(np.max(gained / steps, initial=0.0)))


def epsilon_independent(members: Scores, nonmembers: Scores, *, delta: float = DELTA, miss: float = MISS) -> float:
    """Return a lower bound on epsilon from Clopper-Pearson bounds on both rates (Jagielski et al. 2020).

    Both guesses count: that high scores are members, and that low scores are nonmembers. The threshold is chosen on one
    half of the records, drawn by a fixed seed, and evaluated on the other. The bound requires independent scores, as
    from a model trained anew for each record; for the scores of one model it is an estimate, not a proof.
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
    """Return the epsilon proven by guessing "yes" from the threshold on, with one-sided bounds on both rates."""
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

"""The likelihood-ratio test of each record, from pairs of a run that forgot and one retrained (U-LiRA, RULI).

Each pair in turn is tested by the distributions of a record's scores that the other pairs give (Hayes et al.,
arXiv:2403.01218; Naderloui et al., arXiv:2506.13009). Attacks on a whole population overrate forgetting; this one asks
for every record by itself whether the run looks like one that saw it and forgot, or like one that never saw it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import MISS, auc, tpr_at
from ult.audit.release.finding import FALSE
from ult.errors import InvalidConfig
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import stats

LEAST = 8  # pairs; of fewer, no record has a distribution
_SWAPS = 512  # the most ways to swap the runs of pairs that are tried
Floats = NDArray[np.float64]


def check_pairs(count: int) -> None:
    """Raise `InvalidConfig` for fewer pairs than the test needs."""
    if count < LEAST:
        raise InvalidConfig(
            f"{count} pairs of a run that forgot and one retrained were named; expected at least {LEAST}, the audited "
            "pair among them",
            hint="--pairs FORGOT:RETRAINED, once for each further seed",
        )


def likelihood_ratios(forgot: Floats, retrained: Floats) -> tuple[Floats, Floats]:
    """Return the log-likelihood ratios (pairs, records) of runs that forgot and of runs retrained, higher if forgot.

    The scores (pairs, records) are taken as normal, with a mean for each record and one variance for all, as in LiRA
    of few runs. A pair has no part in the distributions that it is tested by.
    """
    normals = [_without_each(scores) for scores in (forgot, retrained)]
    found = []
    for own in (forgot, retrained):
        logs = [-np.log(variance) / 2 - (own - mean) ** 2 / (2 * variance) for mean, variance in normals]
        found.append(logs[0] - logs[1])
    return found[0], found[1]


def _without_each(scores: Floats) -> tuple[Floats, Floats]:
    """Return the means (pairs, records) and the common variances (pairs, 1) of the scores of all other pairs."""
    rest = len(scores) - 1
    mean = (scores.sum(0) - scores) / rest
    squares = ((scores**2).sum(0) - scores**2) / rest - mean**2
    return mean, np.maximum(squares.mean(1, keepdims=True) * rest / (rest - 1), 1e-12)


def tell_apart(forgot: Floats, retrained: Floats, *, seed: int = 0) -> dict[str, Any]:
    """Return, as JSON values, how well the test tells records that a run forgot from records it never saw.

    The Clopper-Pearson interval takes records and pairs as independent. Records of one run are not, so `p_value`
    compares with the same test after swapping the two runs of pairs: exact if runs that forgot are like retrained ones.
    `chance` is where 95 % of the rates lie after swapping.
    """
    pairs, records = forgot.shape
    check_pairs(pairs)
    yes, no = (one.ravel() for one in likelihood_ratios(forgot, retrained))
    rate = tpr_at(yes, no, FALSE)
    found, allowed = [], math.floor(FALSE * len(no) + 1e-9)
    for swapped in _swaps(pairs, seed):
        ours, theirs = np.where(swapped[:, None], retrained, forgot), np.where(swapped[:, None], forgot, retrained)
        one, other = (values.ravel() for values in likelihood_ratios(ours, theirs))
        threshold = np.sort(other)[::-1][allowed]
        found.append(float((one > threshold).mean()))
    p_value = float(np.mean(np.array(found) >= rate["tpr"]))
    return {
        "pairs": pairs,
        "records": records,
        "auc": auc(yes, no),
        **rate,
        "p_value": p_value,
        "chance": np.quantile(found, [MISS / 2, 1 - MISS / 2]).tolist(),
        "swaps": len(found),
        "significant": p_value <= MISS,
        "worst": _worst(forgot - retrained, seed),
    }


def _worst(gaps: Floats, seed: int) -> dict[str, float]:
    """Return what the record that is best remembered shows, by gaps (pairs, records) between the runs of each pair.

    One record that is known by heart among many forgotten ones is lost in the share that is told apart. Its mean gap
    over its spread, `t`, is compared with the greatest of any record after swapping runs of pairs: `p_value`. As few
    pairs have few swaps, `by_normal` is the p-value by Student's t, times the records.
    """
    pairs, records = gaps.shape
    signs = np.where(_swaps(pairs, seed), -1.0, 1.0)
    means, squares = signs @ gaps / pairs, (gaps**2).mean(0)
    variances = np.maximum(squares - means**2, 1e-12) * pairs / (pairs - 1)
    shrunk = (variances + variances.mean(1, keepdims=True)) / 2  # of so few pairs a record's own spread is a guess
    greatest = (means / np.sqrt(shrunk / pairs)).max(1)
    own = float((means[0] / np.sqrt(variances[0] / pairs))[(means[0] / np.sqrt(shrunk[0] / pairs)).argmax()])
    return {
        "t": float(greatest[0]),
        "p_value": float(np.mean(greatest >= greatest[0])),
        "by_normal": min(1.0, records * float(stats.t.sf(own, pairs - 1))),
    }


def _swaps(pairs: int, seed: int) -> NDArray[np.bool_]:
    """Return which pairs are swapped (ways, pairs); the first way swaps none."""
    if 2**pairs <= _SWAPS:
        return np.array(list(itertools.product([False, True], repeat=pairs)))
    drawn = np.random.default_rng(seed).random((_SWAPS, pairs)) < 0.5
    drawn[0] = False
    return drawn

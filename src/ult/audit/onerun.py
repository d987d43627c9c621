"""Lower bounds on epsilon from one training run, by the number of members that are guessed correctly.

The bound is by Mahloujifar, Melis and Chaudhuri 2024 ("Auditing f-differential privacy in one run", arXiv:2410.22235).
google-deepmind/jax_privacy implements it too; the tests compare with its published figures. It requires that a fair
coin decided independently for each record whether it is a member; scores may depend on each other. A privacy promise
is given as its trade-off curve. The curve of (epsilon, delta) holds for every mechanism. The curve of the Gaussian
mechanism proves more, but only for mechanisms whose own curve is no steeper.

Guesses depend on the scores only: the k highest are guessed "member" and the k lowest "nonmember", with no guess in
between; or, in case the lowest scores are uninformative, only the highest are guessed. Several k are tried; they share
the error probability, most of which goes to the guesses at both ends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import special

Scores = NDArray[np.float64]
Tries = Sequence[tuple[int, int, float]]  # (guesses, right guesses, share of the error probability) of each try
Curve = Callable[[float], float]  # from an event's probability to its least probability on a neighbouring data set
DELTAS = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # at which an audit states its bound
_MOST = 200.0  # bounds on epsilon stop here
_PRECISION = 1e-6
_BOTH = 0.8  # share of the error probability for guesses at both ends


def tries(members: Scores, nonmembers: Scores) -> list[tuple[int, int, float]]:
    """Return (guesses, right guesses, share of the error probability) for each way to guess.

    Which ways there are, and their shares, does not depend on membership.
    """
    scores = np.sort(np.concatenate([members, nonmembers]))
    ends = [k for k in _rising(len(scores) // 2, first=4, by=2) if scores[k - 1] < scores[-k]]
    both = [_guessed(members, nonmembers, high=scores[-k], low=scores[k - 1]) for k in ends]
    alone = [_guessed(members, nonmembers, high=scores[-k], low=-np.inf) for k in _rising(len(scores), first=8, by=4)]
    of_both = _BOTH if both else 0.0
    return [(*pair, of_both / len(both)) for pair in both] + [(*pair, (1 - of_both) / len(alone)) for pair in alone]


def _rising(most: int, *, first: int, by: int) -> list[int]:
    """Return first, first * by, ... below `most`, and `most`; fewer than `first` guesses would prove nothing."""
    return [
        *itertools.takewhile(lambda k: k < most, (first * by**i for i in itertools.count())),
        *([most] if most else []),
    ]


def _guessed(members: Scores, nonmembers: Scores, *, high: float, low: float) -> tuple[int, int]:
    """Return the number of guesses and of right guesses: "member" from `high` up, "nonmember" from `low` down."""
    right = (members >= high).sum() + (nonmembers <= low).sum()
    wrong = (nonmembers >= high).sum() + (members <= low).sum()
    return int(right + wrong), int(right)


def epsilon_curve(epsilon: float, delta: float) -> Curve:
    """Return the trade-off curve of (epsilon, delta)-differential privacy."""
    much, little = math.exp(min(epsilon, _MOST)), math.exp(-epsilon)
    return lambda share: max(0.0, 1 - delta - much * (1 - share), little * (share - delta))


def gaussian_curve(shift: float) -> Curve:
    """Return the trade-off curve of two normal distributions of deviation 1 whose means are `shift` apart."""
    return lambda share: float(special.ndtr(special.ndtri(share) - shift))


def gaussian_epsilon(shift: float, delta: float) -> float:
    """Return the smallest epsilon of the Gaussian mechanism at `delta` (Balle and Wang 2018, theorem 8)."""
    if shift <= 0:
        return 0.0

    def over(epsilon: float) -> float:
        least = float(special.log_ndtr(-shift / 2 - epsilon / shift))
        return math.exp(special.log_ndtr(shift / 2 - epsilon / shift)) - math.exp(epsilon + least) - delta

    return _last(lambda epsilon: over(epsilon) > 0, 0.0)


def refutes(total: int, guesses: int, right: int, curve: Curve, miss: float) -> bool:
    """Return whether `right` of `guesses`, among `total` records, have a probability below `miss` under the curve.

    The recursion (arXiv:2410.22235) supposes that the probability is at least `miss` and goes down from `right`. Then
    `correct` and `wrong` are lower bounds on the mass of right and of wrong guesses. If together they exceed the share
    of the records that was guessed at all, the curve is refuted.
    """
    correct, wrong = miss * right / total, miss * (guesses - right) / total
    for i in range(right - 1, -1, -1):
        least = max(wrong, curve(correct))
        if least == wrong:
            break
        correct = min(correct + i / (guesses - i) * (least - wrong), 1.0)
        wrong = least
    return correct + wrong > guesses / total


def epsilon_at_least(total: int, attempts: Tries, delta: float, miss: float) -> float:
    """Return the largest epsilon that the attempts refute at `delta`, for any mechanism; wrong at most `miss`."""
    return _greatest(total, attempts, lambda epsilon: epsilon_curve(epsilon, delta), miss)


def shift_at_least(total: int, attempts: Tries, miss: float) -> float:
    """Return the largest shift of two normal distributions that the attempts refute; wrong at most `miss`."""
    return _greatest(total, attempts, gaussian_curve, miss)


def _greatest(total: int, attempts: Tries, curve: Callable[[float], Curve], miss: float) -> float:
    """Return the largest parameter of `curve` that one of the attempts refutes."""
    best = 0.0
    promising = sorted(attempts, key=lambda attempt: -attempt[1] / (attempt[0] + 20))  # so that few need a search
    for guesses, right, share in promising:

        def refuted(x: float, attempt: tuple[int, int, float] = (guesses, right, share)) -> bool:
            return refutes(total, attempt[0], attempt[1], curve(x), attempt[2] * miss)

        if 2 * right > guesses and refuted(best):
            best = _last(refuted, best)
    return best


def _last(holds: Callable[[float], bool], low: float) -> float:
    """Return by bisection the last number from `low` on for which `holds` is true, at most `_MOST`.

    `holds` is true up to some number and false beyond. If it is false throughout, the result is about `low`.
    """
    high = max(1.0, 2 * low)
    while holds(high):
        if high >= _MOST:
            return _MOST
        low, high = high, 2 * high
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def proofs(members: Scores, nonmembers: Scores, *, delta: float, miss: float) -> dict[str, Any]:
    """Return, as JSON values, the lower bounds on epsilon from one run, at `delta` and at all of `DELTAS`."""
    total, attempts = len(members) + len(nonmembers), tries(members, nonmembers)
    shift = shift_at_least(total, attempts, miss)
    by_delta = [[d, epsilon_at_least(total, attempts, d, miss)] for d in sorted({*DELTAS, delta})]
    return {
        "epsilon_at_least": epsilon_at_least(total, attempts, delta, miss),
        "epsilon_at_least_if_gaussian": gaussian_epsilon(shift, delta),
        "epsilon_at_least_by_delta": by_delta,
        "guesses": [list(attempt) for attempt in attempts],
    }

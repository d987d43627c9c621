"""What one training run proves of epsilon: guesses at members, held against the most that a promise lets be right.

The bound is that of Mahloujifar, Melis and Chaudhuri 2024 ("Auditing f-differential privacy in one run",
arXiv:2410.22235), as google-deepmind/jax_privacy ships it too, whose published figures the tests hold this against. It
needs that a fair coin decided of each record alone whether it is a member, and nothing about how scores depend on each
other. A promise is told by its curve: how many right answers it lets a test have. That of (epsilon, delta) holds for
every mechanism; that of the Gaussian mechanism proves more, of mechanisms alone whose own curve is no steeper.

Guesses go by the scores alone, whoever's they are: "member" of those that score highest, "nonmember" of as many that
score lowest, none of those between; and, should the lowest tell nothing, of the highest alone. Several numbers of them
are tried, which share the probability of being wrong, most of it those by both ends.
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
Tries = Sequence[tuple[int, int, float]]  # guesses that were made, how many were right, and its share of being wrong
Curve = Callable[[float], float]  # of the probability of an event the least that it has once a record changed sides
DELTAS = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # for which an audit keeps its bound
_MOST = 200.0  # no epsilon above it is proven
_PRECISION = 1e-6
_BOTH = 0.8  # of the probability of being wrong


def tries(members: Scores, nonmembers: Scores) -> list[tuple[int, int, float]]:
    """Return, for each way to guess, how many guesses it makes, how many are right, and its share of being wrong.

    Ways and shares do not depend on who is a member.
    """
    scores = np.sort(np.concatenate([members, nonmembers]))
    ends = [k for k in _rising(len(scores) // 2, first=4, by=2) if scores[k - 1] < scores[-k]]
    both = [_guessed(members, nonmembers, high=scores[-k], low=scores[k - 1]) for k in ends]
    alone = [_guessed(members, nonmembers, high=scores[-k], low=-np.inf) for k in _rising(len(scores), first=8, by=4)]
    of_both = _BOTH if both else 0.0
    return [(*one, of_both / len(both)) for one in both] + [(*one, (1 - of_both) / len(alone)) for one in alone]


def _rising(most: int, *, first: int, by: int) -> list[int]:
    """Return numbers up to `most`; under `first` guesses, all right, would prove nothing."""
    return [
        *itertools.takewhile(lambda k: k < most, (first * by**i for i in itertools.count())),
        *([most] if most else []),
    ]


def _guessed(members: Scores, nonmembers: Scores, *, high: float, low: float) -> tuple[int, int]:
    right = (members >= high).sum() + (nonmembers <= low).sum()
    wrong = (nonmembers >= high).sum() + (members <= low).sum()
    return int(right + wrong), int(right)


def epsilon_curve(epsilon: float, delta: float) -> Curve:
    """Return the curve of any mechanism that has (epsilon, delta)-differential privacy."""
    much, little = math.exp(min(epsilon, _MOST)), math.exp(-epsilon)
    return lambda share: max(0.0, 1 - delta - much * (1 - share), little * (share - delta))


def gaussian_curve(shift: float) -> Curve:
    """Return the curve of two normal distributions, of deviation 1, whose means are `shift` apart."""
    return lambda share: float(special.ndtr(special.ndtri(share) - shift))


def gaussian_epsilon(shift: float, delta: float) -> float:
    """Return the least epsilon that the Gaussian mechanism has at `delta` (Balle and Wang 2018, theorem 8)."""
    if shift <= 0:
        return 0.0

    def over(epsilon: float) -> float:
        least = float(special.log_ndtr(-shift / 2 - epsilon / shift))
        return math.exp(special.log_ndtr(shift / 2 - epsilon / shift)) - math.exp(epsilon + least) - delta

    return _last(lambda epsilon: over(epsilon) > 0, 0.0)


def refutes(total: int, guesses: int, right: int, curve: Curve, miss: float) -> bool:
    """Return whether so many right `guesses`, made about `total` records, have a probability under `miss` by the curve.

    The recursion goes down from the number of right guesses: `few` bounds the share of guesses that are made and wrong
    beyond there, `many` that of right ones, and once both together are more than all there are, the curve is refuted.
    """
    many, few = miss * right / total, miss * (guesses - right) / total
    for i in range(right - 1, -1, -1):
        least = max(few, curve(many))
        if least == few:
            break
        many = min(many + i / (guesses - i) * (least - few), 1.0)
        few = least
    return many + few > guesses / total


def epsilon_at_least(total: int, many: Tries, delta: float, miss: float) -> float:
    """Return the greatest epsilon, at `delta`, that the tries refute of every mechanism; wrong `miss` at most."""
    return _greatest(total, many, lambda epsilon: epsilon_curve(epsilon, delta), miss)


def shift_at_least(total: int, many: Tries, miss: float) -> float:
    """Return the greatest shift of two normal distributions that the tries refute."""
    return _greatest(total, many, gaussian_curve, miss)


def _greatest(total: int, many: Tries, curve: Callable[[float], Curve], miss: float) -> float:
    best = 0.0
    for guesses, right, share in sorted(
        many, key=lambda one: -one[1] / (one[0] + 20)
    ):  # few are searched after the best

        def refuted(x: float, one: tuple[int, int, float] = (guesses, right, share)) -> bool:
            return refutes(total, one[0], one[1], curve(x), one[2] * miss)

        if 2 * right > guesses and refuted(best):
            best = _last(refuted, best)
    return best


def _last(holds: Callable[[float], bool], low: float) -> float:
    """Return about the last number, from `low` on, of which `holds` is true; 0 if it is of none."""
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
    """Return, as JSON values, what the scores of one run prove at `delta` and at all of `DELTAS`."""
    total, many = len(members) + len(nonmembers), tries(members, nonmembers)
    shift = shift_at_least(total, many, miss)
    return {
        "epsilon_at_least": epsilon_at_least(total, many, delta, miss),
        "epsilon_at_least_if_gaussian": gaussian_epsilon(shift, delta),
        "epsilon_at_least_by_delta": [[d, epsilon_at_least(total, many, d, miss)] for d in sorted({*DELTAS, delta})],
        "guesses": [list(one) for one in many],
    }

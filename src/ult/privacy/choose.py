"""Choose one of a few public values by the exponential mechanism, in exact integers.

An error e gives the weight b^e, b = e^(-epsilon / 2), but at least 2^-64. b is a fraction above e^(-epsilon / 2), by
far more than the 96 bits to which powers of it are rounded. The loss of one draw has a range of epsilon, so that s of
them are (s epsilon^2 / 8)-zCDP (arXiv:2004.07223).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

from ult.privacy.randomness import below

_LARGEST, _SMALLEST = 2**160, 2**96  # weights; the smallest has 96 bits, so that rounding changes none by 2^-70 of it
_PARTS = 2**32  # b is a fraction of so many parts


@cache
def weights_of(epsilon: float) -> list[int]:
    """Return the weight of each error, from 0 on; the last is that of all larger ones.

    The powers of b = 1 - taken / parts, whose margin above e^(-epsilon / 2) is for all rounding.
    """
    taken = int(_PARTS * -math.expm1(-epsilon / 2) * (1 - 1e-9))
    weights = [_LARGEST]
    while weights[-1] > _SMALLEST:
        weights.append(-(-weights[-1] * (_PARTS - taken) // _PARTS))
    return weights


def chosen(errors: Sequence[int], epsilon: float) -> int:
    """Return the place of one of the `errors`, drawn the more likely the smaller it is; it spends `epsilon`.

    One record more or less must change each error by at most 1.

    >>> chosen([900, 0, 900], epsilon=8.0)
    1
    """
    of_epsilon, least = weights_of(epsilon), min(errors)
    each = [of_epsilon[min(error - least, len(of_epsilon) - 1)] for error in errors]
    left = below(sum(each))
    for place, weight in enumerate(each):
        if left < weight:
            return place
        left -= weight
    raise AssertionError("a draw lies beyond the sum of all weights")


def rank_error(epsilon: float, choices: int) -> int:
    """Return by how much the error of what is `chosen` exceeds the least one, in at most 1 of 20 draws."""
    return math.ceil(2 * math.log(20 * choices) / epsilon)

"""Choose one of a few public values by the exponential mechanism, in exact integers (`ult.privacy.quantiles`)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ult.privacy.quantiles import weights_of
from ult.privacy.randomness import below


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

"""Zero-concentrated privacy: one budget rho of Gaussian counts and of draws, and the (epsilon, delta) that it implies.

rho-zCDP implies (epsilon, delta) for every delta of proposition 12 of arXiv:2004.00010, which is less than the usual
rho + 2 sqrt(rho ln(1 / delta)). A Gaussian of deviation s on counts that one record changes by at most d (L2) spends
d^2 / (2 s^2) of rho; a draw by the exponential mechanism that spends epsilon spends epsilon^2 / 8 (arXiv:2004.07223).
"""

from __future__ import annotations

import math

_STEPS = 100  # halvings of a bracket
_ROUNDED = 1e-9  # of a logarithm, and of rho


def delta_of(rho: float, epsilon: float) -> float:
    """Return the delta for which rho-zCDP implies (epsilon, delta), an upper bound.

    >>> round(delta_of(0.1, 1.0), 4)
    0.0089
    """

    def logarithm(order: float) -> float:  # convex above its pole at 1
        return (order - 1) * (order * rho - epsilon) - math.log(order) + (order - 1) * math.log1p(-1 / order)

    low, high = 1.0 + 1e-9, (epsilon + 1) / (2 * rho) + 2
    for _ in range(_STEPS):
        one, other = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, other) if logarithm(one) < logarithm(other) else (one, high)
    return min(1.0, math.exp(logarithm(high) + _ROUNDED))


def rho_of(epsilon: float, delta: float) -> float:
    """Return a rho of which (epsilon, delta) follows: the largest one, but for rounding."""
    low, high = 0.0, epsilon + 1
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if middle > 0 and delta_of(middle, epsilon) <= delta else (low, middle)
    return low * (1 - _ROUNDED)


def gaussian(rho: float, change: float) -> float:
    """Return the deviation of Gaussian noise that spends `rho` on what one record changes by `change` (L2)."""
    return change / math.sqrt(2 * rho)


def exponential(rho: float, draws: int) -> float:
    """Return the epsilon of each of `draws` draws by the exponential mechanism that together spend `rho`."""
    return math.sqrt(8 * rho / draws)

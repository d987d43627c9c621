"""The privacy cost of steps with Gaussian noise on Poisson samples, by the library dp-accounting.

Two sets of records are neighbours if one has one record more (add-or-remove). The accountant composes privacy loss
distributions (arXiv:1907.00873), which bound epsilon from above.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require

MOST = 100.0  # the largest epsilon accepted: a larger one promises nothing and takes long to compute
_PRECISION = 1e-3  # relative precision of a noise multiplier
_ROUNDED = 2e-3  # about what rounding losses to the grid adds to epsilon


def check(epsilon: float, delta: float, records: int) -> None:
    """Raise `InvalidConfig` unless 0 < epsilon <= `MOST` and 0 < delta < 1 / records."""
    if not 0 < epsilon <= MOST:
        raise InvalidConfig(f"epsilon is {epsilon!r}; expected above 0 and at most {MOST:g}")
    if not 0 < delta < 1 / max(1, records):
        raise InvalidConfig(
            f"delta is {delta!r}; expected above 0 and below 1 / {records}, the number of records",
            hint=f"--delta {default_delta(records):.1g}, which is the default",
        )


def default_delta(records: int) -> float:
    """Return the default delta, records^-1.1, which is below 1 / records for 2 or more records."""
    return float(max(records, 2) ** -1.1)


@cache
def spent(noise: float, delta: float, *, rate: float, steps: int) -> float:
    """Return the epsilon at `delta` of `steps` Gaussian steps on Poisson samples.

    `noise` is the noise multiplier (standard deviation / sensitivity), `rate` the sampling probability of a record.
    Privacy losses are rounded to a grid, always upwards, which adds about steps x grid^2 to epsilon: at rate 0.0043,
    noise 1.1 and 14,063 steps it is 2.382 with a grid of 0.0001, 2.391 with 0.001, 3.136 with 0.01.
    """
    accounting, pld = _library()
    step = accounting.PoissonSampledDpEvent(rate, accounting.GaussianDpEvent(noise))
    accountant = pld.PLDAccountant(value_discretization_interval=min(0.01, math.sqrt(_ROUNDED / steps)))
    return float(accountant.compose(accounting.SelfComposedDpEvent(step, steps)).get_epsilon(delta))


def noise_multiplier(epsilon: float, delta: float, *, rate: float, steps: int) -> float:
    """Return the smallest noise multiplier whose `spent` is at most `epsilon`, rounded up by at most 0.1 %."""
    high = low = 1.0
    while spent(high, delta, rate=rate, steps=steps) > epsilon:
        low, high = high, high * 1.5
    while low == high or spent(low, delta, rate=rate, steps=steps) <= epsilon:
        low, high = low / 1.5, low
    while high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle, delta, rate=rate, steps=steps) <= epsilon else (middle, high)
    return high


def name() -> str:
    """Return the name and version of the accountant."""
    from importlib.metadata import version

    _library()
    return f"dp-accounting {version('dp-accounting')}, privacy loss distributions"


def _library() -> tuple[Any, Any]:
    with require("dp-accounting", extra="privacy"):
        import dp_accounting
        from dp_accounting import pld
    return dp_accounting, pld

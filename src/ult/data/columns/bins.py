"""Edges of the bins of a number: quantiles, written as the shortest decimals that part the values."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

BINS = 16
EDGE_DIGITS = 15  # float64 keeps the order of decimal numbers of so many digits
CHOICES = (1, 8, 16, 32, 64)  # 2^b, b from 3 to 6, or none


def quantile_edges(values: NDArray[np.float64], bins: int = BINS) -> tuple[str, ...]:
    """Return at most `bins` - 1 increasing edges that cut finite `values` (n,) into bins of about equal counts.

    A value lies in the bin of as many edges as are not above it. Each edge is the shortest decimal above one value and
    not above the next.

    >>> quantile_edges(np.array([1.0, 1.0, 2.5, 2.5, 3.0, 7.0]), 4)
    ('2', '3')
    """
    ordered = np.sort(values)
    if not len(ordered):
        return ()
    first = np.searchsorted(ordered, ordered[(len(ordered) * np.arange(1, bins)) // bins], side="left")
    starts = np.unique(first[first > 0])
    edges = [between(float(ordered[start - 1]), float(ordered[start])) for start in starts]
    return tuple(map(_plain, sorted({Decimal(_short(edge)) for edge in edges})))


def _plain(edge: Decimal) -> str:
    """Return a decimal in plain digits, unless it ends in so many zeros that these count as digits too many."""
    text = f"{edge:f}"
    return text if len(Decimal(text).as_tuple().digits) <= EDGE_DIGITS else str(edge.normalize())


def _short(edge: str) -> str:
    """Return an edge with at most `EDGE_DIGITS` digits, near the same number."""
    return edge if len(Decimal(edge).as_tuple().digits) <= EDGE_DIGITS else f"{Decimal(edge):.{EDGE_DIGITS - 1}e}"


def between(low: float, high: float) -> str:
    """Return the shortest decimal above `low` and not above `high`, in plain digits; of several, the roundest.

    >>> between(2.48, 2.5), between(99.0, 140.0), between(-3.0, 0.0), between(1e-9, 2e-9)
    ('2.5', '100', '0', '0.000000002')
    """
    below, above = Decimal(repr(low)), Decimal(repr(high))
    power = max(below.adjusted(), above.adjusted()) if low or high else 0
    while True:
        unit = Decimal(1).scaleb(power)
        step = (above / unit).to_integral_value(rounding="ROUND_FLOOR") * unit
        if step > below:
            return f"{step.normalize():f}" if step else "0"
        power -= 1

"""Quantiles of numbers with differential privacy: edges of bins that one number more or less hardly changes.

Where the numbers lie is drawn first: from one power of ten to another, of any sign, so that few numbers lie beyond and
few powers of ten above 1 between; or nowhere, if there are too few of them to tell, and then there are no edges.
Without this draw an edge of 60 ages was -219,405,281. Then the median is drawn, the medians of both halves, and so on
(ApproximateQuantiles, arXiv:2110.05429). Each draw is by the exponential mechanism (`ult.privacy.choose`) from fixed
decimal numbers, whatever the data: 0, and those with at most four digits from 10^-12 to below 10^15, of both signs.
Those with fewer digits are more likely, so that edges are round where the data leave the choice.

k numbers below an edge and m others are an error of |k - m| - d, d the least |k - m| of all edges. One number more
changes |k - m| and d by at most 1, and lies in one of the parts that are halved at a time, so that each halving is
epsilon-differentially private.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.privacy.choose import chosen, weights_of
from ult.privacy.randomness import below

DIGITS = 4  # of an edge, at most
POWERS = range(-12, 15)  # of ten: where the first digit of an edge may stand
LEAST = 1e-4  # epsilon of one draw below which edges are noise alone
_WIDER, _ANY = 3, 16  # over epsilon: how many numbers a power of ten more should hold, and a range beside that
_MARKS = (*POWERS[:12:3], *POWERS[12:])  # powers of ten at which a range may begin or end


class _Edges(NamedTuple):
    """All edges there may be, in increasing order, and the shares by which they are drawn if there are no data."""

    values: NDArray[np.float64]  # (n,)
    before: NDArray[np.int64]  # (n + 1,): the sum of the shares of all edges before


class Cells(NamedTuple):
    """Numbers as the mechanism sees them: for each, how many edges are not above it, increasing; and how often."""

    place: NDArray[np.int64]  # (n,)
    times: NDArray[np.int64]  # (n,)

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Cells:
        """Return the cells of numbers (n,), none of which is NaN."""
        return cls(*np.unique(np.searchsorted(_edges().values, values, side="right"), return_counts=True))

    def with_those(self, other: Cells) -> Cells:
        """Return these numbers and those of `other`."""
        place, which = np.unique(np.concatenate([self.place, other.place]), return_inverse=True)
        times = np.zeros(len(place), np.int64)
        np.add.at(times, which, np.concatenate([self.times, other.times]))
        return Cells(place, times)


NO_CELLS = Cells(np.empty(0, np.int64), np.empty(0, np.int64))


def draws(bins: int) -> int:
    """Return how many draws one number takes part in, for `bins` bins, a power of 2: of a range, and of halvings."""
    return bins.bit_length()


def epsilon_of_draw(epsilon: float, delta: float, draws: int) -> float:
    """Return the epsilon of each of so many draws that together spend (epsilon, delta).

    It is the larger one of what plain composition allows and of what zero-concentrated privacy does, of which
    rho + 2 sqrt(rho ln(1 / delta)) is an upper bound (arXiv:1605.02065). Raises `InvalidConfig` if so little is left
    that edges would be noise.
    """
    length = math.log(1 / delta)
    rho = (math.sqrt(length + epsilon) - math.sqrt(length)) ** 2
    found = max(epsilon / draws, math.sqrt(8 * rho / draws))
    if found < LEAST:
        raise InvalidConfig(
            f"epsilon {epsilon:.2g} is too little for edges of bins from {draws:,} draws; expected more of it",
            hint="--bins 1 for none, or a schema that gives edges",
        )
    return found


def rank_error(epsilon: float) -> int:
    """Return by how many numbers an edge is off its rank in one half, in 19 of 20 draws; whatever the data."""
    return math.ceil(math.log(20 * int(_edges().before[-1])) / epsilon)


def private_edges(cells: Cells, bins: int, *, epsilon: float) -> tuple[str, ...]:
    """Return at most `bins` - 1 increasing edges; each of `draws(bins)` draws spends `epsilon`.

    >>> [float(edge) > 50 for edge in private_edges(Cells.of(np.arange(100.0, 200.0)), 2, epsilon=9.0)]
    [True]
    """
    low, high = _range(cells, epsilon)
    found = sorted(_halved(cells, low, high, draws(bins) - 1, weights_of(epsilon)))
    return tuple(_text(_edges().values[k]) for k in found)


def _range(cells: Cells, epsilon: float) -> tuple[int, int]:
    """Return the numbers of the edges between which the cells lie, drawn by how many lie beyond; equal if few do."""
    marks, sizes = _marks()
    under = np.concatenate([[0], np.cumsum(cells.times)])
    before = under[np.searchsorted(cells.place, marks, side="right")]
    first, last = np.triu_indices(len(marks), 1)
    wide = math.ceil(_ANY / epsilon) + math.ceil(_WIDER / epsilon) * (sizes[last] - sizes[first])
    beyond = before[first] + under[-1] - before[last]
    place = chosen([int(under[-1]), *(beyond + wide).tolist()], epsilon)
    return (int(marks[first[place - 1]]), int(marks[last[place - 1]])) if place else (0, 0)


def _halved(cells: Cells, low: int, high: int, times: int, weights: Sequence[int]) -> Iterator[int]:
    """Yield the numbers of the edges drawn between those numbered `low` and `high`, where all `cells` lie."""
    if not times or high - low < 2:
        return
    edge = _drawn(cells, low + 1, high, weights)
    yield edge
    left = int(np.searchsorted(cells.place, edge, side="right"))  # a number below the edge has a place up to its
    yield from _halved(Cells(cells.place[:left], cells.times[:left]), low, edge, times - 1, weights)
    yield from _halved(Cells(cells.place[left:], cells.times[left:]), edge, high, times - 1, weights)


def _drawn(cells: Cells, first: int, stop: int, weights: Sequence[int]) -> int:
    """Return the number of one edge from `first` on and before `stop`, drawn by how evenly it halves the cells."""
    starts = np.concatenate([[first], np.minimum(np.maximum(cells.place, first), stop), [stop]])
    ran = _edges().before
    shares = np.diff(ran[starts])  # of the edges between two neighbouring numbers
    under = np.concatenate([[0], np.cumsum(cells.times)])
    uneven = np.abs(2 * under - under[-1])
    uneven -= uneven[shares > 0].min()
    last = len(weights) - 1
    near = np.flatnonzero((uneven < last) & (shares > 0)).tolist()
    far = np.flatnonzero((uneven >= last) & (shares > 0))
    many = int(shares[far].sum())
    left = below(many * weights[last] + sum(int(shares[k]) * weights[int(uneven[k])] for k in near))
    if left < many * weights[last]:
        share = left // weights[last]
        sums = np.cumsum(shares[far])
        at = int(np.searchsorted(sums, share, side="right"))
        return _at(int(starts[far[at]]), share - int(sums[at] - shares[far[at]]))
    left -= many * weights[last]
    for k in near:
        weight = weights[int(uneven[k])]
        if left < int(shares[k]) * weight:
            return _at(int(starts[k]), left // weight)
        left -= int(shares[k]) * weight
    raise AssertionError("a draw lies beyond the sum of all weights")


def _at(start: int, share: int) -> int:
    """Return the edge from number `start` on that has the share numbered `share`."""
    ran = _edges().before
    return int(np.searchsorted(ran, int(ran[start]) + share, side="right")) - 1


@cache
def _marks() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the edges at which a range may begin or end, and how many powers of ten they are from 1."""
    powers = [float(f"1e{power}") for power in _MARKS]
    values, sizes = _edges().values, [max(power, 0) for power in (*_MARKS, POWERS.stop)]
    inner = np.searchsorted(values, [*(-one for one in reversed(powers)), 0.0, *powers])
    marks = np.concatenate([[-1], inner, [len(values)]])
    return marks, np.array([*(-one for one in reversed(sizes)), 0, *sizes])


@cache
def _edges() -> _Edges:
    whole = np.arange(10 ** (DIGITS - 1), 10**DIGITS)
    zeros = sum((whole % 10**k == 0).astype(np.int64) for k in range(1, DIGITS))
    texts = [f"{n}e{power - DIGITS + 1}" for power in POWERS for n in whole.tolist()]
    positive = np.array(texts).astype(np.float64)  # each the float nearest to its decimal
    shares: Any = np.tile(10**zeros, len(POWERS))
    values = np.concatenate([-positive[::-1], [0.0], positive])
    every = np.concatenate([shares[::-1], [10 ** (DIGITS - 1)], shares])
    return _Edges(values, np.concatenate([[0], np.cumsum(every)]))


def _text(edge: float) -> str:
    """Return an edge in plain digits."""
    return f"{Decimal(repr(float(edge))).normalize():f}" if edge else "0"

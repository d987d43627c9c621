"""Choose levels for `series/levels`: many where values are, few where they are not, and none for one outlier alone.

A value gets a weight of two equal parts: how often it occurs, and how wide the gap beside it is, by the cube root of
the density there (few levels, small squared error: Panter and Dite, 1951). No value has more weight than one level is
worth, so an outlier takes one level; a value that is met twice as often as a level is on average has that weight, and
so becomes one. Levels are the values at evenly spaced sums of weights, the first and the last value among them. All but
the frequent ones are rounded to the fewest digits that leave each near enough: decimals as people write them stay, and
of others the table holds nobody's exact value.

Values are counted exactly up to `CELLS` different ones for all columns together (at least `LEAST_CELLS` a column), and
beyond in the finest bins of float64's leading bits that are no more. So memory is bounded, and order does not matter.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context

import numpy as np
from numpy.typing import NDArray

from ult.codecs.nearest import Floats
from ult.errors import InvalidRecord

LEVELS = 256  # of a column, at most, unless asked otherwise
CELLS = 2**20  # different values that are told apart, of all columns together
LEAST_CELLS = 2**10  # of one column
HELD = 5  # occurrences from which on a frequent value may be a level with all its digits
_PENDING = 2**20  # values that are counted together
_TOP = np.int64(-(2**63))


class Placing:
    """Counts the values of records, all together or, `by_column`, those of each place; for at most `most` levels."""

    def __init__(self, most: int, *, by_column: bool) -> None:
        self.most, self.by_column = most, by_column
        self._pending: list[Floats] = []
        self._waiting = 0
        self._length: int | None = None
        self._columns: list[_Cells] = []

    def add(self, record: Floats) -> None:
        """Count the values of a record (n,), in which NaN says nothing; raise `InvalidRecord` at another length."""
        if self._length is None:
            self._length = len(record)
        if self.by_column and len(record) != self._length:
            raise InvalidRecord(
                f"record has {len(record)} values where others have {self._length}; expected a value for each column",
                hint="--option by_column=0 for the same levels at all places",
            )
        self._pending.append(record)
        self._waiting += len(record)
        if self._waiting >= _PENDING:
            self._count()

    def levels(self, clip: float) -> list[list[float]]:
        """Return the levels of each column, those of all but the share `clip`; [0.0] where there is no value."""
        self._count()
        return [placed(*cells.counted(), self.most, clip) for cells in self._columns] or [[0.0]]

    def _count(self) -> None:
        if self._pending:
            rows = np.stack(self._pending) if self.by_column else np.concatenate(self._pending)[:, None]
            least = max(LEAST_CELLS, 4 * self.most)
            self._columns = self._columns or [_Cells(max(CELLS // rows.shape[1], least)) for _ in rows.T]
            for cells, values in zip(self._columns, rows.T, strict=True):
                cells.add(values[~np.isnan(values)] + 0.0)
        self._pending, self._waiting = [], 0


class _Cells:
    """How often the values of a column occur: exactly, or in bins that have `2**shift` floats each."""

    def __init__(self, most: int) -> None:
        self.most, self.shift = most, 0
        self.keys, self.counts = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, values: Floats) -> None:
        """Count values (n,), none of them NaN or -0.0."""
        bits = values.view(np.int64)
        keys = np.where(bits < 0, _TOP - bits, bits) >> self.shift  # rises with the value
        self._merge(np.concatenate([self.keys, keys]), np.concatenate([self.counts, np.ones(len(keys), np.int64)]))
        while len(self.keys) > self.most:
            self.shift += 1
            self._merge(self.keys >> 1, self.counts)

    def counted(self) -> tuple[Floats, NDArray[np.int64]]:
        """Return the values (m,), rising, or the middles of their bins, and how often each occurs."""
        middle = (self.keys << self.shift) + ((1 << self.shift) >> 1)
        return np.where(middle < 0, _TOP - middle, middle).view(np.float64), self.counts

    def _merge(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        self.keys, which = np.unique(keys, return_inverse=True)
        self.counts = np.zeros(len(self.keys), np.int64)
        np.add.at(self.counts, which, counts)


def placed(values: Floats, counts: NDArray[np.int64], most: int, clip: float = 0.0) -> list[float]:
    """Return at most `most` increasing levels for `values` (m,), increasing, that occur `counts` (m,) times each.

    >>> placed(np.array([0.0, 1.0, 2.0, 1e6]), np.array([5, 200, 7, 1]), 64)
    [0.0, 1.0, 2.0, 1000000.0]
    """
    if not len(values):
        return [0.0]
    below = np.cumsum(counts)
    drop = math.floor(int(below[-1]) * clip / 2)
    first = int(np.searchsorted(below, drop, side="right"))
    last = int(np.searchsorted(below, below[-1] - drop, side="left"))
    values, counts = values[first : last + 1], counts[first : last + 1]
    often = counts >= max(HELD, 2 * int(counts.sum()) / most)
    if len(values) > most:
        weights = np.cumsum(_weights(values, counts, often, most - 1))
        asked = np.linspace(weights[0], weights[-1], most)
        chosen = np.unique(np.minimum(np.searchsorted(weights, asked), len(values) - 1))
        values, often = values[chosen], often[chosen]
    found = zip(values.tolist(), often, _rounded(values), strict=True)
    return [value if is_often else short for value, is_often, short in found]


def _weights(values: Floats, counts: NDArray[np.int64], often: NDArray[np.bool_], shares: int) -> Floats:
    """Return the weight of each value (m,); none is above 1 / `shares` of their sum, which those `often` met have."""
    with np.errstate(over="ignore"):
        gaps = np.minimum(np.diff(values, prepend=values[0]), np.finfo(float).max)
    spread = _capped(np.cbrt(gaps / gaps.max()) ** 2 * np.cbrt(counts), shares)
    occurring = _capped(counts.astype(float), shares)
    weights = occurring / occurring.sum()
    if spread.any():  # not if all gaps but a few are nothing beside the widest
        weights += spread / spread.sum()
    return _capped(np.where(often, weights.sum(), weights), shares)


def _capped(weights: Floats, shares: int) -> Floats:
    """Return weights of which none is above 1 / `shares` of their sum, there being more weights than that."""
    rising = np.sort(weights)
    least = np.cumsum(rising)[:-1]  # the sum of those that stay as they are
    cap = least / np.maximum(shares - np.arange(len(rising) - 1, 0, -1), 1)
    few = np.arange(len(rising) - 1, 0, -1) < shares  # fewer are capped than there are shares
    right = np.flatnonzero(few & (rising[:-1] <= cap) & (cap <= rising[1:]))
    return np.minimum(weights, cap[right[0]]) if len(right) else weights


def _rounded(levels: Floats) -> list[float]:
    """Return increasing levels with few digits, each within half of the gap to its nearest neighbour.

    The first and the last are rounded away from the others, so that no value lies beyond them.
    """
    gaps = np.diff(levels)
    near = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    ways = [ROUND_FLOOR, *[ROUND_HALF_EVEN] * (len(levels) - 2), ROUND_CEILING]
    return [_short(x, gap, way) for x, gap, way in zip(levels.tolist(), near.tolist(), ways, strict=False)]


def _short(x: float, gap: float, rounding: str) -> float:
    """Return `x` with the fewest digits after its first that round it by a unit of at most half of `gap`."""
    if not x or not 0 < gap / 2 < math.inf:
        return x
    digits = math.floor(math.log10(abs(x))) - math.floor(math.log10(gap / 2)) + 1
    found = float(Context(prec=min(max(digits, 1), 17), rounding=rounding).create_decimal_from_float(x))
    return found if abs(found) < math.inf else x

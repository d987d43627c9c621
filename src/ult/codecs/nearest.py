"""The nearest of increasing levels for many values at once: a table of cells, and one comparison a value.

The leading bits of 1 + gain |x - c| are the cell of x, on its side of c. They increase with |x - c| whatever is
rounded, so cells may be computed in the values' own kind of float. A cell has at most one edge; one comparison, in
float64, says on which side of it a value lies.
"""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Symbols
from ult.host.kernel import njit

Floats = NDArray[np.float64]
_MAX = sys.float_info.max
_BLOCK = 2**12  # values in one pass of `_find`
_MANTISSA = 23  # bits of a float32's mantissa


class _Cells(NamedTuple):
    """How one kind of float becomes cells, and for each cell the number of the bin it starts in; NaN is the last."""

    center: np.floating
    gain: np.floating
    shift: int
    below: NDArray[np.uint32]


class Nearest:
    """Finds which of `levels` (n,), increasing, is nearest to a value; `edges` (n + 1,) are those of `nearest_edges`.

    It is fast where levels are spaced as by mu-law with `mu` about `center`, one of them, and right for any.
    """

    def __init__(self, levels: Floats, center: float, mu: float) -> None:
        self.edges = nearest_edges(levels)
        self._above = np.append(self.edges[1:], np.inf)
        self._center, self._slope = center, max(mu, 255.0)  # a smaller slope would put several edges into one cell
        self._scale = float(max(center - levels[0], levels[-1] - center)) or 1.0
        self._cells: dict[type, _Cells | None] = {}

    def find(self, values: NDArray[np.floating], symbols: Symbols) -> bool:
        """Fill `symbols` with the bin of each value, of NaN the number of levels; say whether none is infinite.

        `values` (n,) are float32 or float64, and equal ones get one symbol in both.
        """
        cells = self.cells(values.dtype.type)
        if cells is not None:
            return bool(_find(values, self._above, *cells, symbols))
        if values.dtype == np.float32:
            return self.find(values.astype(np.float64), symbols)
        symbols[:] = np.searchsorted(self.edges[1:-1], values, side="right")
        symbols[np.isnan(values)] = len(self.edges) - 1
        return not np.isinf(values).any()

    def cells(self, kind: type[np.floating]) -> _Cells | None:
        """Return the cells of a kind of float, None if edges are too close for any."""
        if kind not in self._cells:
            self._cells[kind] = self._made(kind)
        return self._cells[kind]

    def _made(self, kind: type[np.floating]) -> _Cells | None:
        with np.errstate(over="ignore"):
            edges, center = self.edges[1:-1].astype(kind), kind(self._center)
            gain = kind(min(self._slope / self._scale, _MAX))
        if not (np.isfinite(edges).all() and np.isfinite([center, gain]).all() and gain > 0):
            return None  # float32 does not reach as far
        levels, left = len(edges) + 1, edges < center
        for bits in range(levels.bit_length() - 1, levels.bit_length() + 3):
            top, shift = (math.ceil(math.log2(1 + self._slope)) + 1) << bits, _MANTISSA - bits
            cells = np.empty(len(edges), np.int32)
            _fill_cells(edges, center, gain, shift, top, cells)
            if len(np.unique(cells)) == len(cells):
                counts = np.bincount(cells, minlength=2 * (top + 1))
                right = left.sum() + np.cumsum(counts[: top + 1]) - counts[: top + 1]
                below = np.concatenate([right, left.sum() - np.cumsum(counts[top + 1 :]), [levels]])
                return _Cells(center, gain, shift, below.astype(np.uint32))
        return None


def nearest_edges(levels: Floats) -> Floats:
    """Return the edges (n + 1,) of the bins: edges[k] <= x < edges[k + 1] becomes level k.

    An edge lies half-way between two levels and always above the lower one, so that a level becomes itself.
    """
    middle = levels[:-1] + (levels[1:] - levels[:-1]) / 2
    with np.errstate(over="ignore"):  # above the largest float comes infinity
        above = np.nextafter(levels[:-1], np.inf)
    return np.concatenate([[-_MAX], np.maximum(middle, above), [np.inf]])


@njit(cache=True)
def _find(
    values: NDArray[np.floating],
    above: Floats,
    center: np.floating,
    gain: np.floating,
    shift: int,
    below: NDArray[np.uint32],
    symbols: Symbols,
) -> bool:
    """Fill `symbols` with the bin of each value (NaN: the last symbol); return whether all values are finite or NaN.

    `above` is the edge above each bin. Equals `np.searchsorted(above[:-2], values, side="right")` in 0.8 ns a value
    instead of 48. The compiler vectorises the first of the two loops; unsigned indices in the second save a test for
    negative ones.
    """
    finite, top = True, (len(below) - 1) // 2 - 1
    cells = np.empty(min(len(values), _BLOCK), np.int32)
    for start in range(0, len(values), _BLOCK):
        block, out = values[start : start + _BLOCK], symbols[start : start + _BLOCK]
        finite &= _fill_cells(block, center, gain, shift, top, cells)
        for i in range(len(block)):
            k = below[np.uint64(cells[i])]
            out[i] = k + np.uint32(block[i] >= above[np.uint64(k)])
    return finite


@njit(cache=True)
def _fill_cells(
    values: NDArray[np.floating],
    center: np.floating,
    gain: np.floating,
    shift: int,
    top: int,
    cells: NDArray[np.int32],
) -> bool:
    """Fill `cells` with the cell of each value: first those right of the center, then those left; NaN is the last.

    Every step is cast to 32 bits, and the shift is told to be less than that: only then are all of them vectors.
    """
    finite, one = True, values.dtype.type(1.0)
    base, most, left = np.int32((127 << _MANTISSA) >> shift), np.int32(top), np.int32(top + 1)
    last, right, by = np.int32(2 * (top + 1)), np.int32(0), np.uint32(shift) & np.uint32(31)
    for i in range(len(values)):
        x = values[i]
        finite &= abs(x) != np.inf
        bits = np.float32(one + gain * abs(x - center)).view(np.uint32)
        cell = min(np.int32(np.int32(bits >> by) - base), most)
        cell = np.int32(cell + (left if x < center else right))
        cells[i] = cell if x == x else last
    return finite

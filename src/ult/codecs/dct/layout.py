"""The symbols of `image/dct` with `places`: digits, means, places and levels, each with its number.

- 0 to 15: digits. A number has three bits a digit, lowest first; 8 more says that more follow. A remainder has four;
- from `MEAN` on: the mean of a block, from -`FAR_MEAN` to `FAR_MEAN`, in units of `fine` steps; both ends are escapes;
- from `PLACE` on: the plane of a block, and which of `places` x `places` parts of the image it lies in;
- from `levels` on: a position in zigzag order and a level there, from -`far` to `far` without 0; both ends are escapes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends
from ult.host.kernel import njit

MEAN, FAR_MEAN = 16, 32
PLACE = MEAN + 2 * FAR_MEAN + 1
PLANES, MOST_PLACES = 4, 8
FAR_LOW, FAR_HIGH = 4, 2  # the first escape among low frequencies, whose levels are larger, and among high ones
LOW_BANDS = 2  # that many bands are of low frequencies
MOST_DIGITS = 11  # of a number: 33 bits
MAX_BLOCK = 400  # symbols: 10 of the mean, 6 of each of 63 levels, 4 of the places before them at most
MAX_PATCH = 192  # symbols: a place and 28 levels
HEADER = 3 * MOST_DIGITS
LARGEST = 2**15 - 1  # of levels
LARGEST_MEAN = 2**14 - 1


class Layout(NamedTuple):
    """What each symbol means, for one config. Position 0 is that of the mean."""

    places: int  # parts of the image along each side; 0 if symbols are relative, as in the first form of the codec
    levels: int  # the first symbol of a level
    alphabet: int
    band: Ends  # (k * k,): 0 for the mean, then 1 + floor(log2 of the diagonal) of each position
    start: Ends  # (k * k,): the symbol of the lowest level at each position
    far: Ends  # (k * k,): the level that is an escape at each position
    position: Ends  # (alphabet - levels,): the position of a symbol of a level
    fine: int  # means are in units of so many steps, and a remainder
    digits: int  # of the remainder


def make_layout(places: int, kept: int, reach: int) -> Layout:
    """Return the layout for blocks of `kept` x `kept` frequencies whose means reach `reach` steps from the middle."""
    diagonal = np.sort(np.add.outer(np.arange(kept), np.arange(kept)).ravel())
    band = np.array([int(d).bit_length() for d in diagonal], np.int64)
    far = np.where(band <= LOW_BANDS, FAR_LOW, FAR_HIGH)
    sizes = np.where(band > 0, 2 * far, 0)
    levels = PLACE + PLANES * places**2
    start = levels + np.cumsum(sizes) - sizes
    fine = 1 + reach // (FAR_MEAN + 1)
    digits = -(-(fine - 1).bit_length() // 4)
    position: NDArray[np.int64] = np.repeat(np.arange(kept * kept), sizes)
    return Layout(places, levels, int(levels + sizes.sum()), band, start, far, position, fine, digits)


@njit(cache=True, _nrt=False)
def place_of(plane: int, row: int, column: int, rows: int, columns: int, places: int) -> int:
    """Return the symbol of the place of a block in a plane of `rows` x `columns` blocks."""
    return PLACE + (plane * places + row * places // rows) * places + column * places // columns

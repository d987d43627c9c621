"""Where tiles lie in an image, and where their blocks lie in the array of all levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Levels
from ult.codecs.dct.colour import Corners
from ult.codecs.dct.simd import replace8
from ult.codecs.patches import Ends
from ult.host.kernel import njit


@njit(cache=True)
def corners_of(shape: tuple[int, int, int], side: int, kind: int) -> tuple[Corners, int, int]:
    """Return the corners (n, 2) of the tiles of a kind, and the height and width that they share, in pixels.

    Kind 0 is the first tile alone, because all others need its bases. The others are whole (1), at the right edge (2),
    at the lower edge (3), and in the lower right corner (4).
    """
    height, width = shape[0], shape[1]
    rows, columns = height // side, width // side
    top, bottom, left, right = 0, rows, 0, columns
    if kind == 0:
        return np.zeros((1, 2), np.int64), min(side, height), min(side, width)
    tall, wide = side, side
    if kind > 2:
        tall = height - rows * side
        top, bottom = rows, rows + (tall > 0)
    if kind % 2 == 0:
        wide = width - columns * side
        left, right = columns, columns + (wide > 0)
    corners = np.empty(((bottom - top) * (right - left), 2), np.int64)
    n = 0
    for row in range(top, bottom):
        for column in range(left, right):
            corners[n, 0], corners[n, 1] = row * side, column * side
            n += row + column > 0
    return corners[:n], tall, wide


@njit(cache=True)
def side_by_side(tiles: int, side: int) -> Corners:
    """Return the corners (tiles, 2) of tiles laid side by side in one row."""
    corners = np.zeros((tiles, 2), np.int64)
    for t in range(tiles):
        corners[t, 1] = t * side
    return corners


@njit(cache=True, _nrt=False)
def _place(corner: Ends, block: int, side: int, grid: Ends) -> int:
    """Return the index in `levels` of a tile's block, -1 for luma blocks beyond the image."""
    # A side is 8 or 16, so shifts do. Divisions took a third of the time.
    twice = side >> 4
    if block < 1 << 2 * twice:
        row, column = (corner[0] >> 3) + (block >> twice), (corner[1] >> 3) + (block & twice)
        return row * grid[0, 1] + column if row < grid[0, 0] and column < grid[0, 1] else -1
    plane = block - (1 << 2 * twice)  # after luma
    start = grid[0, 0] * grid[0, 1] + plane * grid[1, 0] * grid[1, 1]
    return start + (corner[0] >> 3 + twice) * grid[1, 1] + (corner[1] >> 3 + twice)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def scatter(tiles: Levels, corners: Corners, side: int, grid: Ends, levels: Levels, changed: NDArray[np.bool_]) -> None:
    """Write `tiles` into `levels`; set `changed` (n,) for the tiles whose levels differed before."""
    for t in range(len(tiles)):
        changed[t] = False
        for b in range(tiles.shape[1]):
            place = _place(corners[t], b, side, grid)
            if place >= 0:
                changed[t] |= _copy(tiles[t, b], levels[place])


@njit(cache=True, _nrt=False)
def gather(levels: Levels, corners: Corners, side: int, grid: Ends, tiles: Levels) -> None:
    """Fill `tiles` from `levels`; blocks beyond the image keep what they held, and are never read."""
    for t in range(len(corners)):
        for b in range(tiles.shape[1]):
            place = _place(corners[t], b, side, grid)
            if place >= 0:
                _copy(levels[place], tiles[t, b])


@njit(cache=True, _nrt=False)
def _copy(source: Levels, target: Levels) -> bool:
    """Copy `source` to `target`; return whether `target` changed."""
    n, changed = len(source), False
    for i in range(0, n - 7, 8):
        changed |= replace8(source, i, target, i)
    for i in range(n // 8 * 8, n):
        changed |= source[i] != target[i]
        target[i] = source[i]
    return changed

"""Samples <-> quantised levels of rows of blocks: the transform's matrices, in whole numbers.

A row of blocks is transformed at once, down its columns; then each block along its rows. Inner loops run over many
columns, or over the eight frequencies, at distances known to the compiler, which makes vectors of them. The order of
sums is free, for all of them are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Ends

UNIT = 16  # samples and coefficients are in 1/16 of a grey level
SCALE = 2.0**-13  # transform matrices are in 1/8192
LIMIT = 2**16  # no record's coefficient is beyond 16 * 255 * UNIT; hostile ones are clipped here
SLOPE = 0.08  # how much coarser the step is per frequency, so that high ones cost less: 2 % fewer ids at equal PSNR
DC_STEP = 0.7  # means of blocks are quantised finer than the rest: banding is what the eye sees first
WIDTH = 128  # columns of a row of blocks
LANES = WIDTH // 8  # blocks that are quantised at once
_LOWEST = np.zeros(64, np.int64)  # the place of a number's only bit, by its product with _DE_BRUIJN
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
for _bit in range(64):
    _LOWEST[(int(_DE_BRUIJN) << _bit & 2**64 - 1) >> 58] = _bit

Levels = NDArray[np.int16]  # (blocks, k * k), zig-zag; the first of a block is relative to the base
Samples = NDArray[np.float32]  # whole numbers below 2**24
Whole = NDArray[np.float64]  # whole numbers below 2**53
Bits = NDArray[np.uint64]


class Plane(NamedTuple):
    """How one kind of plane is cut, transformed and quantised."""

    side: int  # pixels in a block's side
    forward: Whole  # (side + 1, side * 8), of n samples to their frequencies
    inverse: Whole  # (side + 1, 8 * side)
    steps: Whole  # (k * k,), in zig-zag order
    order: Ends  # (k * k,), zig-zag position -> place in a block of 8x8
    rank: Bits  # (8 * WIDTH,), zig-zag position of what `turned` coefficients lie there
    least: Whole  # (8 * WIDTH,), the smallest of them that may not become 0; infinite where that is not asked
    drift: float  # how far a coefficient of a whole block is from that of its decoded samples, a unit of their sum


def make_plane(side: int, kept: int, step: float, *, flat: bool) -> Plane:
    """Return the plane of `side` x `side` blocks of which `kept` x `kept` frequencies stay; `step` in grey levels.

    The step grows with the frequency unless `flat`. That of the mean is never below 1.25 grey levels, which makes a
    flat tile its own encoding whatever the rounding of its colour.
    """
    sizes = np.arange(side + 1)
    lowest = np.minimum(kept, -(-sizes * min(8, side) // side))
    forward, inverse = np.zeros((side + 1, side, 8)), np.zeros((side + 1, 8, side))
    for n in sizes[1:]:
        u, x = np.arange(lowest[n])[:, None], np.arange(n)
        basis = np.sqrt(np.where(u, 2, 1) / n) * np.cos((2 * x + 1) * u * np.pi / (2 * n))
        # A smaller block's coefficients are scaled to those of a whole one, so that a mean has one step everywhere.
        forward[n, :n, : lowest[n]] = basis.T * np.sqrt(side / n)
        inverse[n, : lowest[n], :n] = basis * np.sqrt(n / side)
    frequency = np.arange(kept)[:, None]
    diagonal = frequency + frequency.T
    steps = UNIT * step * (1 + (0 if flat else SLOPE * 8 / side) * diagonal)
    steps[0, 0] = UNIT * max(step * DC_STEP, 1.25 * side)
    # Diagonals alternate their direction, as in JPEG.
    row = np.broadcast_to(frequency, diagonal.shape)
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel()))
    whole = np.rint(steps).ravel()[order]
    order = order // kept * 8 + order % kept
    rank, least = np.zeros(64, np.uint64), np.full(64, np.inf)
    rank[order % 8 * 8 + order // 8] = np.arange(kept * kept)
    least[order[1:] % 8 * 8 + order[1:] // 8] = whole[1:] * 18 / 32
    forward, inverse = np.rint(forward / SCALE), np.rint(inverse / SCALE)
    twice = ((inverse[side] @ forward[side]) * SCALE**2)[:kept, :kept]
    drift = float(np.abs(np.kron(twice, twice) - np.eye(kept * kept)).max())
    rank, least = (np.tile(each.reshape(8, 1, 8), (1, LANES, 1)).ravel() for each in (rank, least))
    return Plane(side, _flat(forward), _flat(inverse), whole, order, rank, least, drift)


def _flat(matrices: Whole) -> Whole:
    return matrices.reshape(len(matrices), -1)


class Work(NamedTuple):
    """Memory that a row of blocks needs while it is worked on; finite, for what is beyond an edge is read too."""

    samples: Samples  # (3, 16, WIDTH)
    noise: Samples  # (3 * WIDTH,), squared differences of decoded pixels and their samples
    even: Whole  # (8 * WIDTH,), sums of a block's rows and their mirror images
    odd: Whole  # differences
    rows: Whole  # (8 * WIDTH,), frequencies down the columns
    turned: Whole  # (16, WIDTH), the same: column x of the tiles' blocks by tile, block row or plane, and frequency
    found: Bits  # (WIDTH,)


@njit(cache=True)
def workspace() -> Work:
    """Return memory for `forward`, `coefficients` and `inverse`."""
    wide = 8 * WIDTH
    return Work(
        np.zeros((3, 16, WIDTH), np.float32),
        np.zeros(3 * WIDTH, np.float32),
        np.zeros(wide),
        np.zeros(wide),
        np.zeros(wide + 16),
        np.zeros((16, WIDTH)),
        np.zeros(WIDTH, np.uint64),
    )


@njit(cache=True)
def forward(samples: Samples, matrix: Whole, width: int, work: Work) -> None:
    """Fill `work.rows` with the eight frequencies of `width` columns of `samples` (n, WIDTH); `matrix` is forward[n].

    Rows and their mirror images weigh the same in even frequencies, and the opposite in odd ones.
    """
    n = len(samples)
    half = (n + 1) // 2
    quarters = 1 if n <= 8 else 2
    even, odd = work.even, work.odd
    for k in range(4 * quarters):
        at = slice(k * WIDTH, k * WIDTH + width)
        row, difference = even[at], odd[at]
        if k >= half:
            row[:] = 0
            difference[:] = 0
        elif k == n - 1 - k:
            row[:] = samples[k, :width]
            difference[:] = 0
        else:
            _fold(samples[k], samples[n - 1 - k], row, difference)
    for quarter in range(quarters):
        start = 32 * quarter
        _mix(matrix[start:], even[4 * quarter * WIDTH :], width, work.rows, quarter > 0)
        _mix(matrix[start + 1 :], odd[4 * quarter * WIDTH :], width, work.rows[WIDTH:], quarter > 0)


@njit(cache=True)
def _fold(row: Samples, mirror: Samples, even: Whole, odd: Whole) -> None:
    for j in range(len(even)):
        a, b = np.float64(row[j]), np.float64(mirror[j])
        even[j] = a + b
        odd[j] = a - b


@njit(cache=True, fastmath={"contract"})
def _mix(m: Whole, part: Whole, width: int, out: Whole, add: bool) -> None:
    """Give, or add, to every other row of `out` the sum of four rows of `part`."""
    a0, a1, a2, a3 = m[0], m[8], m[16], m[24]
    b0, b1, b2, b3 = m[2], m[10], m[18], m[26]
    c0, c1, c2, c3 = m[4], m[12], m[20], m[28]
    d0, d1, d2, d3 = m[6], m[14], m[22], m[30]
    keep = 1.0 if add else 0.0
    for j in range(width):
        p, q, r, s = part[j], part[j + WIDTH], part[j + 2 * WIDTH], part[j + 3 * WIDTH]
        out[j] = keep * out[j] + (a0 * p + a1 * q + a2 * r + a3 * s)
        out[j + 2 * WIDTH] = keep * out[j + 2 * WIDTH] + (b0 * p + b1 * q + b2 * r + b3 * s)
        out[j + 4 * WIDTH] = keep * out[j + 4 * WIDTH] + (c0 * p + c1 * q + c2 * r + c3 * s)
        out[j + 6 * WIDTH] = keep * out[j + 6 * WIDTH] + (d0 * p + d1 * q + d2 * r + d3 * s)


@njit(cache=True)
def turn(rows: Whole, group: int, groups: int, tiles: int, width: int, turned: Whole) -> None:
    """Turn `rows`, of tiles side by side, so that `forward` goes along them."""
    for u in range(8):
        for t in range(tiles):
            start, lane = u * WIDTH + t * width, 8 * (t * groups + group) + u
            for x in range(width):
                turned[x, lane] = rows[start + x]


@njit(cache=True)
def find(rows: Whole, plane: Plane, width: int, found: Bits) -> None:
    """Round `rows`, the coefficients of `width` / 8 blocks, and give each a bit for every level that may not be 0."""
    found[:] = 0
    for v in range(8):
        at = v * WIDTH
        for j in range(width):
            value = np.floor(rows[at + j] * SCALE**2 + 0.5)
            rows[at + j] = value
            found[j] |= np.uint64(abs(value) >= plane.least[at + j]) << plane.rank[at + j]
    for lane in range(width // 8):
        bits = found[8 * lane]
        for u in range(1, 8):
            bits |= found[8 * lane + u]
        found[lane] = bits


@njit(cache=True)
def nonzero(levels: Levels) -> np.uint64:
    """Return a bit for each zig-zag position from 1 on that is not zero."""
    bits = np.uint64(0)
    for position in range(len(levels)):
        bits |= np.uint64(levels[position] != 0) << np.uint64(position)
    return bits & ~np.uint64(1)


@njit(cache=True)
def lowest(bits: np.uint64) -> int:
    """Return the place of the lowest bit of `bits`."""
    return _LOWEST[((bits & (~bits + np.uint64(1))) * _DE_BRUIJN) >> np.uint64(58)]  # type: ignore[no-any-return]


@njit(cache=True)
def inverse_rows(
    tiles: Levels, block: int, base: int, start: int, pitch: int, width: int, plane: Plane, rows: Whole
) -> int:
    """Add what a block of each of `tiles` stands for, along its rows, to `rows`; return the highest row.

    That of tile t begins at column start + t * pitch.
    """
    matrix, side, steps, order = plane.inverse[width], plane.side, plane.steps, plane.order
    highest = 0
    for t in range(len(tiles)):
        levels = tiles[t, block]
        at = start + t * pitch
        value = min(max(levels[0] * steps[0] + base * side, -LIMIT), LIMIT)
        for x in range(side):
            rows[at + x] += value * matrix[x]
        bits = nonzero(levels)
        while bits:
            position = lowest(bits)
            bits &= bits - np.uint64(1)
            value = min(max(levels[position] * steps[position], -LIMIT), LIMIT)
            place = order[position]
            highest = max(highest, place >> 3)
            row, column = (place >> 3) * WIDTH + at, (place & 7) * side
            for x in range(side):
                rows[row + x] += value * matrix[column + x]
    return highest


@njit(cache=True)
def inverse(rows: Whole, highest: int, matrix: Whole, width: int, samples: Samples) -> None:
    """Fill `width` columns of `samples` (n, WIDTH) with what `rows` stand for, of which none above `highest` counts."""
    n, side = len(samples), len(matrix) // 8
    for k in range((n + 1) // 2):
        if highest < 4:
            _few(matrix[k:], side, rows, samples[k, :width], samples[n - 1 - k, :width])
        else:
            _all(matrix[k:], side, rows, samples[k, :width], samples[n - 1 - k, :width])


@njit(cache=True, fastmath={"contract"})
def _few(m: Whole, side: int, rows: Whole, row: Samples, mirror: Samples) -> None:
    a, b, c, d = m[0], m[side], m[2 * side], m[3 * side]
    for j in range(len(row)):
        even = a * rows[j] + c * rows[j + 2 * WIDTH]
        odd = b * rows[j + WIDTH] + d * rows[j + 3 * WIDTH]
        row[j] = np.floor((even + odd) * SCALE**2 + 0.5)
        mirror[j] = np.floor((even - odd) * SCALE**2 + 0.5)


@njit(cache=True, fastmath={"contract"})
def _all(m: Whole, side: int, rows: Whole, row: Samples, mirror: Samples) -> None:
    a, b, c, d = m[0], m[side], m[2 * side], m[3 * side]
    e, f, g, h = m[4 * side], m[5 * side], m[6 * side], m[7 * side]
    for j in range(len(row)):
        even = a * rows[j] + c * rows[j + 2 * WIDTH] + e * rows[j + 4 * WIDTH] + g * rows[j + 6 * WIDTH]
        odd = b * rows[j + WIDTH] + d * rows[j + 3 * WIDTH] + f * rows[j + 5 * WIDTH] + h * rows[j + 7 * WIDTH]
        row[j] = np.floor((even + odd) * SCALE**2 + 0.5)
        mirror[j] = np.floor((even - odd) * SCALE**2 + 0.5)


@njit(cache=True)
def quantise(
    rows: Whole,
    found: Bits,
    plane: Plane,
    bases: Ends,
    blocks: tuple[int, int, int],
    lanes: int,
    tiles: Levels,
    room: Whole,
) -> None:
    """Fill `blocks` (start, stop, step) of `tiles`, and of `room`, with the quantised coefficients of `find`.

    The dead zone grows from 9/16 to 7/8 of a step with the zeros before, for a 1 after many zeros costs most:
    2 % fewer ids at equal PSNR.

    The levels are those of their own decoded samples if what rounding and clipping add to these has a Euclidean norm
    below `room`: no coefficient moves by more than that norm, the half of a unit by which each decoded sample is
    rounded, the rounding of coefficients, and the drift of the matrices.
    """
    side, steps, order = plane.side, plane.steps, plane.order
    start, stop, across = blocks
    for group in range(-((start - stop) // across)):
        block, base = start + group * across, bases[min(group, len(bases) - 1)] * side
        for t in range(len(tiles)):
            lane = t * lanes + group
            levels = tiles[t, block]
            levels[:] = 0
            mean = nearest(int(rows[8 * lane]) - base, int(steps[0]))
            levels[0] = mean
            total = abs(mean * steps[0] + base)
            margin = 14 * steps[min(1, len(levels) - 1)]  # in 1/32, to the nearest value that has another level
            last = 0
            bits = found[lane]
            while bits:
                position = lowest(bits)
                bits &= bits - np.uint64(1)
                step = steps[position]
                place = order[position]
                value = rows[(place & 7) * WIDTH + 8 * lane + (place >> 3)]
                size = abs(value)
                run = min(position - last - 1, 10)
                if 32 * size >= step * (18 + run):
                    level = np.floor((16 * size + 7 * step) / (16 * step))
                    levels[position] = np.int64(level if value > 0 else -level)
                    total += level * step
                    if level == 1:
                        margin = min(margin, step * (14 - run))
                    last = position
            least = min(margin / 32, steps[0] / 2)
            room[t, block] = (least - 2 - plane.drift * total) * 0.998 - side / 2


@njit(cache=True)
def nearest(value: int, step: int) -> int:
    """Return the whole number nearest to `value / step`; halves go up."""
    return (2 * value + step) // (2 * step)

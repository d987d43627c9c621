"""Quantised levels -> samples: the inverse transform of a row of blocks, and the transform's matrices, in integers.

A row of blocks is transformed together: each block along its rows, then all blocks down their columns. Inner loops run
over many columns at constant distances, so the compiler vectorises them. Sums may be taken in any order, because all
of them are exact. The forward transform is in `quantise`.

Functions with `_nrt=False` (as Numba's own sorts) allocate nothing, return no arrays, and do not count references to
the arrays that they receive or slice; their callers hold these. Reference counting took a sixth of the time to encode.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.simd import add8, add16, lowest
from ult.host.kernel import njit

UNIT = 16  # samples and coefficients are in 1/16 of a grey level
SCALE = 2.0**-13  # transform matrices are in 1/8192
LIMIT = 2**16  # coefficients are clipped here; no encoded image has one beyond 16 * 255 * UNIT, forged symbols may
SLOPE = 0.08  # growth of the step per frequency: high frequencies cost less, 2 % fewer ids at equal PSNR
DC_STEP = 0.7  # the step of a block's mean, relative to the others: banding is the artefact seen first
WIDTH = 256  # columns of a row of blocks; with half as many, 256x256 pixels take 10 % longer

Levels = NDArray[np.int16]  # (blocks, k * k) in zigzag scan order; the first level of a block is relative to the base
Samples = NDArray[np.float32]  # integers below 2**24
Whole = NDArray[np.float64]  # integers below 2**53
Bits = NDArray[np.uint64]


class Plane(NamedTuple):
    """How one kind of plane is cut into blocks, transformed and quantised."""

    side: int  # pixels per side of a block
    forward: Whole  # (side + 1, side * 8), the matrix from n samples to their frequencies, for each n
    inverse: Whole  # (side + 1, 8 * side), the matrix back
    steps: Whole  # (k * k,), quantisation steps in zigzag order
    parts: Whole  # (k * k,), 1 / steps
    order: Bits  # (k * k,), zigzag position -> index in a block of 8x8
    quick: Samples  # `forward` in float32, scaled so that coefficients are in units of 1/16 of a grey level
    doubt: float  # bound on the error of coefficients computed by `quick`
    least: Samples  # (8 * WIDTH,), magnitudes below which a coefficient becomes 0 for certain; infinite if not kept
    spread: Bits  # (8, 256), from byte v of a column's `marks` to a mask of zigzag positions
    drift: float  # bound on the change of a coefficient by inverse and forward transform, relative to their sum


def make_plane(side: int, kept: int, step: float, *, flat: bool) -> Plane:
    """Return the plane of `side` x `side` blocks that keep `kept` x `kept` frequencies; `step` is in grey levels.

    The step grows with the frequency unless `flat`. The mean's step is at least 1.25 grey levels, so that a flat tile
    encodes to itself however its colour is rounded.
    """
    sizes = np.arange(side + 1)
    lowest = np.minimum(kept, -(-sizes * min(8, side) // side))
    forward, inverse = np.zeros((side + 1, side, 8)), np.zeros((side + 1, 8, side))
    for n in sizes[1:]:
        u, x = np.arange(lowest[n])[:, None], np.arange(n)
        basis = np.sqrt(np.where(u, 2, 1) / n) * np.cos((2 * x + 1) * u * np.pi / (2 * n))
        # Coefficients of a smaller block are scaled to those of a whole one, so that means have one step everywhere.
        forward[n, :n, : lowest[n]] = basis.T * np.sqrt(side / n)
        inverse[n, : lowest[n], :n] = basis * np.sqrt(n / side)
    frequency = np.arange(kept)[:, None]
    diagonal = frequency + frequency.T
    steps = UNIT * step * (1 + (0 if flat else SLOPE * 8 / side) * diagonal)
    steps[0, 0] = UNIT * max(step * DC_STEP, 1.25 * side)
    # Zigzag scan: diagonals alternate their direction, as in JPEG.
    row = np.broadcast_to(frequency, diagonal.shape)
    order = np.lexsort((np.where(diagonal % 2, row, row.T).ravel(), diagonal.ravel()))
    whole = np.rint(steps).ravel()[order]
    order = order // kept * 8 + order % kept
    forward, inverse = np.rint(forward / SCALE), np.rint(inverse / SCALE)
    # A sum of n products in float32 has an error of at most n + 1 roundings of the sum of their magnitudes.
    sums = np.abs(forward * SCALE).sum(1).max()
    doubt = (side / 2 + 2 + side + 2) * 2.0**-24 * sums**2 * 128 * UNIT
    least = np.full(64, np.inf)
    least[order[1:]] = whole[1:] * 18 / 32 - 0.6 - doubt
    spread = np.zeros((8, 256), np.uint64)
    for position in range(1, kept * kept):
        place = int(order[position])
        spread[place & 7, np.arange(256) >> (place >> 3) & 1 == 1] += np.uint64(2**position)
    twice = ((inverse[side] @ forward[side]) * SCALE**2)[:kept, :kept]
    drift = float(np.abs(np.kron(twice, twice) - np.eye(kept * kept)).max())
    least = np.tile(least.reshape(8, 1, 8), (1, WIDTH // 8, 1)).ravel().astype(np.float32)
    quick = _flat(forward * SCALE).astype(np.float32)
    return Plane(
        side,
        _flat(forward),
        _flat(inverse),
        whole,
        1 / whole,
        order.astype(np.uint64),
        quick,
        doubt,
        least,
        spread,
        drift,
    )


def _flat(matrices: Whole) -> Whole:
    return matrices.reshape(len(matrices), -1)


class Work(NamedTuple):
    """Scratch memory for a row of blocks; all values stay finite, because kernels also read beyond the edge."""

    samples: Samples  # (3, 16, WIDTH)
    noise: Samples  # (3 * WIDTH,), squared differences between the samples of decoded pixels and decoded samples
    even: Samples  # (8 * WIDTH,), sums of a block's rows and their mirror images
    odd: Samples  # (8 * WIDTH,), their differences
    once: Samples  # (8 * WIDTH + 16,), transformed down the columns
    twice: Samples  # (8 * WIDTH,), transformed along the rows too: coefficients, 8x8 per block, side by side
    marks: NDArray[np.uint8]  # (WIDTH,), a bit for each coefficient that may be non-zero once quantised
    rows: Whole  # (8 * WIDTH + 16,), exact sums along the rows; 0 except between `inverse_rows` and `inverse`
    paints: bool  # whether encoding replaces `samples` by the decoded samples


@njit(cache=True)
def workspace(paints: bool, encode: bool = True) -> Work:
    """Return scratch memory for a row of blocks; decoding (`encode=False`) needs `samples`, `noise` and `rows` only."""
    wide = 8 * WIDTH if encode else 0
    return Work(
        np.zeros((3, 16, WIDTH), np.float32),
        np.zeros(3 * WIDTH, np.float32),
        np.zeros(wide, np.float32),
        np.zeros(wide, np.float32),
        np.zeros(wide + 16, np.float32),
        np.zeros(wide, np.float32),
        np.zeros(WIDTH, np.uint8),
        np.zeros(8 * WIDTH + 16),
        paints,
    )


@njit(cache=True, _nrt=False)
def nonzero(levels: Levels) -> np.uint64:
    """Return a mask of the zigzag positions, from 1 on, whose level is not zero."""
    bits = np.uint64(0)
    for position in range(len(levels)):
        bits |= np.uint64(levels[position] != 0) << np.uint64(position)
    return bits & ~np.uint64(1)


@njit(cache=True, _nrt=False)
def inverse_rows(
    tiles: Levels, block: int, base: int, start: int, pitch: int, width: int, plane: Plane, rows: Whole
) -> int:
    """Transform one block of each of `tiles` back along its rows and add that to `rows`; return the highest row used.

    The block of tile t begins at column start + t * pitch.
    """
    matrix, side, steps, order = plane.inverse[width], plane.side, plane.steps, plane.order
    highest = np.uint64(0)
    for t in range(len(tiles)):
        levels = tiles[t, block]
        at = np.uint64(start + t * pitch)
        value = min(max(levels[0] * steps[0] + base * side, -LIMIT), LIMIT)
        add_row(rows, at, matrix, np.uint64(0), value, side)
        bits = nonzero(levels)
        while bits:
            position = lowest(bits)
            bits &= bits - np.uint64(1)
            value = min(max(levels[position] * steps[position], -LIMIT), LIMIT)
            row, column = order[position] >> np.uint64(3), order[position] & np.uint64(7)
            highest = max(highest, row)
            add_row(rows, row * np.uint64(WIDTH) + at, matrix, column * np.uint64(side), value, side)
    return int(highest)


@njit(cache=True, _nrt=False)
def add_row(rows: Whole, at: np.uint64, matrix: Whole, start: np.uint64, value: float, side: int) -> None:
    """Add `value` times the row of `matrix` at `start` to `rows` at `at`; `side` is 8 or 16."""
    if side == 8:
        add8(rows, at, matrix, start, value)
    else:
        add16(rows, at, matrix, start, value)


@njit(cache=True, _nrt=False)
def inverse(rows: Whole, highest: int, matrix: Whole, width: int, samples: Samples) -> None:
    """Transform `rows` back down their columns into `width` columns of `samples` (n, WIDTH), and set `rows` to 0.

    Rows above `highest` are 0 and are skipped.
    """
    n, side = len(samples), len(matrix) // 8
    for k in range((n + 1) // 2):
        if highest < 4:
            _few(matrix[k:], side, rows, samples[k, :width], samples[n - 1 - k, :width])
        else:
            _all(matrix[k:], side, rows, samples[k, :width], samples[n - 1 - k, :width])
    rows[: (highest + 1) * WIDTH] = 0


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _few(m: Whole, side: int, rows: Whole, row: Samples, mirror: Samples) -> None:
    a, b, c, d = m[0], m[side], m[2 * side], m[3 * side]
    for j in range(len(row)):
        even = a * rows[j] + c * rows[j + 2 * WIDTH]
        odd = b * rows[j + WIDTH] + d * rows[j + 3 * WIDTH]
        row[j] = np.floor((even + odd) * SCALE**2 + 0.5)
        mirror[j] = np.floor((even - odd) * SCALE**2 + 0.5)


@njit(cache=True, _nrt=False, fastmath={"contract"})
def _all(m: Whole, side: int, rows: Whole, row: Samples, mirror: Samples) -> None:
    a, b, c, d = m[0], m[side], m[2 * side], m[3 * side]
    e, f, g, h = m[4 * side], m[5 * side], m[6 * side], m[7 * side]
    for j in range(len(row)):
        even = a * rows[j] + c * rows[j + 2 * WIDTH] + e * rows[j + 4 * WIDTH] + g * rows[j + 6 * WIDTH]
        odd = b * rows[j + WIDTH] + d * rows[j + 3 * WIDTH] + f * rows[j + 5 * WIDTH] + h * rows[j + 7 * WIDTH]
        row[j] = np.floor((even + odd) * SCALE**2 + 0.5)
        mirror[j] = np.floor((even - odd) * SCALE**2 + 0.5)


@njit(cache=True, _nrt=False)
def nearest(value: int, step: int) -> int:
    """Return the integer nearest to `value / step`; halves are rounded up."""
    return (2 * value + step) // (2 * step)

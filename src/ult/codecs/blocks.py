"""Samples <-> quantised levels of rows of blocks: the transform's matrices, in whole numbers.

A row of blocks is transformed at once: down its columns, and along its rows turned into columns. So the inner loops
run over many columns, which compilers make vectors of. The order of sums is free, for all of them are exact.
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

Levels = NDArray[np.int16]  # (blocks, k * k), zig-zag; the first of a block is relative to the base
Whole = NDArray[np.float64]  # whole numbers below 2**53


class Plane(NamedTuple):
    """How one kind of plane is cut, transformed and quantised."""

    side: int  # pixels in a block's side
    forward: Whole  # (side + 1, side, 8), of n samples to their frequencies
    inverse: Whole  # (side + 1, 8, side)
    steps: Ends  # (k * k,), in zig-zag order
    order: Ends  # (k * k,), zig-zag position -> place in a column-major block of 8x8
    rank: Ends  # (64,), place -> zig-zag position, 0 where no frequency is kept
    least: Whole  # (64,), place -> smallest coefficient that may not become 0


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
    whole = np.rint(steps).astype(np.int64).ravel()[order]
    order = order // kept + order % kept * 8
    rank, least = np.zeros(64, np.int64), np.zeros(64)
    rank[order] = np.arange(kept * kept)
    least[order] = whole * 18 / 32
    return Plane(side, np.rint(forward / SCALE), np.rint(inverse / SCALE), whole, order, rank, least)


@njit(cache=True)
def forward(samples: Whole, plane: Plane) -> Whole:
    """Return the coefficients, times 1 / SCALE**2, of a row of blocks (h, w): (blocks, 64), column by column."""
    height, width = samples.shape
    rows = _frequencies(plane.forward[height], samples)
    blocks = np.empty((-(-width // plane.side), 64))
    for x, count, n in _sections(width, plane.side):
        columns = np.empty((n, 8 * count))
        for i in range(count):
            for u in range(8):
                for k in range(n):
                    columns[k, 8 * i + u] = rows[u, x + n * i + k]
        turned = _frequencies(plane.forward[n], columns)
        for i in range(count):
            for v in range(8):
                for u in range(8):
                    blocks[x // plane.side + i, 8 * v + u] = turned[v, 8 * i + u]
    return blocks


@njit(cache=True)
def inverse(blocks: Whole, plane: Plane, samples: Whole) -> None:
    """Fill `samples` (h, w) with what the coefficients of a row of blocks stand for."""
    height, width = samples.shape
    rows = np.empty((8, width))
    for x, count, n in _sections(width, plane.side):
        turned, columns = np.empty((8, 8 * count)), np.empty((n, 8 * count))
        for i in range(count):
            for v in range(8):
                for u in range(8):
                    turned[v, 8 * i + u] = blocks[x // plane.side + i, 8 * v + u]
        _values(plane.inverse[n], turned, 1.0, columns)
        for i in range(count):
            for u in range(8):
                for k in range(n):
                    rows[u, x + n * i + k] = columns[k, 8 * i + u]
    _values(plane.inverse[height], rows, SCALE**2, samples)


@njit(cache=True)
def _sections(width: int, side: int) -> list[tuple[int, int, int]]:
    """Return where the whole blocks of `width`, and what is left, begin, how many blocks that are, and their width."""
    whole = width // side
    sections = [(0, whole, side), (whole * side, 1, width % side)]
    return sections[whole == 0 : 1 + (width % side > 0)]


@njit(cache=True, fastmath={"contract"})
def _frequencies(forward: Whole, samples: Whole) -> Whole:
    """Return the eight frequencies (8, m) of columns of samples (n, m).

    Rows and their mirror images weigh the same in even frequencies, and the opposite in odd ones.
    """
    n, width = samples.shape
    half = (n + 1) // 2
    even, odd = np.empty((4 if n <= 8 else 8, width)), np.empty((4 if n <= 8 else 8, width))
    even[half:] = 0
    odd[half:] = 0
    for k in range(half):
        other = 1.0 if k < n - 1 - k else 0.0
        for j in range(width):
            even[k, j] = samples[k, j] + other * samples[n - 1 - k, j]
            odd[k, j] = samples[k, j] - other * samples[n - 1 - k, j]
    out = np.empty((8, width))
    for u in range(8):
        part = odd if u % 2 else even
        for k in range(0, len(part), 4):
            a, b, c, d = forward[k, u], forward[k + 1, u], forward[k + 2, u], forward[k + 3, u]
            for j in range(width):
                total = a * part[k, j] + b * part[k + 1, j] + c * part[k + 2, j] + d * part[k + 3, j]
                out[u, j] = total if k == 0 else out[u, j] + total
    return out


@njit(cache=True, fastmath={"contract"})
def _values(inverse: Whole, given: Whole, scale: float, samples: Whole) -> None:
    """Fill `samples` (n, m) with what eight frequencies (8, m) stand for, times `scale` and rounded."""
    n, width = samples.shape
    for k in range((n + 1) // 2):
        a, b, c, d = inverse[0, k], inverse[2, k], inverse[4, k], inverse[6, k]
        e, f, g, h = inverse[1, k], inverse[3, k], inverse[5, k], inverse[7, k]
        for j in range(width):
            even = a * given[0, j] + b * given[2, j] + c * given[4, j] + d * given[6, j]
            odd = e * given[1, j] + f * given[3, j] + g * given[5, j] + h * given[7, j]
            samples[k, j] = np.floor((even + odd) * scale + 0.5)
            samples[n - 1 - k, j] = np.floor((even - odd) * scale + 0.5)


@njit(cache=True)
def dequantise(levels: Levels, base: int, plane: Plane, block: Whole) -> None:
    """Fill `block` (64,) with the coefficients that `levels` stand for."""
    block[:] = 0
    for position in range(len(levels)):
        if levels[position] or position == 0:
            value = np.int64(levels[position]) * plane.steps[position]
            if position == 0:
                value += base * plane.side
            block[plane.order[position]] = min(max(value, -LIMIT), LIMIT)


@njit(cache=True)
def quantise(block: Whole, plane: Plane, base: int, levels: Levels) -> None:
    """Fill `levels` with the quantised coefficients of a block of `forward`.

    The dead zone grows from 9/16 to 7/8 of a step with the zeros before, for a 1 after many zeros costs most:
    2 % fewer ids at equal PSNR.
    """
    last = 0  # position that may not be 0
    for place in range(64):
        last = max(last, plane.rank[place] if abs(_unscaled(block[place])) >= plane.least[place] else 0)
    levels[0] = nearest(int(_unscaled(block[0])) - base * plane.side, plane.steps[0])
    run = 0
    for position in range(1, last + 1):
        step = plane.steps[position]
        value = int(_unscaled(block[plane.order[position]]))
        size = abs(value)
        if 32 * size < step * (18 + min(run, 10)):
            levels[position] = 0
            run += 1
        else:
            level = (16 * size + 7 * step) // (16 * step)
            levels[position] = level if value > 0 else -level
            run = 0
    levels[last + 1 :] = 0


@njit(cache=True)
def _unscaled(value: float) -> float:
    return float(np.floor(value * SCALE**2 + 0.5))


@njit(cache=True)
def nearest(value: int, step: int) -> int:
    """Return the whole number nearest to `value / step`; halves go up."""
    return (2 * value + step) // (2 * step)

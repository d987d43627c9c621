"""Levels <-> symbols of `image/dct` with `places`: each block says where it is, and each level which frequency it has.

A block is its mean, its place and the remainder of the mean; then, for each band of frequencies that is not all zero,
its place again and the levels, each with its position. These are its patches, so that phrases stay within them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Bits, Levels, Plane, nearest
from ult.codecs.dct.layout import (
    FAR_MEAN,
    HEADER,
    LARGEST,
    LARGEST_MEAN,
    MEAN,
    MOST_DIGITS,
    Layout,
    place_of,
)
from ult.codecs.dct.simd import lowest
from ult.codecs.patches import Ends, Symbols
from ult.errors import CorruptSymbols
from ult.host.kernel import njit

Bases = NDArray[np.int64]  # (planes,): a channel of the first colour, 0 to 255, or the base of each channel


@njit(cache=True)
def offsets_of(bases: Ends, luma: Plane, chroma: Plane) -> Ends:
    """Return the base of each plane, in steps of a mean, of images of 8 bits; `bases` are in samples."""
    found = np.empty(len(bases), np.int64)
    for p in range(len(bases)):
        plane = chroma if p in (1, 2) else luma
        found[p] = nearest(bases[p] * plane.side, int(plane.steps[0]))
    return found


@njit(cache=True, _nrt=False)
def placed_room(blocks: int, nonzero: int) -> tuple[int, int]:
    """Return how many symbols and patches an image has at most."""
    return HEADER + 14 * blocks + 6 * nonzero, 1 + 5 * blocks


@njit(cache=True, _nrt=False)
def write_placed(
    shape: Ends,
    levels: Levels,
    masks: Bits,
    colour: Bases,
    offsets: Ends,
    grid: Ends,
    layout: Layout,
    symbols: Symbols,
    at: int,
    ends: Ends,
    patches: int,
) -> tuple[int, int]:
    """Write the symbols of an image from `at` on, and the ends of its patches; return the next free index of both."""
    block = 0
    for number in (shape[2] if shape[2] > 1 else 0, shape[0], shape[1]):
        at = _write_number(number, symbols, at)
    for plane in range(len(grid)):
        rows, columns = grid[plane]
        for row in range(rows):
            for column in range(columns):
                ends[patches] = at
                patches += 1
                place = place_of(plane, row, column, rows, columns, layout.places)
                if row + column == 0:
                    at = _write_number(colour[plane], symbols, at)
                    symbols[at] = place
                    at += 1
                else:
                    at = write_mean(int(levels[block, 0]) + offsets[plane], place, layout, symbols, at)
                at, patches = write_levels(levels[block], masks[block], place, layout, symbols, at, ends, patches)
                block += 1
    ends[patches] = at
    return at, patches + 1


@njit(cache=True, _nrt=False)
def _write_number(value: int, symbols: Symbols, at: int) -> int:
    while value > 7:
        symbols[at] = value & 7 | 8
        value >>= 3
        at += 1
    symbols[at] = value
    return at + 1


@njit(cache=True, _nrt=False)
def write_mean(mean: int, place: int, layout: Layout, symbols: Symbols, at: int) -> int:
    """Write a mean, in steps from the middle of the range, with the place; return where they end."""
    fine = layout.fine
    coarse = (mean + fine // 2) // fine
    near = min(max(coarse, -FAR_MEAN), FAR_MEAN)
    symbols[at] = MEAN + FAR_MEAN + near
    at += 1
    if abs(near) == FAR_MEAN:
        at = _write_number(abs(coarse - near), symbols, at)
    symbols[at] = place
    at += 1
    rest = mean + fine // 2 - coarse * fine
    for digit in range(layout.digits - 1, -1, -1):
        symbols[at] = rest >> 4 * digit & 15
        at += 1
    return at


@njit(cache=True, _nrt=False)
def write_levels(
    levels: Levels, bits: np.uint64, place: int, layout: Layout, symbols: Symbols, at: int, ends: Ends, patches: int
) -> tuple[int, int]:
    """Write the levels at the zigzag positions set in `bits`, the place before each band; end the patch before it."""
    band = 0
    while bits:
        position = np.uint64(lowest(bits))
        bits &= bits - np.uint64(1)
        if layout.band[position] != band:
            band = layout.band[position]
            ends[patches] = at
            patches += 1
            symbols[at] = place
            at += 1
        value, far = int(levels[position]), layout.far[position]
        near = min(max(value, -far), far)
        symbols[at] = layout.start[position] + far + near - (near > 0)
        at += 1
        if abs(near) == far:
            at = _write_number(abs(value) - far, symbols, at)
    return at, patches


def read_header(symbols: Symbols) -> tuple[list[int], int]:
    """Return [channels, height, width] and where the header ends; raise `CorruptSymbols` if it is incomplete."""
    numbers, at = [], 0
    start = symbols[:HEADER].astype(np.int64)
    for _ in range(3):
        value, at = read_number(start, at)
        if at < 0:
            raise CorruptSymbols(f"{len(symbols)} symbols do not begin with channels, height and width")
        numbers.append(int(value))
    return numbers, at


@njit(cache=True, _nrt=False)
def read_number(symbols: Ends, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends, -1 if none starts there."""
    value = 0
    for digit in range(MOST_DIGITS):
        if at >= len(symbols) or symbols[at] >= MEAN:
            return 0, -1
        value |= (int(symbols[at]) & 7) << 3 * digit
        at += 1
        if symbols[at - 1] < 8:
            return value, at
    return 0, -1


@njit(cache=True, _nrt=False)
def parse_placed(
    symbols: Ends,
    at: int,
    grid: Ends,
    layout: Layout,
    highest: int,
    levels: Levels,
    colour: Bases,
    good: NDArray[np.bool_],
) -> None:
    """Fill `levels` and `colour`, set `good` where an image ends, and stop at the first symbol that cannot follow.

    Means are from the middle of the range, not from the base, which is not known before the last plane; those of the
    first blocks are 0. `highest` is the largest base.
    """
    block = 0
    for plane in range(len(grid)):
        rows, columns = grid[plane]
        for index in range(rows * columns):
            place = place_of(plane, index // columns, index % columns, rows, columns, layout.places)
            if index == 0:
                base, at = read_number(symbols, at)
                if at < 0 or base > highest or at >= len(symbols) or symbols[at] != place:
                    return
                colour[plane] = base
                at += 1
            else:
                mean, at = read_mean(symbols, at, place, layout)
                if at < 0:
                    return
                levels[block, 0] = mean
            at = read_levels(symbols, at, place, layout, LARGEST, levels[block], good, block == len(levels) - 1)
            if at < 0:
                return
            block += 1


@njit(cache=True, _nrt=False)
def relate(levels: Levels, offsets: Ends, grid: Ends) -> None:
    """Turn means from the middle of the range into means from the base of each plane, except those of first blocks."""
    block = 0
    for plane in range(len(grid)):
        for index in range(grid[plane, 0] * grid[plane, 1]):
            if index:
                levels[block, 0] -= offsets[plane]
            block += 1


@njit(cache=True, _nrt=False)
def read_mean(symbols: Ends, at: int, place: int, layout: Layout) -> tuple[int, int]:
    """Return the mean at `at` and where it ends, -1 if it is none that `place` follows."""
    if at >= len(symbols) or not MEAN <= symbols[at] <= MEAN + 2 * FAR_MEAN:
        return 0, -1
    coarse, at = int(symbols[at]) - MEAN - FAR_MEAN, at + 1
    if abs(coarse) == FAR_MEAN:
        more, at = read_number(symbols, at)
        coarse += more if coarse > 0 else -more
    if at < 0 or abs(coarse) > most_coarse(layout) or at + layout.digits >= len(symbols) or symbols[at] != place:
        return 0, -1
    at += 1
    rest = 0
    for _ in range(layout.digits):
        if symbols[at] >= MEAN:
            return 0, -1
        rest = rest << 4 | int(symbols[at])
        at += 1
    return (coarse * layout.fine + rest - layout.fine // 2, at) if rest < layout.fine else (0, -1)


@njit(cache=True, _nrt=False)
def most_coarse(layout: Layout) -> int:
    """Return the largest mean, in units of `fine` steps."""
    return LARGEST_MEAN // layout.fine - 1


@njit(cache=True, _nrt=False)
def read_levels(
    symbols: Ends,
    at: int,
    place: int,
    layout: Layout,
    largest: int,
    levels: Levels,
    good: NDArray[np.bool_],
    last: bool,
) -> int:
    """Fill `levels[1:]` and return where the block ends, -1 if invalid; mark possible ends of the `last` block."""
    position, band = np.int64(0), np.int64(0)
    good[at] = last
    while at < len(symbols) and symbols[at] >= MEAN + 2 * FAR_MEAN + 1:
        begins = symbols[at] < layout.levels
        if begins:
            if symbols[at] != place or at + 1 >= len(symbols) or symbols[at + 1] < layout.levels:
                return -1
            at += 1
        symbol = int(symbols[at])
        now = layout.position[symbol - layout.levels]
        if (layout.band[now] <= band) if begins else (layout.band[now] != band or now <= position):
            return -1
        position, band = now, layout.band[now]
        value, far = symbol - layout.start[now], layout.far[now]
        value += (value >= far) - far
        at += 1
        if abs(value) == far:
            more, at = read_number(symbols, at)
            value += more if value > 0 else -more
            if at < 0 or abs(value) > largest:
                return -1
        levels[position] = value
        good[at] = last
    return at

"""Levels <-> symbols of `image/dct`: numbers, the header, and blocks as runs of zeros and levels.

`highest` is 0 for images of 8 bits, whose first blocks begin with a byte, else the largest base of a plane, which is
written as a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Bits, Levels, nonzero
from ult.codecs.dct.grammar import FAR_LEVEL, FAR_MEAN, LARGEST, LEVEL, MAX_PATCH, MEAN, ZEROS
from ult.codecs.dct.simd import lowest, ones
from ult.codecs.patches import Ends, Symbols
from ult.errors import CorruptSymbols
from ult.host.kernel import njit

MAX_BLOCK = 196  # symbols: 4 of the mean, 3 for each of 63 levels, 3 of ZEROS at most
Bases = NDArray[np.int64]  # (planes,): a channel of the first colour, 0 to 255, or the base of each channel


def read_header(symbols: Symbols) -> tuple[list[int], int]:
    """Return [channels, height, width] and where the header ends; raise `CorruptSymbols` if it is incomplete."""
    numbers, at = [], 0
    start = symbols[:15].astype(np.int64)
    for _ in range(3):
        value, at = _read_number(start, at)
        if at < 0:
            raise CorruptSymbols(f"{len(symbols)} symbols do not begin with channels, height and width")
        numbers.append(int(value))
    return numbers, at


@njit(cache=True, _nrt=False)
def _read_number(symbols: Ends, at: int) -> tuple[int, int]:
    """Return the LEB128 number at `at` and where it ends, -1 if no number of at most 5 symbols starts there."""
    value = 0
    for digit in range(5):
        if at >= len(symbols) or symbols[at] > 255:
            return 0, -1
        value |= (int(symbols[at]) & 127) << 7 * digit
        at += 1
        if symbols[at - 1] < 128:
            return value, at
    return 0, -1


@njit(cache=True, _nrt=False)
def _read_signed(symbols: Ends, at: int, place: int, far: int) -> tuple[int, int]:
    """Return the value of symbol `place` of -far..far, and where it ends; -far and far are escapes to a number."""
    value = place - far
    if abs(value) < far:
        return value, at
    rest, at = _read_number(symbols, at)
    return (value + rest if value > 0 else value - rest), at


@njit(cache=True, _nrt=False)
def _write_signed(value: int, base: int, far: int, symbols: Symbols, at: int) -> int:
    """Write a value as one symbol from `base` on, followed by a number if it is `far` or more; return where it ends."""
    near: int = min(max(value, -far), far)
    symbols[at] = base + near + far
    at += 1
    if abs(near) == far:
        at = _write_number(abs(value - near), symbols, at)
    return at


@njit(cache=True, _nrt=False)
def _write_number(value: int, symbols: Symbols, at: int) -> int:
    while value > 127:
        symbols[at] = value & 127 | 128
        value >>= 7
        at += 1
    symbols[at] = value
    return at + 1


@njit(cache=True, _nrt=False)
def _expected(levels: Levels, block: int, columns: int, row: int, column: int) -> int:
    """Return the mean of a block as predicted from its left and upper neighbours, in steps."""
    if row and column:
        return (int(levels[block - 1, 0]) + int(levels[block - columns, 0])) >> 1
    if row + column == 0:
        return 0
    return int(levels[block - 1, 0] if column else levels[block - columns, 0])


@njit(cache=True)
def count_blocks(grid: Ends) -> int:
    """Return the number of blocks of all planes of a grid."""
    total = 0
    for plane in range(len(grid)):
        total += grid[plane, 0] * grid[plane, 1]
    return total


@njit(cache=True)
def grown(array: Any, used: int, size: int) -> Any:
    """Return `array` if it has at least `size` items, else a larger array with its first `used` items."""
    if size <= len(array):
        return array
    larger = np.empty(max(size, 2 * len(array)), array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(cache=True, _nrt=False)
def mask(levels: Levels, masks: Bits) -> int:
    """Fill `masks` with `nonzero` of each block; return the number of non-zero levels."""
    total = np.uint64(0)
    for block in range(len(levels)):
        masks[block] = nonzero(levels[block])
        total += ones(masks[block])
    return int(total)


@njit(cache=True, _nrt=False)
def room(blocks: int, nonzero: int) -> tuple[int, int]:
    """Return how many symbols and patches an image has at most."""
    symbols = 15 + 8 * blocks + 3 * nonzero
    return symbols, symbols // (MAX_PATCH - MAX_BLOCK) + 1


@njit(cache=True, _nrt=False)
def write(
    shape: Ends,
    levels: Levels,
    masks: Bits,
    colour: Bases,
    grid: Ends,
    symbols: Symbols,
    at: int,
    ends: Ends,
    patches: int,
    highest: int,
) -> tuple[int, int]:
    """Write the symbols of an image from `at` on, and the ends of its patches; return the next free index of both."""
    start, block = at, 0
    for number in (shape[2] if shape[2] > 1 else 0, shape[0], shape[1]):
        at = _write_number(number, symbols, at)
    for plane in range(len(grid)):
        columns = grid[plane, 1]
        for row in range(grid[plane, 0]):
            for column in range(columns):
                begin = at
                if row + column == 0 and highest:
                    at = _write_number(colour[plane], symbols, at)
                elif row + column == 0:
                    symbols[at] = colour[plane]
                    at += 1
                else:
                    difference = int(levels[block, 0]) - _expected(levels, block, columns, row, column)
                    at = _write_signed(difference, MEAN, FAR_MEAN, symbols, at)
                at = _write_block(levels[block], masks[block], symbols, at)
                if at - start > MAX_PATCH:
                    ends[patches] = start = begin
                    patches += 1
                block += 1
    ends[patches] = at
    return at, patches + 1


@njit(cache=True, _nrt=False)
def _write_block(levels: Levels, bits: np.uint64, symbols: Symbols, at: int) -> int:
    """Write the levels at the zigzag positions set in `bits`; return where they end."""
    last = np.int64(0)
    while bits:
        position = np.int64(lowest(bits))
        bits &= bits - np.uint64(1)
        run, value = position - last - 1, int(levels[np.uint64(position)])
        last = position
        while run > 15:
            symbols[np.uint64(at)] = ZEROS
            run -= 16
            at += 1
        # Levels are -4..-1 or 1..4. Of the places 0..8 of a signed value, 4 (zero) is unused, so 5..8 move down by one.
        base = LEVEL + 8 * run - (value > 0)
        if abs(value) < FAR_LEVEL:
            symbols[np.uint64(at)] = base + value + FAR_LEVEL
            at += 1
        else:
            at = _write_signed(value, base, FAR_LEVEL, symbols, at)
    return at


@njit(cache=True, _nrt=False)
def parse(
    symbols: Ends, at: int, grid: Ends, levels: Levels, colour: Bases, good: NDArray[np.bool_], highest: int
) -> None:
    """Fill `levels` and `colour`, set `good` where an image ends, and stop at the first symbol that cannot follow."""
    block = 0
    for plane in range(len(grid)):
        columns = grid[plane, 1]
        for index in range(grid[plane, 0] * columns):
            if at >= len(symbols):
                return
            symbol = int(symbols[at])
            at += 1
            if index == 0 and highest:
                base, at = _read_number(symbols, at - 1)
                if at < 0 or base > highest:
                    return
                colour[plane] = base
            elif index == 0:
                if symbol > 255:
                    return
                colour[plane] = symbol
            else:
                if not MEAN <= symbol < LEVEL:
                    return
                difference, at = _read_signed(symbols, at, symbol - MEAN, FAR_MEAN)
                mean = _expected(levels, block, columns, index // columns, index % columns) + difference
                if at < 0 or abs(mean) > LARGEST:
                    return
                levels[block, 0] = mean
            at = _parse_block(symbols, at, levels[block], good, block == len(levels) - 1)
            if at < 0:
                return
            block += 1


@njit(cache=True, _nrt=False)
def _parse_block(symbols: Ends, at: int, levels: Levels, good: NDArray[np.bool_], last: bool) -> int:
    """Fill `levels[1:]` and return where the block ends, -1 if invalid; mark possible ends of the `last` block."""
    position = 1
    zeros = False
    good[at] = last
    while at < len(symbols) and symbols[at] >= LEVEL:
        zeros = symbols[at] == ZEROS
        if zeros:
            position += 16
            at += 1
            continue
        place = int(symbols[at]) - LEVEL
        position += place // 8
        place = place % 8
        value, at = _read_signed(symbols, at + 1, place + (place >= FAR_LEVEL), FAR_LEVEL)
        if at < 0 or position >= len(levels) or abs(value) > LARGEST:
            return -1
        levels[position] = value
        position += 1
        good[at] = last
    return -1 if zeros else at

"""A picture <-> symbols: those of `image/dct` with `places`, behind a header of its own.

Numbers, means, places and levels are spelled as in `ult.codecs.dct.placed`. Means are from the middle of the range, so
no plane has a base, and its first block is like the others. The patches are the header, the table of each plane, and
those of each block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Bits, Levels
from ult.codecs.dct.layout import MEAN, MOST_DIGITS, Layout, make_layout, place_of
from ult.codecs.dct.placed import placed_room, read_levels, read_mean, read_number, write_levels, write_mean
from ult.codecs.jpeg.picture import SAMPLINGS, Picture, grid_of
from ult.codecs.jpeg.scan import LARGEST, LOWEST_MEAN, count
from ult.codecs.jpeg.written import distinct
from ult.codecs.patches import Ends, Patches, Symbols
from ult.errors import CorruptSymbols
from ult.host.kernel import njit

REACH = 512  # means that take no escape, which steps of 2 and more always are
SIDE = 2**16 - 1
STEPS = 128  # symbols: two digits of each step
HEADER = 3 + 2 * MOST_DIGITS + 3 * (1 + STEPS)  # symbols at most
FEWEST = 3  # symbols of a block


def layout_of(places: int) -> Layout:
    """Return what each symbol means."""
    return make_layout(places, 8, REACH)


def spelled(picture: Picture, layout: Layout) -> Patches:
    """Return the patches of a picture."""
    grid = grid_of(picture.height, picture.width, picture.across, picture.down, len(picture.steps))
    room, patches = placed_room(len(picture.levels), count(picture.masks))
    symbols, ends = np.empty(room + HEADER, np.uint32), np.empty(patches + 4, np.int64)
    head = [len(grid), *_digits(picture.height), *_digits(picture.width), picture.across, picture.down]
    heads, known = [len(head)], 0
    for table, steps in zip(distinct(picture), picture.steps, strict=True):
        head.append(table)
        if table == known:
            head += _spelled_steps(steps.tobytes())
            known += 1
        heads.append(len(head))
    symbols[: len(head)], ends[: len(heads) - 1] = head, heads[:-1]  # the first block ends the last of them
    at, patches = _write(picture.levels, picture.masks, grid, layout, symbols, len(head), ends, len(heads) - 1)
    return Patches.one(symbols[:at].copy(), ends[:patches].copy())


@lru_cache(maxsize=64)
def _spelled_steps(steps: bytes) -> list[int]:
    return [digit for step in np.frombuffer(steps, np.int64).tolist() for digit in (step >> 4, step & 15)]


def _digits(number: int) -> list[int]:
    return [number] if number < 8 else [number & 7 | 8, *_digits(number >> 3)]


@njit(cache=True, _nrt=False)
def _write(
    levels: Levels, masks: Bits, grid: Ends, layout: Layout, symbols: Symbols, at: int, ends: Ends, patches: int
) -> tuple[int, int]:
    block = 0
    for plane in range(len(grid)):
        rows, columns = grid[plane]
        for row in range(rows):
            for column in range(columns):
                ends[patches] = at
                patches += 1
                place = place_of(plane, row, column, rows, columns, layout.places)
                at = write_mean(int(levels[block, 0]), place, layout, symbols, at)
                at, patches = write_levels(levels[block], masks[block], place, layout, symbols, at, ends, patches)
                block += 1
    ends[patches] = at
    return at, patches + 1


def read(symbols: Symbols, layout: Layout, max_length: int) -> tuple[Picture, NDArray[np.bool_]]:
    """Return the picture that symbols spell, and (n + 1,) bool: whether `symbols[:k]` are one.

    Raises `CorruptSymbols` if they do not begin with a header and enough symbols for the blocks that it announces.
    """
    start = symbols[:HEADER].astype(np.int64)
    (planes, height, width, across, down), at = _numbers(start)
    sampling = (across, down)
    if planes not in (1, 3) or not 0 < height <= SIDE or not 0 < width <= SIDE:
        raise CorruptSymbols(f"header says {height} x {width} x {planes}; expected 1 or 3 planes of at most {SIDE}")
    if sampling not in SAMPLINGS or (planes == 1 and sampling != (1, 1)) or height * width * planes > max_length:
        raise CorruptSymbols(
            f"header says {height} x {width} x {planes}, {across} x {down} blocks to one; expected at most "
            f"{max_length} samples, and blocks as a JPEG may have them"
        )
    steps, at = _steps(start, at, planes)
    grid = grid_of(height, width, across, down, planes)
    blocks = int(grid.prod(1).sum())
    if len(symbols) - at < FEWEST * blocks:  # checked before anything of that size is allocated
        raise CorruptSymbols(f"{len(symbols) - at} symbols after the header; expected at least {FEWEST * blocks}")
    levels, masks = np.zeros((blocks, 64), np.int16), np.zeros(blocks, np.uint64)
    good = np.zeros(len(symbols) + 1, np.bool_)
    _parse(symbols.astype(np.int64), at, grid, layout, levels, masks, good)
    return Picture(height, width, across, down, steps, levels, masks), good


def _numbers(start: Ends) -> tuple[list[int], int]:
    height, middle = read_number(start, 1)
    width, at = read_number(start, middle) if middle > 0 else (0, -1)
    if at < 0 or at + 2 > len(start):
        raise CorruptSymbols(f"{len(start)} symbols do not begin with planes, height, width and subsampling")
    return [int(start[0]), int(height), int(width), int(start[at]), int(start[at + 1])], at + 2


def _steps(start: Ends, at: int, planes: int) -> tuple[NDArray[np.int64], int]:
    """Return the steps (planes, 64) and where they end."""
    known: list[NDArray[np.int64]] = []
    found = []
    for plane in range(planes):
        table = int(start[at]) if at < len(start) else MEAN
        at += 1
        if table == len(known):
            digits = start[at : at + STEPS]
            at += STEPS
            if len(digits) < STEPS or digits.max() >= MEAN or not (steps := 16 * digits[::2] + digits[1::2]).all():
                raise CorruptSymbols(f"plane {plane} has no 64 quantisation steps of 1 to 255")
            known.append(steps)
        elif table > len(known):
            raise CorruptSymbols(f"plane {plane} has no quantisation steps, and names none before it")
        found.append(known[table])
    return np.stack(found), at


@njit(cache=True, _nrt=False)
def _parse(
    symbols: Ends, at: int, grid: Ends, layout: Layout, levels: Levels, masks: Bits, good: NDArray[np.bool_]
) -> None:
    """Fill `levels` and `masks`, set `good` where a picture ends, and stop at the first symbol that cannot follow."""
    block = 0
    for plane in range(len(grid)):
        rows, columns = grid[plane]
        for index in range(rows * columns):
            place = place_of(plane, index // columns, index % columns, rows, columns, layout.places)
            mean, at = read_mean(symbols, at, place, layout)
            if at < 0 or mean < LOWEST_MEAN or mean > LARGEST:
                return
            levels[block, 0] = mean
            at = read_levels(symbols, at, place, layout, LARGEST, levels[block], good, block == len(levels) - 1)
            if at < 0:
                return
            for position in range(1, 64):
                if levels[block, position]:
                    masks[block] |= np.uint64(1) << np.uint64(position)
            block += 1

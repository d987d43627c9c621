"""The data of a scan <-> levels: Huffman codes, in the order of a scan's units of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.blocks import Bits, Levels
from ult.codecs.dct.simd import lowest, ones
from ult.codecs.jpeg.huffman import DELTA, HIGHEST, LEVELS, LOOK, VALUES, Table
from ult.codecs.patches import Ends
from ult.host.kernel import njit

Bytes = NDArray[np.uint8]
MOST_BLOCK = 256  # bytes that a block cannot fill: so many may be read behind the last
LOWEST_MEAN, LARGEST = -1024, 1023  # of levels, as 8 bits have them
OKAY, SHORT, NO_CODE, BEYOND, LEFT, RESTART = range(6)
WRONG = 1 << 20
WHY = (
    "",
    "a scan that ends before its last block",
    "bits that are no Huffman code of its tables",
    f"a level outside {LOWEST_MEAN} to {LARGEST}",
    "data behind the last block of a scan",
    "restart markers that are out of order, or not as many as it says",
)


@njit(cache=True, _nrt=False)
def unstuffed(data: Bytes, clean: Bytes, stops: Ends) -> int:
    """Copy the data of a scan without its stuffing; fill `stops` with where each run ends that a restart marker ends.

    Returns OKAY, or RESTART if there are not as many, or one is not the next.
    """
    at = to = runs = np.int64(0)
    while at < len(data):
        byte = data[at]
        if byte != 0xFF:
            clean[to] = byte
            to += 1
        else:
            at += 1
            after = data[at] if at < len(data) else np.uint8(0)
            if after == 0:
                clean[to] = 0xFF
                to += 1
            elif after == 0xFF:  # a fill byte
                continue
            else:
                if after != 0xD0 + (runs & 7) or runs + 1 >= len(stops):
                    return RESTART
                stops[runs] = to
                runs += 1
        at += 1
    stops[runs] = to
    clean[to:] = 0
    return OKAY if runs + 1 == len(stops) else RESTART


@njit(cache=True, _nrt=False)
def count(masks: Bits) -> int:
    """Return how many levels are not 0, but for means."""
    total = np.uint64(0)
    for block in range(len(masks)):
        total += ones(masks[block])
    return int(total)


@njit(cache=True, _nrt=False)
def read_scan(
    clean: Bytes,
    stops: Ends,
    interval: int,
    parts: NDArray[np.int64],
    grid: Ends,
    tables: Table,
    levels: Levels,
    masks: Bits,
    before: Ends,
) -> int:
    """Fill the levels and masks of the planes of a scan; return OKAY or what is wrong.

    `parts` (n, 6) are, of each plane: its number, its first block, blocks across and down in a unit, and the rows of
    `tables` by which its means and its other levels are read. The last of `levels` takes blocks that only fill a unit,
    and `before` (n,), zeros, the means.
    """
    alone = len(parts) == 1
    rows = -(-grid[parts[0, 0], 0] // (1 if alone else parts[0, 3]))
    columns = -(-grid[parts[0, 0], 1] // (1 if alone else parts[0, 2]))
    at = bits = held = run = np.int64(0)
    for unit in range(rows * columns):
        if interval and unit and unit % interval == 0:
            if 8 * stops[run] - (8 * at - held) >= 8:
                return LEFT
            at, bits, held, run = stops[run], np.int64(0), np.int64(0), run + 1
            before[:] = 0
        for k in range(len(parts)):
            plane, first = parts[k, 0], parts[k, 1]
            across, down = (1, 1) if alone else (parts[k, 2], parts[k, 3])
            for inner in range(across * down):
                row, column = unit // columns * down + inner // across, unit % columns * across + inner % across
                inside = row < grid[plane, 0] and column < grid[plane, 1]
                block = first + row * grid[plane, 1] + column if inside else len(levels) - 1
                mean, found, bits, held, at = _read_block(
                    clean, bits, held, at, tables[parts[k, 4]], tables[parts[k, 5]], levels[block]
                )
                if 8 * at - held > 8 * stops[run]:
                    return SHORT
                if mean > WRONG:
                    return int(mean - WRONG)
                before[k] += mean
                if before[k] < LOWEST_MEAN or before[k] > LARGEST:
                    return BEYOND
                levels[block, 0], masks[block] = before[k], found
    return LEFT if 8 * stops[run] - (8 * at - held) >= 8 else OKAY


@njit(cache=True, _nrt=False)
def _read_block(
    clean: Bytes, bits: Any, held: Any, at: Any, means: Table, others: Table, levels: NDArray[np.int16]
) -> tuple[Any, np.uint64, Any, Any, Any]:
    """Fill `levels[1:]`; return the difference of the mean, which levels are not 0, and where the reading stands.

    If something is wrong, the difference is WRONG and what it is. The last `held` of `bits` were not read, nor what is
    from `at` on.
    """
    found = np.uint64(0)
    bits, held, at = _filled(clean, bits, held, at)
    size, held = _symbol(bits, held, means)
    if size < 0 or size > 11:
        return WRONG + (NO_CODE if size < 0 else BEYOND), found, bits, held, at
    mean, held = _value(bits, held, size)
    position = np.int64(1)
    while position < 64:
        if held < 27:  # of the longest code and the longest level
            bits, held, at = _filled(clean, bits, held, at)
        quick = np.int64(others[LEVELS + (bits >> held - LOOK & (1 << LOOK) - 1)])
        if quick:
            position += quick >> 8 & 15
            if position > 63:
                return WRONG + NO_CODE, found, bits, held, at
            levels[position] = quick >> 16
            held -= quick & 255
            found |= np.uint64(1) << np.uint64(position)
            position += 1
            continue
        symbol, held = _symbol(bits, held, others)
        if symbol == 0:
            break
        size = symbol & 15
        position += symbol >> 4 if symbol > 0 else 64
        if position > 63 or size > 10 or (size == 0 and symbol != 0xF0):
            return WRONG + (BEYOND if symbol > 0 and size > 10 else NO_CODE), found, bits, held, at
        if size:
            level, held = _value(bits, held, size)
            levels[position] = level
            found |= np.uint64(1) << np.uint64(position)
        position += 1
    return mean, found, bits, held, at


@njit(cache=True, _nrt=False)
def _filled(clean: Bytes, bits: Any, held: Any, at: Any) -> tuple[Any, Any, Any]:
    """Take four bytes more, unless there is no room for them."""
    if held > 31:
        return bits, held, at
    one, two, three, four = clean[at], clean[at + 1], clean[at + 2], clean[at + 3]
    more = np.int64(one) << 24 | np.int64(two) << 16 | np.int64(three) << 8 | np.int64(four)
    return bits << 32 | more, held + 32, at + 4


@njit(cache=True, _nrt=False)
def _symbol(bits: Any, held: Any, table: Table) -> tuple[Any, Any]:
    """Return the symbol whose code comes next, -1 if none does, and how many bits are left."""
    entry = np.int64(table[bits >> held - LOOK & (1 << LOOK) - 1])
    if entry:
        return entry >> 8, held - (entry & 255)
    for length in range(LOOK + 1, 17):
        code = bits >> held - length & (1 << length) - 1
        if code <= table[HIGHEST + length]:
            return np.int64(table[VALUES + code + table[DELTA + length]]), held - length
    return np.int64(-1), held


@njit(cache=True, _nrt=False)
def _value(bits: Any, held: Any, size: Any) -> tuple[Any, Any]:
    """Return the number of `size` bits that comes next, of which the lower half are negative, and the bits left."""
    held -= size
    value = bits >> held & (1 << size) - 1
    return value - (0 if 2 * value >= 1 << size else (1 << size) - 1), held


@njit(cache=True)
def write_scan(
    levels: Levels, masks: Bits, grid: Ends, across: int, down: int, codes: NDArray[np.int64], out: Bytes
) -> int:
    """Write the data of one scan of all planes by the standard's tables; return how many bytes they are."""
    rows, columns = -(-grid[0, 0] // down), -(-grid[0, 1] // across)
    before, first = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for plane in range(1, len(grid)):
        first[plane] = first[plane - 1] + grid[plane - 1, 0] * grid[plane - 1, 1]
    bits = held = at = np.int64(0)
    for unit in range(rows * columns):
        for plane in range(len(grid)):
            wide, high = (1, 1) if plane else (across, down)
            table = 2 * min(plane, 1)
            for inner in range(wide * high):
                row, column = unit // columns * high + inner // wide, unit % columns * wide + inner % wide
                if row < grid[plane, 0] and column < grid[plane, 1]:
                    block = first[plane] + row * grid[plane, 1] + column
                    mean = np.int64(levels[block, 0])
                    bits, held, at = _put(mean - before[plane], 0, codes[table], bits, held, at, out)
                    before[plane] = mean
                    bits, held, at = _put_levels(levels[block], masks[block], codes[table + 1], bits, held, at, out)
                else:  # as libjpeg fills a unit: the mean before it, and no other level
                    bits, held, at = _put(np.int64(0), 0, codes[table], bits, held, at, out)
                    bits, held, at = _put(np.int64(0), 0, codes[table + 1], bits, held, at, out)
    if held:
        bits, held, at = _emitted(bits << 8 - held | (1 << 8 - held) - 1, np.int64(8), at, out)
    return int(at)


@njit(cache=True, _nrt=False)
def _put_levels(
    levels: NDArray[np.int16], mask: np.uint64, codes: NDArray[np.int64], bits: Any, held: Any, at: Any, out: Bytes
) -> tuple[Any, Any, Any]:
    last = np.int64(0)
    while mask:
        position = np.int64(lowest(mask))
        mask &= mask - np.uint64(1)
        run = position - last - 1
        while run > 15:
            code = codes[0xF0]
            bits, held, at = _emitted(bits << (code & 31) | code >> 5, held + (code & 31), at, out)
            run -= 16
        bits, held, at = _put(np.int64(levels[position]), run << 4, codes, bits, held, at, out)
        last = position
    if last < 63:
        bits, held, at = _put(np.int64(0), 0, codes, bits, held, at, out)
    return bits, held, at


@njit(cache=True, _nrt=False)
def _put(
    value: Any, run: Any, codes: NDArray[np.int64], bits: Any, held: Any, at: Any, out: Bytes
) -> tuple[Any, Any, Any]:
    """Write the code of a run and of the size of a value, then the value."""
    size, rest = np.int64(0), abs(value)
    while rest:
        size, rest = size + 1, rest >> 1
    code = codes[run | size]
    bits, held = bits << (code & 31) | code >> 5, held + (code & 31)
    bits, held = bits << size | (value if value >= 0 else value + (1 << size) - 1), held + size
    return _emitted(bits, held, at, out)  # type: ignore[no-any-return]


@njit(cache=True, _nrt=False)
def _emitted(bits: Any, held: Any, at: Any, out: Bytes) -> tuple[Any, Any, Any]:
    """Write whole bytes, each FF with a 0 behind it; return the bits that are left."""
    while held >= 8:
        held -= 8
        byte = bits >> held & 255
        out[at] = byte
        at += 1
        if byte == 255:
            out[at] = 0
            at += 1
    return bits & (1 << held) - 1, held, at

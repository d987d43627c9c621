"""The grammar of `image/dct`: reads header, blocks and numbers one symbol at a time.

It accepts the prefixes of what `ult.codecs.image` parses as a whole. A state is `_FIELDS` integers, and the mean of the
last block in each column of blocks of the plane, from which the next mean is predicted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols
from ult.host.kernel import njit

MEAN = 256  # symbols below are bytes; from here on they are differences of means
FAR_MEAN = 32  # differences of this magnitude are escapes: a number follows
LEVEL = MEAN + 2 * FAR_MEAN + 1  # from here on they are (run, level): 8 * run + place of the level
FAR_LEVEL = 4  # levels of this magnitude are escapes: a number follows
ZEROS = LEVEL + 16 * 2 * FAR_LEVEL  # sixteen zeros
MAX_PATCH = 512  # symbols
LARGEST = 2**15 - 1

# Fields of a state. If READING is not NO, a number is being read: it has DIGITS so far and must not exceed LIMIT.
USED, READING, VALUE, DIGITS, LIMIT, CHANNELS, HEIGHT, WIDTH = range(8)
PLANE, INDEX, LEFT, POSITION, PENDING, EXPECTED, SIGN = range(8, 15)  # LEFT: blocks that have not begun
_FIELDS = 15
NO, IN_CHANNELS, IN_HEIGHT, IN_WIDTH, IN_MEAN, IN_LEVEL, IN_BASE = range(
    7
)  # values of READING: what the number is part of
Row = NDArray[np.int64]


class Limits(NamedTuple):
    """A codec's limits: levels per block, the side of chroma blocks in pixels, the most samples and symbols.

    `highest` is the largest base of a plane if bases are numbers; it is 0 if they are bytes.
    """

    levels: int
    chroma_side: int
    max_length: int
    max_symbols: int
    highest: int


class Drawing(NamedTuple):
    """The state of an image that is being written; neither array is ever changed."""

    now: Row  # (_FIELDS,) int64
    means: Row  # int64, at least one for each column of blocks that the next phrase can reach


class ImageGrammar(Grammar[Drawing]):
    """The images that `ImageDct.decode` accepts."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def start(self) -> Drawing:
        """Return the state before the number of channels."""
        now = np.zeros(_FIELDS, np.int64)
        now[READING], now[LIMIT], now[INDEX] = IN_CHANNELS, min(4, self.limits.max_length), -1
        return Drawing(now, np.zeros(MAX_PATCH, np.int64))

    def advance(self, state: Drawing, symbols: Symbols) -> Drawing | None:
        """Return the state after `symbols`, or None if they are refused."""
        now, means = state.now.copy(), np.zeros(int(state.now[USED]) + len(symbols) + MAX_PATCH, np.int64)
        means[: len(state.means)] = state.means[: len(means)]
        if not _walk(now, means, np.asarray(symbols, np.int64), self.limits):
            return None
        columns = -(-int(now[WIDTH]) // 8) if now[READING] not in (IN_CHANNELS, IN_HEIGHT, IN_WIDTH) else len(means)
        return Drawing(now, means[:columns])

    def least(self, state: Drawing) -> int:
        """Return the fewest symbols that complete the image."""
        return int(_least(state.now, self.limits))

    def after(self, state: Drawing, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        return _after(state.now, state.means, symbols.astype(np.int64), ends, self.limits)  # type: ignore[no-any-return]


@njit(cache=True)
def _after(now: Row, means: Row, symbols: Row, ends: Ends, limits: Limits) -> NDArray[np.int64]:
    found = np.full(len(ends), REFUSED)
    work, row = now.copy(), means.copy()
    start = 0
    for run in range(len(ends)):
        if _walk(work, row, symbols[start : ends[run]], limits):
            found[run] = _least(work, limits)
        if work[PLANE] != now[PLANE] or work[INDEX] != now[INDEX]:  # otherwise no mean that is read again has changed
            row[:] = means
        work[:] = now
        start = ends[run]
    return found


@njit(cache=True)
def _walk(now: Row, means: Row, symbols: Row, limits: Limits) -> bool:
    """Advance a state by `symbols` in place; return whether an image can continue with them."""
    for symbol in symbols:
        if not _step(now, means, symbol, limits):
            return False
        now[USED] += 1
    return now[USED] + _least(now, limits) <= limits.max_symbols  # type: ignore[no-any-return]


@njit(cache=True)
def _step(now: Row, means: Row, symbol: int, limits: Limits) -> bool:
    if now[READING] != NO:
        good = _digit(now, means, symbol, limits)
    elif symbol >= LEVEL:
        good = _level(now, symbol, limits)
    else:
        good = now[LEFT] > 0 and not now[PENDING] and _block(now, means, symbol, limits)
    return bool(good)


@njit(cache=True)
def _digit(now: Row, means: Row, symbol: int, limits: Limits) -> bool:
    """Read a digit of a number; after its last digit, use the number for what it is part of."""
    if symbol > 255:
        return False
    kind, more = now[READING], symbol > 127
    now[VALUE] |= (symbol & 127) << 7 * now[DIGITS]
    now[DIGITS] += 1
    value = _smallest(now)
    if value > now[LIMIT] or (more and now[DIGITS] == 5) or (not more and value != now[VALUE]):
        return False
    if kind == IN_CHANNELS and value not in (0, 3, 4):
        return False
    if not more:
        now[READING] = NO
        if kind == IN_MEAN:
            means[now[INDEX] % _columns(now, limits)] = now[EXPECTED] + now[SIGN] * (FAR_MEAN + value)
        elif kind in (IN_CHANNELS, IN_HEIGHT, IN_WIDTH):
            _header(now, kind, value, limits)
    return True


@njit(cache=True)
def _smallest(now: Row) -> int:
    """Return the smallest value that the number being read can still become; heights and widths are at least 1."""
    if now[VALUE] == 0 and now[READING] in (IN_HEIGHT, IN_WIDTH):
        return 1 << 7 * now[DIGITS] if now[DIGITS] else 1
    return now[VALUE]  # type: ignore[no-any-return]


@njit(cache=True)
def _header(now: Row, kind: int, value: int, limits: Limits) -> None:
    """Store a number of the header and set up what comes next."""
    now[CHANNELS + kind - IN_CHANNELS] = value
    if kind == IN_WIDTH:
        now[LEFT] = _blocks(now[CHANNELS], now[HEIGHT], value, limits)
        return
    samples = max(now[CHANNELS], 1) * (value if kind == IN_HEIGHT else 1)
    now[READING], now[VALUE], now[DIGITS], now[LIMIT] = kind + 1, 0, 0, limits.max_length // samples


@njit(cache=True)
def _block(now: Row, means: Row, symbol: int, limits: Limits) -> bool:
    """Begin a block: with its mean, or with the base, a byte or a number, if it is the first of a plane."""
    columns = _columns(now, limits)
    now[INDEX] += 1
    if now[INDEX] == columns * -(-now[HEIGHT] // _side(now[PLANE], limits)):
        now[PLANE], now[INDEX] = now[PLANE] + 1, 0
        columns = _columns(now, limits)
    now[LEFT], now[POSITION] = now[LEFT] - 1, 1
    row, column = now[INDEX] // columns, now[INDEX] % columns
    if now[INDEX] == 0:
        means[0] = 0
        if not limits.highest:
            return symbol < MEAN
        now[READING], now[VALUE], now[DIGITS], now[LIMIT] = IN_BASE, 0, 0, limits.highest
        return _digit(now, means, symbol, limits)  # type: ignore[no-any-return]
    if symbol < MEAN:
        return False
    upper, left = means[column], means[max(column - 1, 0)]
    expected = (left + upper) >> 1 if row and column else left if column else upper
    difference = symbol - MEAN - FAR_MEAN
    if abs(difference) < FAR_MEAN:
        means[column] = expected + difference
        return abs(means[column]) <= LARGEST  # type: ignore[no-any-return]
    now[EXPECTED], now[SIGN] = expected, 1 if difference > 0 else -1
    now[READING], now[VALUE], now[DIGITS] = IN_MEAN, 0, 0
    now[LIMIT] = LARGEST - FAR_MEAN - now[SIGN] * expected
    return now[LIMIT] >= 0  # type: ignore[no-any-return]


@njit(cache=True)
def _level(now: Row, symbol: int, limits: Limits) -> bool:
    """Read a run of zeros and a level, or sixteen zeros that a level must follow."""
    place = symbol - LEVEL
    now[PENDING] = symbol == ZEROS
    now[POSITION] += 16 if now[PENDING] else place // 8
    if now[INDEX] < 0 or now[POSITION] >= limits.levels:
        return False
    if not now[PENDING]:
        now[POSITION] += 1
        if place % 8 in (0, 7):
            now[READING], now[VALUE], now[DIGITS], now[LIMIT] = IN_LEVEL, 0, 0, LARGEST - FAR_LEVEL
    return True


@njit(cache=True)
def _least(now: Row, limits: Limits) -> int:
    """Return the fewest symbols still needed: digits of a number, a level after zeros, and one symbol per block."""
    reading = now[READING]
    if reading not in (IN_CHANNELS, IN_HEIGHT, IN_WIDTH):
        return now[LEFT] + now[PENDING] + (reading != NO)  # type: ignore[no-any-return]
    value = _smallest(now)
    channels = value if reading == IN_CHANNELS else now[CHANNELS]
    height = 1 if reading == IN_CHANNELS else value if reading == IN_HEIGHT else now[HEIGHT]
    width = value if reading == IN_WIDTH else 1
    return 1 + IN_WIDTH - reading + _blocks(channels, height, width, limits)  # type: ignore[no-any-return]


@njit(cache=True)
def _side(plane: int, limits: Limits) -> int:
    return limits.chroma_side if plane in (1, 2) else 8


@njit(cache=True)
def _columns(now: Row, limits: Limits) -> int:
    """Return how many blocks a row of the plane has."""
    return -(-now[WIDTH] // _side(now[PLANE], limits))  # type: ignore[no-any-return]


@njit(cache=True)
def _blocks(channels: int, height: int, width: int, limits: Limits) -> int:
    """Return the number of blocks of all planes of an image."""
    blocks = 0
    for plane in range(max(channels, 1)):
        side = _side(plane, limits)
        blocks += -(-height // side) * -(-width // side)
    return blocks

"""The grammar of `image/dct` with `places`: reads header, blocks and numbers one symbol at a time.

It accepts the prefixes of what `ult.codecs.dct.placed` parses as a whole. A state is `_FIELDS` integers: means are
absolute, so nothing of earlier blocks is needed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.layout import FAR_MEAN, LARGEST, MEAN, MOST_DIGITS, PLACE, Layout, place_of
from ult.codecs.dct.placed import most_coarse
from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols
from ult.host.kernel import njit

# Fields of a state. If READING is not NO, a number is being read: it has DIGITS so far and must not exceed LIMIT.
# LEFT: the fewest symbols of the blocks that have not begun. WAIT: what must follow, and REST: of that, what was read.
USED, READING, VALUE, DIGITS, LIMIT, CHANNELS, HEIGHT, WIDTH, PLANE, INDEX, LEFT, POSITION, WAIT, REST = range(14)
_FIELDS = 14
NO, IN_CHANNELS, IN_HEIGHT, IN_WIDTH, IN_MEAN, IN_LEVEL, IN_BASE = range(7)  # values of READING
NOTHING, FOR_PLACE, FOR_LEVEL, FOR_REST = 0, 1, 2, 3  # values of WAIT; from FOR_REST on, so many digits are missing too
Row = NDArray[np.int64]


class PlacedLimits(NamedTuple):
    """A codec's limits: the side of chroma blocks in pixels, the most samples and symbols, the largest base."""

    chroma_side: int
    max_length: int
    max_symbols: int
    highest: int


class PlacedGrammar(Grammar[Row]):
    """The images that `ImageDct.decode` accepts with `places`."""

    def __init__(self, layout: Layout, limits: PlacedLimits) -> None:
        self.layout, self.limits = layout, limits

    def start(self) -> Row:
        """Return the state before the number of channels."""
        now = np.zeros(_FIELDS, np.int64)
        now[READING], now[LIMIT], now[INDEX] = IN_CHANNELS, min(4, self.limits.max_length), -1
        return now

    def advance(self, state: Row, symbols: Symbols) -> Row | None:
        """Return the state after `symbols`, or None if they are refused."""
        now = state.copy()
        return now if _walk(now, np.asarray(symbols, np.int64), self.layout, self.limits) else None

    def least(self, state: Row) -> int:
        """Return the fewest symbols that complete the image."""
        return int(_least(state, self.layout, self.limits))

    def after(self, state: Row, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        return _after(state, symbols.astype(np.int64), ends, self.layout, self.limits)  # type: ignore[no-any-return]


@njit(cache=True)
def _after(now: Row, symbols: Row, ends: Ends, layout: Layout, limits: PlacedLimits) -> NDArray[np.int64]:
    found = np.full(len(ends), REFUSED)
    work = now.copy()
    start = 0
    for run in range(len(ends)):
        if _walk(work, symbols[start : ends[run]], layout, limits):
            found[run] = _least(work, layout, limits)
        work[:] = now
        start = ends[run]
    return found


@njit(cache=True)
def _walk(now: Row, symbols: Row, layout: Layout, limits: PlacedLimits) -> bool:
    """Advance a state by `symbols` in place; return whether an image can continue with them."""
    for symbol in symbols:
        if not _step(now, symbol, layout, limits):
            return False
        now[USED] += 1
    return now[USED] + _least(now, layout, limits) <= limits.max_symbols  # type: ignore[no-any-return]


@njit(cache=True)
def _step(now: Row, symbol: int, layout: Layout, limits: PlacedLimits) -> bool:
    if now[READING] != NO:
        good = _digit(now, symbol, layout, limits)
    elif now[WAIT] == FOR_PLACE:
        good = symbol == _place(now, layout, limits)
        now[WAIT] = FOR_REST + layout.digits if now[INDEX] and layout.digits else NOTHING
    elif now[WAIT] > FOR_REST:
        good = _remainder(now, symbol, layout)
    elif symbol >= layout.levels:
        good = now[INDEX] >= 0 and _level(now, symbol, layout)
    elif now[WAIT] == FOR_LEVEL:
        good = False
    elif symbol >= PLACE:
        good = now[INDEX] >= 0 and symbol == _place(now, layout, limits) and _band(now, layout) < layout.band[-1]
        now[WAIT] = FOR_LEVEL
    else:
        good = now[LEFT] > 0 and _block(now, symbol, layout, limits)
    return bool(good)


@njit(cache=True)
def _digit(now: Row, symbol: int, layout: Layout, limits: PlacedLimits) -> bool:
    """Read a digit of a number; after its last digit, use the number for what it is part of."""
    if symbol >= MEAN:
        return False
    kind, more = now[READING], symbol > 7
    now[VALUE] |= (symbol & 7) << 3 * now[DIGITS]
    now[DIGITS] += 1
    value = _smallest(now)
    if value > now[LIMIT] or (more and now[DIGITS] == MOST_DIGITS) or (not more and value != now[VALUE]):
        return False
    if kind == IN_CHANNELS and value not in (0, 3, 4):
        return False
    if not more:
        now[READING] = NO
        if kind in (IN_MEAN, IN_BASE):
            now[WAIT] = FOR_PLACE
        elif kind != IN_LEVEL:
            _header(now, kind, value, layout, limits)
    return True


@njit(cache=True)
def _smallest(now: Row) -> int:
    """Return the smallest value that the number being read can still become; heights and widths are at least 1."""
    if now[VALUE] == 0 and now[READING] in (IN_HEIGHT, IN_WIDTH):
        return 1 << 3 * now[DIGITS] if now[DIGITS] else 1
    return now[VALUE]  # type: ignore[no-any-return]


@njit(cache=True)
def _header(now: Row, kind: int, value: int, layout: Layout, limits: PlacedLimits) -> None:
    """Store a number of the header and set up what comes next."""
    now[CHANNELS + kind - IN_CHANNELS] = value
    if kind == IN_WIDTH:
        now[LEFT] = _symbols(now[CHANNELS], now[HEIGHT], value, layout, limits)
        return
    samples = max(now[CHANNELS], 1) * (value if kind == IN_HEIGHT else 1)
    _begin(now, kind + 1, limits.max_length // samples)


@njit(cache=True)
def _begin(now: Row, kind: int, limit: int) -> None:
    """Expect a number of at most `limit`."""
    now[READING], now[VALUE], now[DIGITS], now[LIMIT] = kind, 0, 0, limit


@njit(cache=True)
def _block(now: Row, symbol: int, layout: Layout, limits: PlacedLimits) -> bool:
    """Begin a block: with its mean, or with the base, a number, if it is the first of a plane."""
    now[INDEX] += 1
    rows, columns = _grid(now, limits)
    if now[INDEX] == rows * columns:
        now[PLANE], now[INDEX] = now[PLANE] + 1, 0
    now[POSITION] = 0
    if now[INDEX] == 0:
        now[LEFT] -= 2
        _begin(now, IN_BASE, limits.highest)
        return _digit(now, symbol, layout, limits)  # type: ignore[no-any-return]
    if symbol < MEAN:
        return False
    now[LEFT] -= 2 + layout.digits
    now[WAIT], now[REST] = FOR_PLACE, 0
    if abs(symbol - MEAN - FAR_MEAN) == FAR_MEAN:
        now[WAIT] = NOTHING
        _begin(now, IN_MEAN, most_coarse(layout) - FAR_MEAN)
    return True


@njit(cache=True)
def _remainder(now: Row, symbol: int, layout: Layout) -> bool:
    """Read a digit of the remainder of a mean."""
    now[WAIT] -= 1
    now[REST] = now[REST] << 4 | symbol
    left = now[WAIT] - FOR_REST
    if left == 0:
        now[WAIT] = NOTHING
    return symbol < MEAN and now[REST] << 4 * left < layout.fine


@njit(cache=True)
def _level(now: Row, symbol: int, layout: Layout) -> bool:
    """Read a level: of a later band if a place came before it, else of the same one."""
    position = layout.position[symbol - layout.levels]
    band, far = layout.band[position], layout.far[position]
    if (band <= _band(now, layout)) if now[WAIT] else (band != _band(now, layout) or position <= now[POSITION]):
        return False
    now[POSITION], now[WAIT] = position, NOTHING
    if symbol - layout.start[position] in (0, 2 * far - 1):
        _begin(now, IN_LEVEL, LARGEST - far)
    return True


@njit(cache=True)
def _band(now: Row, layout: Layout) -> int:
    return layout.band[now[POSITION]]  # type: ignore[no-any-return]


@njit(cache=True)
def _least(now: Row, layout: Layout, limits: PlacedLimits) -> int:
    """Return the fewest symbols still needed, of the number that is read, of the block and of those to come."""
    reading, digits = now[READING], layout.digits if now[INDEX] else 0
    if reading in (IN_CHANNELS, IN_HEIGHT, IN_WIDTH):
        value = _smallest(now)
        channels = value if reading == IN_CHANNELS else now[CHANNELS]
        height = 1 if reading == IN_CHANNELS else value if reading == IN_HEIGHT else now[HEIGHT]
        width = value if reading == IN_WIDTH else 1
        return 1 + IN_WIDTH - reading + _symbols(channels, height, width, layout, limits)  # type: ignore[no-any-return]
    least = now[LEFT]
    if reading != NO:
        least += 1 if reading == IN_LEVEL else 2 + digits
    elif now[WAIT] == FOR_PLACE:
        least += 1 + digits
    elif now[WAIT] == FOR_LEVEL:
        least += 1
    elif now[WAIT] > FOR_REST:
        least += now[WAIT] - FOR_REST
    return least  # type: ignore[no-any-return]


@njit(cache=True)
def _side(plane: int, limits: PlacedLimits) -> int:
    return limits.chroma_side if plane in (1, 2) else 8


@njit(cache=True)
def _grid(now: Row, limits: PlacedLimits) -> tuple[int, int]:
    """Return the rows and columns of blocks of the plane."""
    side = _side(now[PLANE], limits)
    return -(-now[HEIGHT] // side), -(-now[WIDTH] // side)


@njit(cache=True)
def _place(now: Row, layout: Layout, limits: PlacedLimits) -> int:
    """Return the symbol of the place of the block."""
    rows, columns = _grid(now, limits)
    return place_of(  # type: ignore[no-any-return]
        now[PLANE], now[INDEX] // columns, now[INDEX] % columns, rows, columns, layout.places
    )


@njit(cache=True)
def _symbols(channels: int, height: int, width: int, layout: Layout, limits: PlacedLimits) -> int:
    """Return the fewest symbols of all blocks: a mean and a place, and a remainder but in the first of a plane."""
    total = 0
    for plane in range(max(channels, 1)):
        side = _side(plane, limits)
        blocks = -(-height // side) * -(-width // side)
        total += (2 + layout.digits) * blocks - layout.digits
    return total

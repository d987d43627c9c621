"""The grammar of `image/jpeg`: reads header, tables and blocks one symbol at a time.

It accepts the prefixes of what `ult.codecs.jpeg.spelling` reads as a whole. A state is `_FIELDS` integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.dct.layout import FAR_MEAN, MEAN, MOST_DIGITS, PLACE, Layout, place_of
from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.jpeg.picture import SAMPLINGS
from ult.codecs.jpeg.scan import LARGEST, LOWEST_MEAN
from ult.codecs.jpeg.spelling import FEWEST, SIDE, STEPS
from ult.codecs.patches import Ends, Symbols
from ult.host.kernel import njit

# Fields of a state. PHASE is what is being read; of a number VALUE, of DIGITS so far, which must not exceed LIMIT.
# LEFT: the symbols of the blocks that have not begun. STARTED: whether a place came, so that a level must follow.
USED, PHASE, VALUE, DIGITS, LIMIT, PLANES, HEIGHT, WIDTH, ACROSS, DOWN, TABLES, PLANE, INDEX, LEFT = range(14)
POSITION, STARTED, COARSE, REST = range(14, 18)
_FIELDS = 18
IN_PLANES, IN_HEIGHT, IN_WIDTH, IN_ACROSS, IN_DOWN, IN_TABLE, IN_STEPS = range(7)  # values of PHASE, in the header
IN_LEVELS, IN_MEAN, IN_PLACE, IN_REST, IN_LEVEL = range(7, 12)  # in a block
Row = NDArray[np.int64]
_RATIOS = np.array(SAMPLINGS, np.int64)


class JpegGrammar(Grammar[Row]):
    """The pictures that `ImageJpeg.decode` accepts, of at most `max_length` samples and `max_symbols` symbols."""

    def __init__(self, layout: Layout, max_length: int, max_symbols: int) -> None:
        self.layout, self.max_length, self.max_symbols = layout, max_length, max_symbols

    def start(self) -> Row:
        """Return the state before the number of planes."""
        now = np.zeros(_FIELDS, np.int64)
        now[INDEX] = -1
        return now

    def advance(self, state: Row, symbols: Symbols) -> Row | None:
        """Return the state after `symbols`, or None if they are refused."""
        now = state.copy()
        given = np.asarray(symbols, np.int64)
        return now if _walk(now, given, self.layout, _RATIOS, self.max_length, self.max_symbols) else None

    def least(self, state: Row) -> int:
        """Return the fewest symbols that complete the picture."""
        return int(_least(state, self.layout, _RATIOS))

    def after(self, state: Row, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        given = symbols.astype(np.int64)
        return _after(  # type: ignore[no-any-return]
            state, given, ends, self.layout, _RATIOS, self.max_length, self.max_symbols
        )


@njit(cache=True)
def _after(
    now: Row, symbols: Row, ends: Ends, layout: Layout, ratios: Ends, max_length: int, max_symbols: int
) -> NDArray[np.int64]:
    found = np.full(len(ends), REFUSED)
    work = now.copy()
    start = 0
    for run in range(len(ends)):
        if _walk(work, symbols[start : ends[run]], layout, ratios, max_length, max_symbols):
            found[run] = _least(work, layout, ratios)
        work[:] = now
        start = ends[run]
    return found


@njit(cache=True)
def _walk(now: Row, symbols: Row, layout: Layout, ratios: Ends, max_length: int, max_symbols: int) -> bool:
    """Advance a state by `symbols` in place; return whether a picture can continue with them."""
    for symbol in symbols:
        good = _head(now, symbol, ratios, max_length) if now[PHASE] < IN_LEVELS else _body(now, symbol, layout)
        if not good:
            return False
        now[USED] += 1
    return now[USED] + _least(now, layout, ratios) <= max_symbols  # type: ignore[no-any-return]


@njit(cache=True)
def _head(now: Row, symbol: int, ratios: Ends, max_length: int) -> bool:
    """Read a symbol of the header."""
    phase = now[PHASE]
    if symbol >= MEAN:
        return False
    if phase == IN_PLANES:
        now[PLANES] = symbol
        _begin(now, IN_HEIGHT, min(max_length // max(symbol, 1), SIDE))
        return symbol in (1, 3) and symbol <= max_length
    if phase in (IN_HEIGHT, IN_WIDTH):
        return _digit(now, symbol, max_length)  # type: ignore[no-any-return]
    if phase in (IN_ACROSS, IN_DOWN):
        now[ACROSS + phase - IN_ACROSS] = symbol
        now[PHASE] += 1
        blocks = _ratio(now, ratios)
        now[LEFT] = FEWEST * blocks
        return blocks > 0  # type: ignore[no-any-return]
    if phase == IN_TABLE:
        if symbol > now[TABLES]:
            return False
        now[PLANE] += 1
        if symbol == now[TABLES]:
            now[TABLES] += 1
            now[PHASE], now[DIGITS] = IN_STEPS, 0
        else:
            _next_table(now)
        return True
    now[DIGITS] += 1
    if now[DIGITS] % 2 == 0 and now[VALUE] + symbol == 0:
        return False
    now[VALUE] = symbol
    if now[DIGITS] == STEPS:
        _next_table(now)
    return True


@njit(cache=True)
def _next_table(now: Row) -> None:
    now[PHASE] = IN_TABLE
    if now[PLANE] == now[PLANES]:
        now[PHASE], now[PLANE] = IN_LEVELS, 0


@njit(cache=True)
def _begin(now: Row, phase: int, limit: int) -> None:
    """Expect a number of at most `limit`."""
    now[PHASE], now[VALUE], now[DIGITS], now[LIMIT] = phase, 0, 0, limit


@njit(cache=True)
def _digit(now: Row, symbol: int, max_length: int) -> bool:
    """Read a digit of a number; after its last digit, use the number for what it is part of."""
    if symbol >= MEAN:
        return False
    phase, more = now[PHASE], symbol > 7
    now[VALUE] |= (symbol & 7) << 3 * now[DIGITS]
    now[DIGITS] += 1
    value = _smallest(now)
    if value > now[LIMIT] or (more and now[DIGITS] == MOST_DIGITS) or (not more and value != now[VALUE]):
        return False
    if more:
        return True
    if phase == IN_HEIGHT:
        now[HEIGHT] = value
        _begin(now, IN_WIDTH, min(max_length // (now[PLANES] * value), SIDE))
    elif phase == IN_WIDTH:
        now[WIDTH], now[PHASE] = value, IN_ACROSS
    elif phase == IN_MEAN:
        now[COARSE] += value if now[COARSE] > 0 else -value
        now[PHASE] = IN_PLACE
    else:
        now[PHASE] = IN_LEVELS
    return True


@njit(cache=True)
def _smallest(now: Row) -> int:
    """Return the smallest value that the number being read can still become; heights and widths are at least 1."""
    if now[VALUE] == 0 and now[PHASE] in (IN_HEIGHT, IN_WIDTH):
        return 1 << 3 * now[DIGITS] if now[DIGITS] else 1
    return now[VALUE]  # type: ignore[no-any-return]


@njit(cache=True)
def _body(now: Row, symbol: int, layout: Layout) -> bool:
    """Read a symbol of a block."""
    phase = now[PHASE]
    if phase in (IN_MEAN, IN_LEVEL):
        return _digit(now, symbol, 0)  # type: ignore[no-any-return]
    if phase == IN_PLACE:
        now[PHASE], now[DIGITS], now[REST] = IN_REST, 0, 0
        return symbol == _place(now, layout)  # type: ignore[no-any-return]
    if phase == IN_REST:
        return _remainder(now, symbol, layout)  # type: ignore[no-any-return]
    if symbol >= layout.levels:
        return bool(now[INDEX] >= 0 and _level(now, symbol, layout))
    if now[STARTED]:
        return False
    if symbol >= PLACE:
        now[STARTED] = 1
        later = layout.band[now[POSITION]] < layout.band[-1]
        return bool(now[INDEX] >= 0 and symbol == _place(now, layout) and later)
    return bool(symbol >= MEAN and now[LEFT] > 0 and _block(now, symbol))


@njit(cache=True)
def _block(now: Row, symbol: int) -> bool:
    """Begin a block with its mean."""
    now[INDEX] += 1
    rows, columns = _grid(now)
    if now[INDEX] == rows * columns:
        now[PLANE], now[INDEX] = now[PLANE] + 1, 0
    now[LEFT] -= FEWEST
    now[POSITION], now[PHASE], now[COARSE] = 0, IN_PLACE, symbol - MEAN - FAR_MEAN
    if abs(now[COARSE]) == FAR_MEAN:
        _begin(now, IN_MEAN, -LOWEST_MEAN // 16 - FAR_MEAN)
    return True


@njit(cache=True)
def _remainder(now: Row, symbol: int, layout: Layout) -> bool:
    """Read the remainder of a mean, one digit."""
    now[PHASE] = IN_LEVELS
    mean = now[COARSE] * layout.fine + symbol - layout.fine // 2
    return symbol < layout.fine and LOWEST_MEAN <= mean <= LARGEST


@njit(cache=True)
def _level(now: Row, symbol: int, layout: Layout) -> bool:
    """Read a level: of a later band if a place came before it, else of the same one."""
    position = layout.position[symbol - layout.levels]
    band, far, before = layout.band[position], layout.far[position], layout.band[now[POSITION]]
    if (band <= before) if now[STARTED] else (band != before or position <= now[POSITION]):
        return False
    now[POSITION], now[STARTED] = position, 0
    if symbol - layout.start[position] in (0, 2 * far - 1):
        _begin(now, IN_LEVEL, LARGEST - far)
    return True


@njit(cache=True)
def _grid(now: Row) -> tuple[int, int]:
    """Return the rows and columns of blocks of the plane."""
    across, down = (now[ACROSS], now[DOWN]) if now[PLANE] else (1, 1)
    return -(-now[HEIGHT] // (8 * down)), -(-now[WIDTH] // (8 * across))


@njit(cache=True)
def _place(now: Row, layout: Layout) -> int:
    """Return the symbol of the place of the block."""
    rows, columns = _grid(now)
    return place_of(  # type: ignore[no-any-return]
        now[PLANE], now[INDEX] // columns, now[INDEX] % columns, rows, columns, layout.places
    )


@njit(cache=True)
def _blocks(now: Row, down: int, across: int) -> int:
    """Return the blocks of all planes."""
    height, width = max(now[HEIGHT], 1), max(now[WIDTH], 1)
    chroma = -(-height // (8 * down)) * -(-width // (8 * across))
    return -(-height // 8) * -(-width // 8) + (now[PLANES] - 1) * chroma  # type: ignore[no-any-return]


@njit(cache=True)
def _ratio(now: Row, ratios: Ends) -> int:
    """Return the fewest blocks of a picture with what is known of its subsampling, 0 if there is none."""
    fewest = 0
    for k in range(len(ratios) if now[PLANES] == 3 else 1):
        across, down = ratios[k]
        if now[PHASE] > IN_ACROSS and across != now[ACROSS]:
            continue
        if now[PHASE] > IN_DOWN and down != now[DOWN]:
            continue
        blocks = _blocks(now, down, across)
        fewest = min(fewest, blocks) if fewest else blocks
    return fewest


@njit(cache=True)
def _least(now: Row, layout: Layout, ratios: Ends) -> int:
    """Return the fewest symbols still needed, of what is read, of the block and of those to come."""
    phase = now[PHASE]
    if phase <= IN_DOWN:
        known = now.copy()
        if phase == IN_PLANES:
            known[PLANES] = 1
        if phase == IN_HEIGHT:
            known[HEIGHT] = _smallest(now)
        if phase == IN_WIDTH:
            known[WIDTH] = _smallest(now)
        return IN_TABLE - phase + known[PLANES] + STEPS + FEWEST * _ratio(known, ratios)  # type: ignore[no-any-return]
    least = now[LEFT]
    if phase == IN_TABLE:
        least += now[PLANES] - now[PLANE] + (0 if now[TABLES] else STEPS)
    elif phase == IN_STEPS:
        least += now[PLANES] - now[PLANE] + STEPS - now[DIGITS]
    elif phase == IN_MEAN:
        least += 3
    elif phase == IN_PLACE:
        least += 2
    elif phase in (IN_REST, IN_LEVEL) or now[STARTED]:
        least += 1
    return least  # type: ignore[no-any-return]

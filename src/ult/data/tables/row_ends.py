"""Where rows of delimited text end, so that several processes read parts of one file.

A quote opens a cell only at the cell's start, as for Python's `csv`, so no count of quotes says whether a line feed is
inside a cell: each byte is looked at, in order. At what few files hold (a lone "\\r", a NUL, a byte after a closing
quote) the search stops, and the rest of the file is one part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ult.host.kernel import njit

BLOCK = 2**20  # bytes that are looked at together
_FIRST = 3  # rows: a line of Excel's, the header, and a record
_OTHER, _MARK, _LINE, _RETURN, _QUOTE, _NUL = range(6)  # kinds of bytes
# States: at the start of a row, at that of another cell, in a bare cell, in a cell in quotes, after its closing quote
# or the first of a doubled one; after "\r" in quotes, at the end of a row, and in an empty line; and lost.
_ROW, _CELL, _BARE, _QUOTED, _CLOSED, _RETURNED, _ENDING, _EMPTY, _LOST = range(9)
_ENDS = 9  # that a row ends here; an empty line is none
_NEXT = np.array(
    [  # other, mark, line feed, return, quote, NUL
        [_BARE, _CELL, _ROW, _EMPTY, _QUOTED, _LOST],
        [_BARE, _CELL, _ENDS, _ENDING, _QUOTED, _LOST],
        [_BARE, _CELL, _ENDS, _ENDING, _BARE, _LOST],
        [_QUOTED, _QUOTED, _QUOTED, _RETURNED, _CLOSED, _LOST],
        [_LOST, _CELL, _ENDS, _ENDING, _QUOTED, _LOST],
        [_LOST, _LOST, _QUOTED, _LOST, _LOST, _LOST],
        [_LOST, _LOST, _ENDS, _LOST, _LOST, _LOST],
        [_LOST, _LOST, _ROW, _LOST, _LOST, _LOST],
    ],
    np.uint8,
)


def starts(file: IO[bytes], mark: str, nbytes: int) -> Iterator[tuple[int, int]]:
    """Yield the byte at which each part of a file of UTF-8 starts, the first at 0, and how many rows are before it.

    A part has at least `nbytes` bytes and a row, the first `_FIRST` rows, except for the last; it starts with a row, or
    with empty lines before one. `mark` is of ASCII.
    """
    yield 0, 0
    kinds = np.zeros(256, np.uint8)
    kinds[[ord(mark), 10, 13, 34, 0]] = _MARK, _LINE, _RETURN, _QUOTE, _NUL
    following = _NEXT[:, kinds]
    at, rows, state, wanted, least = 0, 0, _ROW, nbytes, _FIRST
    while data := file.read(BLOCK):
        block = np.frombuffer(data, np.uint8)
        place = 3 if not at and data.startswith(b"\xef\xbb\xbf") else 0
        while place < len(data) and state != _LOST:
            place, rows, state, found = _followed(block, place, wanted - at, rows, least, state, following)
            if found:
                yield at + place, rows
                wanted, least = at + place + nbytes, rows + 1
        if state == _LOST:
            return
        at += len(data)


@njit(cache=True)
def _followed(
    block: NDArray[np.uint8],
    at: int,
    wanted: int,
    rows: int,
    least: int,
    state: int,
    following: NDArray[np.uint8],
) -> tuple[int, int, int, bool]:
    """Return how far a block was followed, the rows so far, the state, and whether a part may start there.

    It may from byte `wanted` on, at the start of a row with `least` rows before it, if there is more to read.
    """
    while at < len(block):
        if at >= wanted and state == _ROW and rows >= least:
            return at, rows, state, True
        next_state = following[state, block[at]]
        at += 1
        while next_state == state and state >= _BARE and at < len(block):
            next_state = following[state, block[at]]
            at += 1
        state = next_state
        if state == _LOST:
            break
        if state == _ENDS:
            rows += 1
            state = _ROW
    return at, rows, state, False

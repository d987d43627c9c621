"""Rows of delimited text as bytes: what most files hold is found by a compiled scan, and the rest is left to `csv`.

The scan knows cells that are bare, or in quotes with doubled quotes in them, and lines that end with "\\n" or "\\r\\n".
At anything else (another number of cells, a quote too many, a lone "\\r", a NUL, bytes that are no UTF-8) it stops at
the start of the row, from which the reader of Python's library goes on; so both accept and refuse the same files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.utf8 import is_utf8
from ult.host.kernel import njit

BLOCK = 2**21  # bytes that are scanned together, if a row is not longer
_WIDE, _WIDEST = 2**9, 2**25  # for each column, so that some rows of a wide table come together; and at most
BOM = b"\xef\xbb\xbf"
_MORE, _DONE, _STRANGE = 0, 1, 2  # why a scan stopped: the bytes end within a row, at its end, or at what it knows not
_LINE, _RETURN, _QUOTE = 10, 13, 34


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, `size` at most, fewer only at the end."""


class Found(NamedTuple):
    """Rows that were found: the cells of each wanted column, and how many there are."""

    columns: list[Cells]
    rows: int


class Scan:
    """Reads rows of `width` cells from a file of UTF-8; afterwards `at` is the byte at which the next row begins.

    `lines` are the line ends before that, and `whole` says that it is the end of the file. At a wanted cell of over
    `longest` bytes it stops as soon as so much of it is read; `long` is then its column, from 0, else -1. Unless it
    `begins` there, what the file starts with is no byte order mark.
    """

    def __init__(self, file: Readable, mark: str, width: int, longest: int, *, begins: bool = True) -> None:
        self._file, self._mark, self._width, self._longest = file, ord(mark), width, longest
        self._begins = begins
        self.at = self.lines = 0
        self.whole, self.long = False, -1

    def rows(self, wanted: Sequence[int], most: int) -> Iterator[Found]:
        """Yield up to `most` rows at a time, with the cells of the columns `wanted`, until something is strange."""
        block_size = max(BLOCK, min(_WIDEST, _WIDE * self._width))
        rest, size, first = b"", block_size, self._begins
        while not self.whole:
            more = self._file.read(size)
            data, last = rest + more, len(more) < size
            if first and data.startswith(BOM):
                self.at, data = len(BOM), data[len(BOM) :]
            first = False
            block = np.frombuffer(data, np.uint8)
            starts, stops, rows, used, why = _scan(
                block, self._mark, self._width, last, _cells_at_most(block, self._mark)
            )
            if not is_utf8(data[:used]):
                return
            for begin in range(0, rows, most):
                run = slice(begin, min(begin + most, rows))
                columns = [_column(block, starts[run, k], stops[run, k]) for k in wanted]
                yield Found(columns, run.stop - run.start)
            self.at += used
            self.lines += data.count(b"\n", 0, used)
            self.whole = last and used == len(data)
            if why == _STRANGE or (last and not self.whole):
                return
            rest, size = data[used:], block_size if used else 2 * size
            if len(rest) > self._longest:
                column, nbytes = _open_cell(np.frombuffer(rest, np.uint8), self._mark)
                if nbytes > self._longest and column in wanted:
                    self.long = column
                    return


def _cells_at_most(block: NDArray[np.uint8], mark: int) -> int:
    return int(np.count_nonzero(block == mark) + np.count_nonzero(block == _LINE)) + 2


def _column(block: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Cells:
    data, ends = _gathered(block, starts, stops)
    return Cells(data, ends, np.zeros(len(ends), np.bool_))


@njit(cache=True)
def _scan(
    block: NDArray[np.uint8], mark: int, width: int, last: bool, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int, int, int]:
    """Return where each cell starts and stops, (rows, width), the rows, how many bytes these are, and why it ends.

    The stop of a cell in quotes that holds doubled ones is negative, minus 1. `last` says that the file ends here.
    """
    n = len(block)
    starts = np.empty((most // width + 1, width), np.int64)
    stops = np.empty((most // width + 1, width), np.int64)
    rows = used = at = column = 0
    why = _MORE
    while at < n:
        byte = block[at]
        if column == 0 and (byte == _LINE or (byte == _RETURN and at + 1 < n and block[at + 1] == _LINE)):
            at += 1 if byte == _LINE else 2  # an empty line is no row
            used = at
            continue
        start = at
        doubled = False
        if byte == _QUOTE:
            start = at = at + 1
            closed = False
            while at < n:
                if block[at] == _QUOTE:
                    if at + 1 < n and block[at + 1] == _QUOTE:
                        doubled = True
                        at += 2
                        continue
                    closed = at + 1 < n or last
                    break
                if block[at] == 0 or (block[at] == _RETURN and (at + 1 >= n or block[at + 1] != _LINE)):
                    why = _STRANGE
                    break
                at += 1
            if why == _STRANGE or not closed:
                break
            stop = at
            at += 1
        else:
            while at < n and block[at] != mark and block[at] != _LINE and block[at] != _RETURN and block[at] != 0:
                at += 1
            stop = at
        if at == n and not last:
            break
        end = at == n
        if not end and block[at] == _RETURN:
            if at + 1 == n and not last:
                break
            if at + 1 == n or block[at + 1] != _LINE:
                why = _STRANGE
                break
            end = True
            after = at + 2
        elif not end and block[at] == _LINE:
            end = True
            after = at + 1
        elif end:
            after = at
        elif block[at] == mark:
            after = at + 1
        else:  # after the closing quote, or a NUL
            why = _STRANGE
            break
        if column == width or end != (column == width - 1):
            why = _STRANGE
            break
        starts[rows, column] = start
        stops[rows, column] = -stop - 1 if doubled else stop
        at = after
        column += 1
        if end:
            column = 0
            rows += 1
            used = at
        elif at == n and last:  # the file ends with a mark: the cell after it is empty
            if column != width - 1:
                why = _STRANGE
                break
            starts[rows, column] = stops[rows, column] = n
            column = 0
            rows += 1
            used = at
    if why == _MORE and used == n:
        why = _DONE
    return starts, stops, rows, used, why


@njit(cache=True)
def _open_cell(block: NDArray[np.uint8], mark: int) -> tuple[int, int]:
    """Return the column of the last cell of a row that is cut, from 0, and how many bytes of the cell there are."""
    column = start = 0
    quoted = False
    for at in range(len(block)):
        if block[at] == _QUOTE:
            quoted = not quoted  # twice at two that follow one another
        elif block[at] == mark and not quoted:
            column += 1
            start = at + 1
    return column, len(block) - start


@njit(cache=True)
def _gathered(
    block: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of cells, one after another, and where each ends; of doubled quotes one."""
    size = 0
    for i in range(len(starts)):
        size += (-stops[i] - 1 if stops[i] < 0 else stops[i]) - starts[i]
    data = np.empty(size, np.uint8)
    ends = np.empty(len(starts), np.int64)
    at = 0
    for i in range(len(starts)):
        if stops[i] >= 0:
            for k in range(starts[i], stops[i]):
                data[at] = block[k]
                at += 1
        else:
            k = starts[i]
            while k < -stops[i] - 1:
                data[at] = block[k]
                at += 1
                k += 2 if block[k] == _QUOTE else 1
        ends[i] = at
    return data[:at], ends

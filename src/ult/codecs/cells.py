"""A column of cells as the bytes of all its texts: what readers make, and the kinds of fields encode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends
from ult.errors import InvalidRecord
from ult.host.kernel import njit

Flags = NDArray[np.bool_]


class Cells(Sequence[str | None]):
    """The UTF-8 bytes of n cells, one after another, and where each ends; null has no bytes.

    `data` is uint8, with lone surrogates as Python's "surrogatepass" writes them; `ends` (n,) int64 rises to its
    length; `nulls` is (n,) bool.

    >>> cells = Cells.of(["a", None, "bcd"])
    >>> cells[2], cells.ends.tolist(), cells.tolist()
    ('bcd', [1, 1, 4], ['a', None, 'bcd'])
    """

    __slots__ = ("data", "ends", "nulls")

    def __init__(self, data: NDArray[np.uint8], ends: Ends, nulls: Flags) -> None:
        self.data, self.ends, self.nulls = data, ends, nulls

    @classmethod
    def of(cls, cells: Sequence[Any]) -> Cells:
        """Return the column of texts and None; raise `InvalidRecord` for anything else."""
        if isinstance(cells, Cells):
            return cells
        none = np.zeros(len(cells), np.bool_)
        texts = cells
        try:
            joined = "".join(cells)
        except TypeError:
            texts = ["" if cell is None else cell for cell in cells]
            for cell in texts:
                if not isinstance(cell, str):
                    raise InvalidRecord(f"cell is {type(cell).__name__}; expected a text, or None for null") from None
            joined = "".join(texts)
            none = np.fromiter((cell is None for cell in cells), np.bool_, len(cells))
        data = joined.encode("utf-8", "surrogatepass")
        sizes = np.fromiter(map(len if len(data) == len(joined) else _utf8_length, texts), np.int64, len(texts))
        return cls(np.frombuffer(data, np.uint8), np.cumsum(sizes), none)

    @classmethod
    def concatenate(cls, parts: Sequence[Cells]) -> Cells:
        """Return the cells of all parts, of which there is at least one, as one column."""
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
        return cls(
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.ends + base for part, base in zip(parts, bases.tolist(), strict=True)]),
            np.concatenate([part.nulls for part in parts]),
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each cell, (n,)."""
        return np.diff(self.ends, prepend=0)

    def cut(self, most: int, nbytes: int) -> Iterator[Cells]:
        """Yield the cells in runs of at most `most`, each of at most about `nbytes` bytes."""
        first = 0
        while first < len(self):
            start = int(self.ends[first - 1]) if first else 0
            last = int(np.searchsorted(self.ends, start + nbytes, side="right"))
            stop = min(first + most, max(first + 1, last), len(self))
            yield self[first:stop]
            first = stop

    def taken(self, which: NDArray[Any]) -> Cells:
        """Return the cells with these numbers, or where `which` is true."""
        at = np.flatnonzero(which) if which.dtype == np.bool_ else which
        data, ends = _taken(self.data, self.ends, at)
        return Cells(data, ends, self.nulls[at])

    def blanked(self, kept: Flags) -> Cells:
        """Return the cells with no bytes where `kept`, (n,) bool, is false."""
        sizes = self.sizes
        return Cells(self.data[np.repeat(kept, sizes)], np.cumsum(np.where(kept, sizes, 0)), self.nulls)

    def equal(self, text: str | None) -> Flags:
        """Return (n,) bool: which cells are `text`."""
        if text is None:
            return self.nulls
        spelled = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        found: Flags = _equal(self.data, self.ends, spelled)
        return found if spelled.size else found & ~self.nulls

    def among(self, texts: Sequence[str] | frozenset[str]) -> Flags:
        """Return (n,) bool: which cells are one of `texts`."""
        return np.logical_or.reduce([self.equal(text) for text in texts]) if texts else np.zeros(len(self), np.bool_)

    def repeats(self) -> Flags:
        """Return (n,) bool: which cells equal the one before them; the first does not."""
        found: Flags = _repeats(self.data, self.ends, self.nulls)
        return found

    def numbered(self) -> tuple[NDArray[np.int64], int]:
        """Return the number of each text, (n,), in the order in which they are first met, and how many there are.

        >>> Cells.of(["b", "a", "b"]).numbered()[0].tolist()
        [0, 1, 0]
        """
        slots = np.full(1 << (2 * len(self)).bit_length(), -1, np.int64)
        return _numbered(slots, self.data, self.ends)  # type: ignore[no-any-return]

    def tolist(self) -> list[str | None]:
        """Return the cells."""
        stops = self.ends.tolist()
        spans = zip([0, *stops], stops, strict=False)
        data = self.data.tobytes()
        if data.isascii():
            whole = data.decode("ascii")
            found: list[str | None] = [whole[start:stop] for start, stop in spans]
        else:
            found = [data[start:stop].decode("utf-8", "surrogatepass") for start, stop in spans]
        for i in np.flatnonzero(self.nulls).tolist():
            found[i] = None
        return found

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str | None]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, at: int) -> str | None: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            first, last, step = at.indices(len(self))
            if step != 1:
                return self.taken(np.arange(first, last, step))
            begin = int(self.ends[first - 1]) if first else 0
            end = int(self.ends[last - 1]) if last > first else begin
            return Cells(self.data[begin:end], self.ends[first : max(first, last)] - begin, self.nulls[first:last])
        at = range(len(self))[at]
        start = int(self.ends[at - 1]) if at else 0
        return None if self.nulls[at] else self.data[start : self.ends[at]].tobytes().decode("utf-8", "surrogatepass")


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Known:
    """Some texts, of which each has a number, to find the cells of a column among them."""

    def __init__(self, texts: Sequence[str]) -> None:
        cells = Cells.of(texts)
        self._slots = np.full(max(4, 1 << (2 * len(texts)).bit_length()), -1, np.int64)
        self._data, self._ends = cells.data, cells.ends
        _fill(self._slots, self._data, self._ends)

    def numbers(self, cells: Cells) -> NDArray[np.int64]:
        """Return the number of each cell's text, (n,), -1 for one that is not known, and for null."""
        found = _numbers(self._slots, self._data, self._ends, cells.data, cells.ends)
        found[cells.nulls] = -1
        return found  # type: ignore[no-any-return]


@njit(cache=True)
def _taken(data: NDArray[np.uint8], ends: Ends, at: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Ends]:
    stops = np.empty(len(at), np.int64)
    size = 0
    for k in range(len(at)):
        size += ends[at[k]] - (ends[at[k] - 1] if at[k] else 0)
        stops[k] = size
    found = np.empty(size, np.uint8)
    to = 0
    for k in range(len(at)):
        start = ends[at[k] - 1] if at[k] else 0
        for i in range(start, ends[at[k]]):
            found[to] = data[i]
            to += 1
    return found, stops


@njit(cache=True)
def _alike(a: NDArray[np.uint8], start: int, b: NDArray[np.uint8], first: int, size: int) -> bool:
    for k in range(size):  # noqa: SIM110  # compiled
        if a[start + k] != b[first + k]:
            return False
    return True


@njit(cache=True)
def _equal(data: NDArray[np.uint8], ends: Ends, text: NDArray[np.uint8]) -> Flags:
    found = np.zeros(len(ends), np.bool_)
    start = 0
    for i in range(len(ends)):
        found[i] = ends[i] - start == len(text) and _alike(data, start, text, 0, len(text))
        start = ends[i]
    return found


@njit(cache=True)
def _repeats(data: NDArray[np.uint8], ends: Ends, nulls: Flags) -> Flags:
    found = np.zeros(len(ends), np.bool_)
    before = 0
    for i in range(1, len(ends)):
        start = ends[i - 1]
        size = ends[i] - start
        same = size == start - before and nulls[i] == nulls[i - 1]
        found[i] = same and _alike(data, start, data, before, size)
        before = start
    return found


@njit(cache=True)
def _find(
    slots: NDArray[np.int64], known: NDArray[np.uint8], stops: Ends, data: NDArray[np.uint8], start: int, size: int
) -> int:
    """Return the slot that holds the number of a text, or the empty one where it belongs."""
    key = np.uint64(0xCBF29CE484222325)
    for k in range(start, start + size):
        key = (key ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
    mask = len(slots) - 1
    at = np.int64((key ^ (key >> np.uint64(29))) & np.uint64(mask))
    while slots[at] >= 0:
        first = stops[slots[at] - 1] if slots[at] else 0
        if stops[slots[at]] - first == size and _alike(data, start, known, first, size):
            break
        at = (at + 1) & mask
    return int(at)


@njit(cache=True)
def _fill(slots: NDArray[np.int64], known: NDArray[np.uint8], stops: Ends) -> None:
    start = 0
    for k in range(len(stops)):
        slots[_find(slots, known, stops, known, start, stops[k] - start)] = k
        start = stops[k]


@njit(cache=True)
def _numbers(
    slots: NDArray[np.int64], known: NDArray[np.uint8], stops: Ends, data: NDArray[np.uint8], ends: Ends
) -> NDArray[np.int64]:
    found = np.empty(len(ends), np.int64)
    start = 0
    for i in range(len(ends)):
        found[i] = slots[_find(slots, known, stops, data, start, ends[i] - start)]
        start = ends[i]
    return found


@njit(cache=True)
def _numbered(slots: NDArray[np.int64], data: NDArray[np.uint8], ends: Ends) -> tuple[NDArray[np.int64], int]:
    found = np.empty(len(ends), np.int64)
    start = n = 0
    for i in range(len(ends)):
        at = _find(slots, data, ends, data, start, ends[i] - start)
        if slots[at] < 0:
            slots[at] = i
            found[i] = n
            n += 1
        else:
            found[i] = found[slots[at]]
        start = ends[i]
    return found, n

"""Rows of numbers that memory need not hold: on the disk in parts that are read one at a time, or taken in order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ult.errors import OutputError, writing
from ult.host.atomic import hidden

_AT_ONCE = 2**14  # rows of a lane that are Python's objects at once
_WINDOW = 2**22  # bytes of rows that wait to be written together


class Buckets:
    """Rows of type `kind` in parts, in each of which they stay in the order in which they were added.

    The file is in the hidden folder of the output `out`, which this process holds, and has no name: the system removes
    it at any end. Memory has 4 MB of rows, those of the part that is read, and 8 bytes a part for each 4 MB. Raises
    `OutputError`.
    """

    def __init__(self, out: Path, kind: Any) -> None:
        self._out, self._kind = out, np.dtype(kind)
        self._waiting: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._waits = self._rows = 0
        self._stops: list[NDArray[np.int64]] = []  # of the rows of each part, in each run of rows that was written
        with writing(out):
            self._file = tempfile.TemporaryFile(dir=hidden(out))  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._file.close()

    def add(self, of: NDArray[Any], rows: NDArray[Any]) -> None:
        """Add rows (n,) to the parts with the numbers `of` (n,)."""
        self._waiting.append((of, rows))
        self._waits += rows.nbytes
        if self._waits >= _WINDOW:
            self._flush()

    def _flush(self) -> None:
        of, rows = (np.concatenate(some) for some in zip(*self._waiting, strict=True))
        stops = np.append(0, np.cumsum(np.bincount(of)))
        few = of.astype(np.min_scalar_type(len(stops)))  # of up to 16 bits, which NumPy sorts by counting
        with writing(self._out):
            self._file.seek(0, 2)
            self._file.write(rows[few.argsort(kind="stable")].view(np.uint8).data)
        self._stops.append(self._rows + stops)
        self._rows += len(rows)
        self._waiting, self._waits = [], 0

    def part(self, number: int) -> NDArray[Any]:
        """Return the rows of a part, (n,), perhaps none."""
        if self._waiting:
            self._flush()
        runs = [(int(stops[number]), int(stops[number + 1])) for stops in self._stops if number + 1 < len(stops)]
        found, end = np.empty(sum(stop - start for start, stop in runs), self._kind), 0
        with writing(self._out):
            for start, stop in runs:
                here = found[end : end + stop - start].view(np.uint8).data
                self._file.seek(start * self._kind.itemsize)
                if self._file.readinto(here) < len(here):
                    raise OutputError(f"cannot write {self._out}: what was put aside beside it was cut short")
                end += stop - start
        return found


class Lane:
    """Values of rows in order, which come in blocks, (n,) each, and of which any number is taken at a time."""

    def __init__(self, blocks: Iterable[NDArray[Any]]) -> None:
        self._blocks, self._left = iter(blocks), np.empty(0, np.int8)

    def take(self, n: int) -> NDArray[Any]:
        """Return the values of the next n rows, (n,); fewer if there are no more."""
        while len(self._left) < n and (more := next(self._blocks, None)) is not None:
            self._left = np.concatenate([self._left, more]) if len(self._left) else more
        found, self._left = self._left[:n], self._left[n:]
        return found

    def each(self) -> Iterator[Any]:
        """Yield the value of each row."""
        while len(some := self.take(_AT_ONCE)):
            yield from some.tolist()

"""A part of a delimited file, as Python's `csv` and `Scan` read it, and the lines that errors name."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from typing import Any

from ult.data import files
from ult.data.rows import changed


class Part(io.BufferedIOBase):
    """The bytes of a file from `start` to `stop`, counted as they are read: a position costs a call a row.

    A file that ends before `stop` raises `SourceError`, unless `stop` is beyond any file.
    """

    def __init__(self, name: str, start: int, stop: int) -> None:
        self._name, self._file, self.start, self._stop = name, files.open_file(name), start, stop
        self.nbytes = 0
        if start:
            self._file.seek(start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, `size` at most, fewer only at the end."""
        found = []
        while (size is None or size) and (data := self.read1(-1 if size is None else size)):
            found.append(data)
            size = size - len(data) if size is not None and size > 0 else size
        return b"".join(found)

    def read1(self, size: int = -1, /) -> bytes:
        """Return some of the next bytes, `size` at most, none only at the end."""
        left = self._stop - self.start - self.nbytes
        wanted = min(size if size >= 0 else io.DEFAULT_BUFFER_SIZE, left)
        data: bytes = self._file.read1(wanted) if wanted else b""  # type: ignore[attr-defined]
        self.nbytes += len(data)
        if not data and left and self._stop < sys.maxsize:
            raise changed(self._name, f"it ended after {self.start + self.nbytes} bytes; expected {self._stop}")
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class Reader:
    """The rows that `csv` reads, and the number of the line it is at, counted from the start of the file.

    `csv` begins at byte `start`, and `lines` after it.
    """

    def __init__(self, name: str, start: int, lines: int) -> None:
        self._name, self._start, self._lines = name, start, lines
        self.rows: Any = None

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self.rows)

    @property
    def line_num(self) -> int:
        """The number of the line that was read last; with a `start`, all lines before it are counted."""
        read = int(self.rows.line_num) if self.rows is not None else 0
        return self._lines + read + files.count_lines(self._name, self._start)

"""Rows that follow one another and have one unit, such as a patient, as pieces of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.record.columns import Columns
from ult.data.cells import column_of, has_text
from ult.data.rows import Chunk


class Piece(NamedTuple):
    """The rows from `start` to `stop` of some columns."""

    columns: Columns
    start: int
    stop: int


@dataclass(slots=True)
class Run:
    """Rows of one unit: the `static` cells that all of them share, and the other cells in pieces."""

    unit: str
    static: tuple[Any, ...]
    first: tuple[Chunk, int]
    last: tuple[Chunk, int] = field(init=False)
    pieces: list[Piece] = field(default_factory=list)
    kept: pa.Table | None = None  # one row
    nbytes: int = 0

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """The cells of each row, without the static ones."""
        return [row for piece in self.pieces for row in piece.columns[piece.start : piece.stop]]

    @property
    def length(self) -> int:
        """How many rows there are."""
        return sum(piece.stop - piece.start for piece in self.pieces)

    @property
    def place(self) -> str:
        """The place of the rows, for errors."""
        return place(self.first, self.last)

    def own(self) -> None:
        """Copy the rows, so that the columns of which they are pieces can go."""
        at = [np.arange(piece.start, piece.stop) for piece in self.pieces]
        owned = [piece.columns.taken(rows) for piece, rows in zip(self.pieces, at, strict=True)]
        self.pieces = [Piece(columns, 0, len(columns)) for columns in owned]


class Block(NamedTuple):
    """Rows of an input: their units, the columns that are static, the others, and the kept ones."""

    chunk: Chunk
    units: Cells
    static: Columns
    inner: Columns
    kept: pa.Table | None

    def odd(self, fresh: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the rows whose static or kept cells are not those of the row before; where `fresh`, they need not."""
        n = len(self.units)
        found = np.zeros(n, np.bool_)
        for column in self.static.columns:
            found |= ~column.repeats() if isinstance(column, Cells) else _differing(column)
        for column in self.kept.columns if self.kept is not None else ():
            found |= ~column_of(column).repeats() if has_text(column.type) else _differing(column.to_pylist())
        return np.flatnonzero(found & ~fresh)


def place(first: tuple[Chunk, int], last: tuple[Chunk, int]) -> str:
    """Return the place of rows from the first to the last: file, and numbers of rows."""
    begin, end = first[0].place(first[1]), last[0].place(last[1])
    common = begin.rpartition(" ")[0]
    number = end.removeprefix(common).strip()
    return begin if begin == end or not number.isdigit() else f"{begin} to {number}"


class Places(Sequence[str]):
    """The places of runs, each spelled when it is asked for."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._ends = [(run.first, run.last) for run in runs]

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, at: Any) -> Any:
        return place(*self._ends[at])


def same(one: Any, other: Any) -> bool:
    """Return whether two cells are equal; arrays are if their values are."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(one == other)


def _differing(cells: Sequence[Any]) -> NDArray[np.bool_]:
    return np.array([k == 0 or not same(cells[k - 1], cell) for k, cell in enumerate(cells)], np.bool_)

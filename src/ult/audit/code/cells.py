"""Cells of records of fields, read from guessed phrases as far as these spell any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record import RecordColumns
from ult.codecs.record.child import Given
from ult.codecs.record.column import FIRST_BIN, NOTHING
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Kind, Told
from ult.codecs.record.read import Reader
from ult.errors import CorruptSymbols

Cell = Any  # as in `ult.codecs.record.codec`


class Leaf(NamedTuple):
    """A field that has cells: field `field` of the record, or field `inner` of the rows in it (-1 outside rows)."""

    field: int
    inner: int


class Place(NamedTuple):
    """A cell of a record; `row` is the id at which its row begins, counted in the record, or -1 outside rows."""

    leaf: Leaf
    row: int


@dataclass(slots=True)
class Reading:
    """What was read of a record: the cells, the bins of numbers, the first id of each row, and the ids of each cell.

    `whole` says that every id of the record has a phrase, so that a cell that is not there was left out.
    """

    whole: bool
    cells: dict[Place, Cell] = field(default_factory=dict)
    bins: dict[Place, int] = field(default_factory=dict)
    rows: dict[int, list[int]] = field(default_factory=dict)  # of each field of rows
    spans: dict[Place, tuple[NDArray[np.int64], NDArray[np.int64]]] = field(
        default_factory=dict
    )  # ids, symbols in each


class Form:
    """Reads cells by the fields of a codec."""

    def __init__(self, codec: RecordColumns) -> None:
        self.fields, self.kinds, self.first = codec.fields, codec.kinds, codec.first_marker
        self.reader = Reader(codec.fields, codec.kinds, codec.first_marker)
        self.leaves = [leaf for k, one in enumerate(codec.fields) for leaf in _leaves(k, one)]
        self.config = codec.config()

    def of(self, leaf: Leaf) -> Field:
        """Return the field of a leaf."""
        one = self.fields[leaf.field]
        return one if leaf.inner < 0 else one.fields[leaf.inner]

    def name(self, leaf: Leaf) -> tuple[str, str]:
        """Return the names of the field of rows ("" outside rows) and of the leaf."""
        return ("" if leaf.inner < 0 else self.fields[leaf.field].name, self.of(leaf).name)

    def read(self, phrases: Sequence[bytes | None]) -> Reading:
        """Return what the phrases (uint32 symbols as bytes) of a record's ids spell; None is an id without a guess."""
        found = Reading(None not in phrases)
        symbols = np.frombuffer(b"".join(phrase or b"" for phrase in phrases), np.uint32)
        owners = np.repeat(np.arange(len(phrases)), [len(phrase or b"") // 4 for phrase in phrases])
        marks = np.flatnonzero((symbols >= self.first) & (symbols < self.first + len(self.kinds)))
        told, last, before = Told(), -1, dict[int, list[Cell]]()
        for mark, stop in zip(marks.tolist(), [*marks[1:].tolist(), len(symbols)], strict=False):
            number = int(symbols[mark]) - self.first
            kind, (k, j) = self.kinds[number], self.reader.top[number]
            if kind.field.kind == "rows":
                found.rows.setdefault(k, []).append(int(owners[mark]))
                before[k] = self.reader.row_after(k, before.get(k))
                for inner, cell in enumerate(before[k]):
                    found.cells[Place(Leaf(k, inner), int(owners[mark]))] = cell
            elif j is None or k in found.rows:
                place = Place(Leaf(k, -1 if j is None else j), -1 if j is None else found.rows[k][-1])
                found.spans[place] = _counted(owners[mark:stop])
                body = symbols[mark + 1 : stop]
                if kind.field.kind == "number" and len(body) and body[0] >= FIRST_BIN:
                    found.bins[place] = int(body[0]) - FIRST_BIN
                try:
                    cell = _cell(kind, body, told, self.first)
                except CorruptSymbols:
                    continue
                if kind.field.kind == "list" and last == number and isinstance(found.cells.get(place), str) and cell:
                    cell = found.cells[place] + kind.field.separator + cell
                found.cells[place] = cell
                if j is not None:
                    before[k][j] = cell
                told = _dated(kind, cell, told)
            last = number
        return found


def _counted(owners: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different ids of a cell's symbols, (n,), and how many symbols each has; mostly it is one id."""
    if owners[0] == owners[-1]:
        return owners[:1], np.array([len(owners)])
    return np.unique(owners, return_counts=True)


def _leaves(k: int, one: Field) -> list[Leaf]:
    return [Leaf(k, j) for j in range(len(one.fields))] or [Leaf(k, -1)]


def _cell(kind: Kind, body: NDArray[np.uint32], told: Told, first: int) -> Cell:
    """Return the cell of the symbols after a marker; raise `CorruptSymbols` if they spell none."""
    head = int(body[0]) if len(body) and 255 < body[0] < first else NOTHING
    rest = body[head != NOTHING :]
    if not kind.more and len(rest) and int(rest.max()) > 255:
        raise CorruptSymbols("a cell has symbols of another kind")
    cell = kind.read(head, rest.astype(np.uint8).tobytes(), rest, told)
    return cell.cell if isinstance(cell, Given) else cell


def _dated(kind: Kind, cell: Cell, told: Told) -> Told:
    """Return what is told to the cells after this one: the last date."""
    day = kind.day_of(cell) if cell is not None else None
    return told if day is None else Told(None, day)

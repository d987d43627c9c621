"""Records from symbols: cells by their markers. Whether the symbols are those of the record is checked afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ult.codecs.patches import Ends, Symbols
from ult.codecs.record.column import NOTHING
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Kind, Told
from ult.errors import CorruptSymbols


class Reader:
    """Reads records of `fields`; `kinds` are those of the markers from `first` on."""

    def __init__(self, fields: Sequence[Field], kinds: Sequence[Kind], first: int) -> None:
        self.kinds, self.first = kinds, first
        self.top = [*tops(fields)]
        self._blank = [() if one.kind == "rows" else one.absent for one in fields]
        self._carried = {k: [inner.carried for inner in one.fields] for k, one in enumerate(fields) if one.fields}
        self._blank_rows = {k: [inner.absent for inner in one.fields] for k, one in enumerate(fields) if one.fields}

    def row_after(self, k: int, row: Sequence[Any] | None) -> list[Any]:
        """Return a row of field `k` of which nothing was read: carried cells are those of the row before, if any."""
        blank = self._blank_rows[k]
        if row is None:
            return list(blank)
        return [row[j] if carried else blank[j] for j, carried in enumerate(self._carried[k])]

    def records(self, symbols: Symbols, ends: Ends) -> list[Any]:
        """Return the records whose symbols end at `ends`; raise `CorruptSymbols` where there are no cells."""
        after = self.first + len(self.kinds)
        marks = np.flatnonzero((symbols >= self.first) & (symbols < after))
        places = (symbols[marks] - self.first).tolist()
        bounds = np.searchsorted(marks, ends).tolist()
        stops = np.append(marks[1:], len(symbols))
        data = symbols.astype(np.uint8).tobytes()
        first_symbols = symbols[np.minimum(marks + 1, max(len(symbols) - 1, 0))].tolist() if len(marks) else []
        starts, begun, found = marks.tolist(), 0, []
        limits = stops.tolist()
        for record, (mark, end) in enumerate(zip(bounds, ends.tolist(), strict=True)):
            begin = int(ends[record - 1]) if record else 0
            if end > begin and (begun == mark or starts[begun] != begin):
                raise CorruptSymbols("a record begins with a symbol that is no marker")
            cells = _Cells(self, list(self._blank))
            for k in range(begun, mark):
                stop = min(limits[k], end)
                at = starts[k] + 1
                head = first_symbols[k] if at < stop and first_symbols[k] > 255 else NOTHING
                cells.add(places[k], head, data[at + (head != NOTHING) : stop], symbols[at:stop])
            found.append(cells.record())
            begun = mark
        return found


def tops(fields: Sequence[Field]) -> Iterator[tuple[int, int | None]]:
    """Yield of each marker the number of the field of the record, and that of the field of its row, if it is of one."""
    for k, one in enumerate(fields):
        yield k, None
        yield from ((k, j) for j in range(len(one.fields)))


class _Cells:
    """One record that is being read."""

    def __init__(self, reader: Reader, cells: list[Any]) -> None:
        self.reader, self.cells, self.told = reader, cells, Told()
        self.rows: dict[int, list[list[Any]]] = {}
        self._last = -1

    def add(self, place: int, head: int, body: bytes, symbols: Symbols) -> None:
        """Add the cell of a marker."""
        kind = self.reader.kinds[place]
        k, j = self.reader.top[place]
        if kind.more:
            cell = kind.read(
                head if head < self.reader.first else NOTHING, body, self._own(kind, head, symbols), self.told
            )
        else:
            cell = kind.read(head, body, symbols, self.told)
        if kind.field.kind == "rows":
            rows = self.rows.setdefault(k, [])
            if cell:
                rows.append(self.reader.row_after(k, rows[-1] if rows else None))
        elif j is None:
            self.cells[k] = self._joined(kind, self.cells[k], cell, place)
        elif self.rows.get(k):
            row = self.rows[k][-1]
            row[j] = self._joined(kind, row[j], cell, place)
        else:
            raise CorruptSymbols("a field of a row stands outside a row")
        if cell is not None and (day := kind.day_of(cell)) is not None:
            self.told = Told(None, day)
        self._last = place

    @staticmethod
    def _own(kind: Kind, head: int, symbols: Symbols) -> Symbols:
        return symbols if head == NOTHING or head >= kind.marker else symbols[1:]

    def _joined(self, kind: Kind, before: Any, cell: Any, place: int) -> Any:
        """Return the cell, or for an item of a list what was read of the list and the item."""
        if kind.field.kind != "list" or self._last != place:
            return cell
        if before is None or cell is None:
            raise CorruptSymbols("null is an item of a list")
        return before + kind.field.separator + cell

    def record(self) -> tuple[Any, ...]:
        """Return the record."""
        for k, rows in self.rows.items():
            self.cells[k] = tuple(map(tuple, rows))
        return tuple(self.cells)

"""Records by column: what readers hand over, and what tuples of cells are turned into before they are encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.patches import Ends
from ult.codecs.record.field import Field
from ult.errors import InvalidRecord

Column = Any  # Cells, Nested, or a list of the cells of an image, a series or a molecule
_CELL = 8  # bytes that a cell counts beside its text
_OTHERS = ("image", "series", "molecule")  # kinds whose cells another codec encodes


class Nested(Sequence[tuple[tuple[Any, ...], ...]]):
    """The cells of a field of rows: the columns of all inner rows, and where the rows of each record end, (n,)."""

    __slots__ = ("columns", "ends")

    def __init__(self, columns: Sequence[Column], ends: Ends) -> None:
        self.columns, self.ends = tuple(columns), ends

    @classmethod
    def concatenate(cls, parts: Sequence[Nested]) -> Nested:
        """Return the cells of all parts, of which there is at least one, as one column."""
        bases = np.cumsum([0, *(part.total for part in parts[:-1])]).tolist()
        ends = [part.ends + base for part, base in zip(parts, bases, strict=True)]
        return cls([joined(each) for each in zip(*(part.columns for part in parts), strict=True)], np.concatenate(ends))

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many rows each record has, (n,)."""
        return np.diff(self.ends, prepend=0)

    @property
    def total(self) -> int:
        """How many rows there are."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[tuple[tuple[Any, ...], ...]]:
        rows = list(zip(*self.columns, strict=True)) if self.columns else [()] * self.total
        stops = self.ends.tolist()
        return (tuple(rows[start:stop]) for start, stop in zip([0, *stops], stops, strict=False))

    def __getitem__(self, at: Any) -> Any:
        first, last, _ = at.indices(len(self)) if isinstance(at, slice) else (at, at + 1, 1)
        begin = int(self.ends[first - 1]) if first else 0
        end = int(self.ends[last - 1]) if last > first else begin
        found = Nested([column[begin:end] for column in self.columns], self.ends[first : max(first, last)] - begin)
        return found if isinstance(at, slice) else next(iter(found))


class Columns(Sequence[tuple[Any, ...]]):
    """Records as one column for each field; as a sequence, they are tuples of cells.

    >>> fields = [Field(name="age", kind="number"), Field(name="sex", kind="category")]
    >>> records = Columns.of([("063", "f"), ("5", None)], fields)
    >>> records[1], len(records), records.columns[0].tolist()
    (('5', None), 2, ['063', '5'])
    """

    __slots__ = ("columns", "length")

    def __init__(self, columns: Sequence[Column], length: int) -> None:
        self.columns, self.length = tuple(columns), length

    @classmethod
    def of(cls, records: Sequence[Any], fields: Sequence[Field]) -> Columns:
        """Return records that are tuples of cells by column; raise `InvalidRecord` for one that is not."""
        if isinstance(records, Columns):
            return records
        for record in records:
            if type(record) is not tuple or len(record) != len(fields):
                met = f"{len(record)} cells" if type(record) is tuple else f"a {type(record).__name__}"
                raise InvalidRecord(f"record is {met}; expected a tuple of {len(fields)} cells")
        columns = _turned(records, len(fields))
        found = [_nested(one, k, columns[k]) if one.kind == "rows" else _column(one, columns[k], k)
                 for k, one in enumerate(fields)]  # fmt: skip
        return cls(found, len(records))

    @classmethod
    def concatenate(cls, parts: Sequence[Columns]) -> Columns:
        """Return the records of all parts, of which there is at least one."""
        columns = [joined(each) for each in zip(*(part.columns for part in parts), strict=True)]
        return cls(columns, sum(map(len, parts)))

    @property
    def nbytes(self) -> int:
        """The bytes of all texts and arrays."""
        return sum(map(_nbytes, self.columns))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """About how many bytes of memory each record takes, (n,)."""
        return sum(map(_sizes, self.columns), np.zeros(self.length, np.int64))

    def taken(self, which: NDArray[np.int64]) -> Columns:
        """Return the records with these numbers, none of which has rows."""
        found = [
            one.taken(which) if isinstance(one, Cells) else [one[i] for i in which.tolist()] for one in self.columns
        ]
        return Columns(found, len(which))

    def cut(self, most: int, nbytes: int) -> Iterator[Columns]:
        """Yield runs of at most `most` records; each ends with the record that brings it to `nbytes`."""
        ends, first = np.cumsum(self.sizes), 0
        while first < self.length:
            before = int(ends[first - 1]) if first else 0
            last = min(first + most, int(np.searchsorted(ends, before + nbytes)) + 1, self.length)
            yield self[first:last]
            first = last

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.columns, strict=True) if self.columns else iter([()] * self.length)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Columns([column[at] for column in self.columns], len(range(*at.indices(self.length))))
        at = range(self.length)[at]
        return tuple(column[at] for column in self.columns)


def joined(parts: Sequence[Column]) -> Column:
    """Return several columns of one field as one."""
    if isinstance(parts[0], Cells):
        return Cells.concatenate([Cells.of(part) for part in parts])
    return Nested.concatenate(parts) if isinstance(parts[0], Nested) else [cell for part in parts for cell in part]


def _turned(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _nested(one: Field, k: int, cells: Sequence[Any]) -> Nested:
    rows: list[tuple[Any, ...]] = []
    for cell in cells:
        if type(cell) is not tuple or any(type(row) is not tuple or len(row) != len(one.fields) for row in cell):
            expected = f"a tuple of rows of {len(one.fields)} cells"
            raise InvalidRecord(f"{one.name!r} is {type(cell).__name__}; expected {expected}", value=k)
        rows.extend(cell)
    ends = np.cumsum(np.fromiter(map(len, cells), np.int64, len(cells)))
    columns = _turned(rows, len(one.fields))
    return Nested([_column(inner, columns[j], k, one) for j, inner in enumerate(one.fields)], ends)


def _column(one: Field, cells: Sequence[Any], k: int, of: Field | None = None) -> Column:
    if one.kind in _OTHERS:
        return cells
    try:
        return Cells.of(cells)
    except InvalidRecord as error:
        inner = f" of {of.name!r}" if of is not None else ""
        raise InvalidRecord(f"{one.name!r}{inner}: {error.what}", hint=error.hint, value=k) from None


def _nbytes(column: Column) -> int:
    if isinstance(column, Cells):
        return len(column.data)
    if isinstance(column, Nested):
        return sum(map(_nbytes, column.columns))
    return sum(nbytes_of(cell) for cell in column)


def nbytes_of(cell: Any) -> int:
    """Return the bytes of a text in UTF-8, of an array, or of all cells of rows; 0 for null."""
    if isinstance(cell, str):
        return len(cell) if cell.isascii() else len(cell.encode("utf-8", "surrogatepass"))
    if isinstance(cell, np.ndarray):
        return int(cell.nbytes)
    if isinstance(cell, tuple):
        return sum(nbytes_of(inner) for row in cell if isinstance(row, tuple) for inner in row)
    return 0


def _sizes(column: Column) -> NDArray[np.int64]:
    if isinstance(column, Cells):
        return column.sizes + _CELL
    if isinstance(column, Nested):
        inner = sum(map(_sizes, column.columns), np.zeros(column.total, np.int64))
        return np.diff(np.append(0, np.cumsum(inner))[column.ends], prepend=0)
    return np.fromiter((_CELL + nbytes_of(cell) for cell in column), np.int64, len(column))

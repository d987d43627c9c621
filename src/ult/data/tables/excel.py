"""Read a sheet of a workbook of Excel, `.xlsx` or `.xlsm`, row by row.

A cell is the text of its value: a number with the fewest digits that give it again, a date or a time as ISO 8601 writes
it, TRUE or FALSE, an error such as #N/A as its text, and of a formula the value that Excel stored. How a cell looks
(5.00, 12 %, a colour) is not read. An empty cell is null. Rows that are hidden are read; cells that are merged into
another are empty.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.cells import written
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, existing, listed
from ult.errors import EmptySource, MissingSource, SourceError
from ult.host.extras import require

SUFFIXES = (".xlsx", ".xlsm")
_STRINGS, _MOST = "xl/sharedStrings.xml", 2**30  # the texts of all cells, which are held in memory; bytes
_BLOCK = 2**20
_SEEN = re.compile(rb"<mergeCell |<row [^>]*hidden=\"1\"|<f[ >/]")


class ExcelRows(Rows):
    """The columns of one sheet, named by its first row that is not empty."""

    texts = True

    def __init__(self, name: str, reading: Reading = AS_IT_IS) -> None:
        self.name, self._reading = existing(name), reading
        with self._opened(values=True) as (book, packed):
            self._sheet = self._chosen(book.sheetnames)
            sheet = book[self._sheet]
            counts = _counted(packed, sheet._worksheet_path)
            rows = _filled(sheet)
            number, first = next(rows, (0, ()))
            if not first:
                raise EmptySource(f"{name}, sheet {self._sheet!r} is empty; expected records")
            self._names = self._header(number, first)
            if reading.header and next(rows, None) is None:
                raise EmptySource(f"{name}, sheet {self._sheet!r} has names of columns and no rows; expected records")
        self._formulas = counts["f"] > 0
        self.types = dict.fromkeys(self._names, pa.string())
        self.told = [
            f"{self.name}: {count:,} {what}"
            for count, what in (
                (counts["m"], "merged ranges of cells: only the first cell of each has a value"),
                (counts["r"], "hidden rows, which are read like all others"),
            )
            if count
        ]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`; raise `SourceError`, with the cell, for one that cannot be read."""
        places = [self._names.index(name) for name in columns]
        pending: list[list[str | None]] = []
        numbers: list[int] = []
        size = 0
        for number, row in self._rows():
            cells = [self._text(row[place], number, place) if place < len(row) else None for place in places]
            pending.append(cells)
            numbers.append(number)
            size += sum(len(cell) for cell in cells if cell)
            if len(pending) == ROWS or size >= CHUNK_BYTES:
                yield self._chunk(columns, pending, numbers)
                pending, numbers, size = [], [], 0
        if pending:
            yield self._chunk(columns, pending, numbers)

    def _chunk(self, columns: Sequence[str], rows: list[list[str | None]], numbers: list[int]) -> Chunk:
        cells = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        return Chunk(f"{self.name}, sheet {self._sheet!r}", numbers[0], cells, len(rows), numbers=tuple(numbers))

    def _rows(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the rows of records with their numbers."""
        with self._opened(values=True) as (book, _):
            rows = _filled(book[self._sheet])
            if self._reading.header:
                next(rows, None)
            if not self._formulas:
                yield from (self._whole(number, row) for number, row in rows)
                return
            with self._opened(values=False) as (other, _):
                formulas = dict(_filled(other[self._sheet]))  # which a sheet of records has few of
                for number, row in rows:
                    for place, cell in enumerate(formulas.pop(number, ())):
                        if isinstance(cell, str) and cell.startswith("=") and (place >= len(row) or row[place] is None):
                            raise SourceError(
                                f"{self._place(number, place)} has a formula without a value",
                                hint="open the workbook in Excel or LibreOffice and save it, which stores the values",
                            )
                    yield self._whole(number, row)

    def _whole(self, number: int, row: Sequence[Any]) -> tuple[int, Sequence[Any]]:
        """Return the row; raise `SourceError` if it has a cell beyond the last column."""
        for place in range(len(self._names), len(row)):
            if row[place] is not None:
                raise SourceError(
                    f"{self._place(number, place)} is beyond the last of {len(self._names)} columns; expected none"
                )
        return number, row

    def _header(self, number: int, row: Sequence[Any]) -> list[str]:
        while row and row[-1] is None:
            row = row[:-1]
        if not self._reading.header:
            return [f"c{k}" for k in range(1, len(row) + 1)]
        names = [self._text(cell, number, place) for place, cell in enumerate(row)]
        if None in names:
            place = self._place(number, names.index(None))
            raise SourceError(
                f"{place} is empty; expected the name of the column", hint="--no-header, if it is a record"
            )
        if len(set(names)) != len(names):
            again = next(name for i, name in enumerate(names) if name in names[:i])
            raise SourceError(f"{self.name}, sheet {self._sheet!r} names a column twice: {again!r}")
        return [name for name in names if name is not None]

    def _text(self, cell: Any, number: int, place: int) -> str | None:
        """Return the text of a value. Raises `SourceError`."""
        if cell is None or isinstance(cell, str):
            return cell
        if isinstance(cell, bool):
            return "TRUE" if cell else "FALSE"
        if isinstance(cell, int):
            return str(cell)
        if isinstance(cell, float):
            return written(pa.array([cell]))[0]
        if isinstance(cell, dt.datetime):
            return written(pa.array([cell], pa.timestamp("us")))[0]
        if isinstance(cell, dt.date | dt.time):
            return cell.isoformat()
        if isinstance(cell, dt.timedelta):
            seconds, rest = divmod(cell, dt.timedelta(seconds=1))
            fraction = f".{rest.microseconds:06d}".rstrip("0") if rest else ""
            return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"
        met = type(cell).__name__
        raise SourceError(f"{self._place(number, place)} is a value of type {met}; expected a text, a number or a date")

    def _place(self, number: int, place: int) -> str:
        letters, rest = "", place + 1
        while rest:
            rest, letter = divmod(rest - 1, 26)
            letters = chr(65 + letter) + letters
        return f"{self.name}, sheet {self._sheet!r}, cell {letters}{number}"

    def _chosen(self, sheets: list[str]) -> str:
        asked = self._reading.sheet
        if asked is not None and asked not in sheets:
            raise MissingSource(f"{self.name} has no sheet {asked!r}; it has {listed(sheets)}")
        if asked is None and len(sheets) != 1:
            raise SourceError(
                f"{self.name} has {len(sheets)} sheets: {listed(sheets)}; expected to be told which",
                hint="--sheet NAME",
            )
        return asked or sheets[0]

    @contextmanager
    def _opened(self, *, values: bool) -> Iterator[tuple[Any, zipfile.ZipFile]]:
        """Give the workbook, with the `values` of formulas or the formulas, and the zip file that it is."""
        with require("openpyxl", extra="excel"):
            import openpyxl
        try:
            with files.open_file(self.name) as file, zipfile.ZipFile(file) as packed:
                size = max([one.file_size for one in packed.infolist() if one.filename == _STRINGS], default=0)
                if size > _MOST:
                    raise SourceError(
                        f"{self.name} holds over {_MOST >> 20:,} MiB of texts; expected a .csv or .parquet"
                    )
                book = openpyxl.load_workbook(file, read_only=True, data_only=values, keep_links=False)
                try:
                    yield book, packed
                finally:
                    book.close()
        except (SourceError, MemoryError):
            raise
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror or 'it is damaged'}") from error
        except (
            Exception
        ) as error:  # a damaged workbook makes zipfile, the reader of XML and openpyxl raise dozens of types
            raise SourceError(
                f"{self.name} is not a workbook of Excel, or it is damaged or protected by a password"
            ) from error


def _filled(sheet: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    """Yield the rows that have a cell with a value, with their numbers, from 1."""
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None for cell in row):
            yield number, row


def _counted(packed: zipfile.ZipFile, path: str) -> dict[str, int]:
    """Return how many merged ranges ("m"), hidden rows ("r") and formulas ("f") the XML of a sheet has."""
    counts = {"m": 0, "r": 0, "f": 0}
    rest = b""
    with packed.open(path) as file:
        while block := file.read(_BLOCK):
            data = rest + block
            cut = data.rfind(b"<") if len(data) < 4 * _BLOCK else len(data)
            for found in _SEEN.findall(data[:cut]):
                counts[found[1:2].decode()] += 1
            rest = data[cut:]
    return counts

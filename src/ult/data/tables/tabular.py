"""Read and write files of named columns: `.csv` and `.tsv` as in RFC 4180, where every cell is text, and `.parquet`."""

from __future__ import annotations

import copy
import csv
import io
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from ult.data import files, oversize
from ult.data.cells import has_text
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import BLOCK_ROWS, CHUNK_BYTES, ROWS, Chunk, Rows, changed, encoding_of, existing, listed, not_utf8
from ult.data.tables.csv_part import Part, Reader
from ult.data.tables.delimited import Scan
from ult.data.tables.row_ends import starts
from ult.data.text import encoded
from ult.errors import EmptySource, OutputError, SourceError
from ult.host.shown import size

_MARKS = ";\t|,"  # separators
_CELL = 64  # bytes that a short cell takes in memory
_STREAMED = {"pre_buffer": False, "buffer_size": files.BLOCK}  # pyarrow 26 by default keeps all it read until the end


class CsvRows(Rows):
    """The columns named by the header. Errors count the lines of the file, header included, as editors do.

    Every cell is text as it stands between two separators, blanks included; one in quotes may hold separators, line
    breaks and doubled quotes. Without a header, the columns are c1, c2 and so on.
    """

    texts = True
    start, stop, before = 0, sys.maxsize, 0  # bytes of the file that are read, and the rows before them

    def __init__(self, name: str, reading: Reading = AS_IT_IS) -> None:
        self.name, self.reading = name, reading
        self._mark = reading.mark(files.suffix(name))
        self._encoding = encoding_of(name, reading.encoding)
        if files.suffix(name) == ".data" and reading.header:
            raise SourceError(
                f"{name} is a .data file, of which the first line mostly is a record",
                hint=f"--no-header; if line 1 names the columns: cp {shlex.quote(name)} new.csv",
            )
        with self._opened(None) as (reader, _):
            first = self._first(reader)
            header = first if reading.header else [f"c{k}" for k in range(1, len(first) + 1)]
            self._check_header(header)
            self.types = dict.fromkeys(header, pa.string())
            if reading.header and not any(self._is_row(row, reader) for row in reader):
                raise EmptySource(f"{name} has a header and no rows; expected records")
        self.splits = self._plain and not files.is_url(name)  # which would be fetched twice

    @property
    def _plain(self) -> bool:
        """Whether what ends cells and rows is one byte of UTF-8 each."""
        return self._encoding.startswith("utf-8") and self._mark.isascii()

    @property
    def _begins(self) -> bool:
        """Whether this part begins with a header."""
        return self.reading.header and not self.start

    def split(self, nbytes: int) -> Iterator[Self]:
        """Yield parts of whole rows, each at least `nbytes` except for the last; see `ult.data.tables.row_ends`."""
        end, unread = files.size(self.name), self._unread()
        with self._errors(None), files.open_file(self.name) as file:
            for (start, before), (stop, _) in pairwise(chain(starts(file, self._mark, nbytes), [(end, 0)])):
                part = copy.copy(self)
                part.start, part.stop, part.nbytes = start, stop, stop - start
                part.before = before - unread if start else 0
                yield part

    def _unread(self) -> int:
        """Return how many of the first rows are no records: the header, and a line that Excel wrote for itself."""
        if not self.reading.header:
            return 0
        with self._opened(None) as (reader, _):
            row = next(row for row in reader if row)
            return 2 if self._is_excels(row, reader) else 1

    def blocks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns` as `Cells`, as far as `Scan` finds them; then those of `chunks`."""
        places, scan, count = {name: place for place, name in enumerate(self.types)}, None, self.before
        head = self._begins
        if len(places) > 1 and columns and self._plain:
            with self._errors(None), Part(self.name, self.start, self.stop) as file:
                scan = Scan(file, self._mark, len(places), oversize.LONGEST, begins=not self.start)
                for found in scan.rows([places[name] for name in columns], BLOCK_ROWS):
                    if head and [cells[0] for cells in found.columns] != list(columns):
                        scan = None  # a line before the header
                        break
                    cells = {name: one[int(head) :] for name, one in zip(columns, found.columns, strict=True)}
                    if length := found.rows - head:
                        yield Chunk(self.name, count + 1, cells, length)
                    count, head = count + length, False
                if scan is not None and scan.long >= 0:
                    place = Chunk(self.name, count + 1, {}, 1).place(0)
                    raise oversize.refusal(place, list(places)[scan.long], f"over {size(oversize.LONGEST)}")
        if scan is None or not scan.whole:
            yield from self._listed(columns, scan, count, head=head if scan else self._begins)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`; raise `SourceError` for a row that is not as long as the header."""
        return self._listed(columns, None, self.before, head=self._begins)

    def _listed(self, columns: Sequence[str], scan: Scan | None, count: int, *, head: bool) -> Iterator[Chunk]:
        """Yield the rows after those that a scan found, before which there are `count`, as lists of cells.

        `head` says that the header is yet to be read.
        """
        places = {name: place for place, name in enumerate(self.types)}
        cells = [itemgetter(places[name]) for name in columns]
        most = max(1, min(ROWS, CHUNK_BYTES // (_CELL * len(places))))
        with self._opened(scan) as (reader, read):
            if head:
                self._first(reader)
            width, stop, rows = len(places), read.nbytes + CHUNK_BYTES, []
            for row in reader:
                if len(row) == width or self._is_row(row, reader):
                    rows.append(row)
                    if len(rows) == most or read.nbytes >= stop:
                        yield self._chunk(columns, count + 1, rows, cells)
                        stop, count, rows = read.nbytes + CHUNK_BYTES, count + len(rows), []
            if rows:
                yield self._chunk(columns, count + 1, rows, cells)

    def _chunk(self, columns: Sequence[str], first: int, rows: list[list[str]], cells: Sequence[Any]) -> Chunk:
        found = {name: list(map(cell, rows)) for name, cell in zip(columns, cells, strict=True)}
        return Chunk(self.name, first, found, len(rows))

    def _first(self, reader: Any) -> list[str]:
        """Return the first row; empty lines before it, and a line `sep=;` that Excel wrote for itself, are none."""
        for row in reader:
            if row and not self._is_excels(row, reader):
                return list(row)
        raise SourceError(f"{self.name} has no header; expected the names of the columns")

    def _is_excels(self, row: list[str], reader: Any) -> bool:
        return bool(self.reading.separator) and row == ["sep=", ""] and reader.line_num == 1

    def _is_row(self, row: list[str], reader: Any) -> bool:
        """Return whether a line has cells; raise `SourceError` if they are not as many as there are columns."""
        width = len(self.types)
        if len(row) != width and (row or width == 1):  # in a file of one column an empty line may be an empty cell
            first = "in the header" if self.reading.header else "in the first row"
            place = f"{self.name}, line {reader.line_num}"
            held = f"{len(row)} cell{'s' if len(row) != 1 else ''}"
            raise SourceError(f"{place} has {held}; expected {width} as {first}", hint=self._ragged(reader.line_num))
        return bool(row)

    def _ragged(self, line: int) -> str:
        """Return a hint on a row that is too long or too short."""
        shown = f"sed -n {line}p {shlex.quote(self.name)} shows it; " if not files.is_url(self.name) else ""
        return f"{shown}a cell that holds {_called(self._mark)} stands in quotes, and an empty one between two"

    def _check_header(self, header: list[str]) -> None:
        """Raise `SourceError` if two names are equal, or another mark separates them."""
        asked = self.reading.separator
        others = [mark for mark in _MARKS if mark != self._mark and (mark != "," or asked)]
        if len(header) == 1 and self.reading.header and (other := next((m for m in others if m in header[0]), "")):
            raise SourceError(
                f"{self.name} has one column, whose name holds {other!r}: its cells are separated by that, "
                f"not by {_called(self._mark)}",
                hint=f"--separator {_typed(other)}",
            )
        if len(set(header)) != len(header):
            again = Counter(header).most_common(1)[0][0]
            places = [str(place) for place, name in enumerate(header, 1) if name == again][:2]
            raise SourceError(
                f"{self.name} names a column twice in its header: {again!r} is column {' and '.join(places)}",
                hint="names that differ; if line 1 is a record, --no-header",
            )

    @contextmanager
    def _opened(self, scan: Scan | None) -> Iterator[tuple[Reader, Part]]:
        """Give a reader of the rows after those of a scan, and the file, which tells how many bytes were read."""
        csv.field_size_limit(2**31 - 1)  # for the whole process; the default refuses cells over 128 KiB
        reader = Reader(self.name, self.start, scan.lines if scan else 0)
        with self._errors(reader):
            counted = Part(self.name, self.start + (scan.at if scan else 0), self.stop)
            encoding = "utf-8" if counted.start else self._encoding  # a byte order mark stands only at the start
            with io.TextIOWrapper(counted, encoding, newline="") as file:  # type: ignore[type-var]
                reader.rows = csv.reader(file, delimiter=self._mark, strict=True)
                yield reader, counted

    @contextmanager
    def _errors(self, reader: Reader | None) -> Iterator[None]:
        """Raise `SourceError` for what goes wrong in the `with` block."""
        try:
            yield
        except UnicodeError:
            line = self._undecodable() or f"near line {reader.line_num + 1 if reader else 1},"
            raise not_utf8(self.name, f"{self.name}, {line}", self._encoding) from None
        except csv.Error as error:
            ends = "expected after" in str(error)
            hint = "--separator ';', if that separates its cells" if ends and self.reading.separator is None else ""
            line = f"line {reader.line_num if reader else 1}"
            raise SourceError(f"{self.name}, {line} is not CSV: {error}", hint=hint) from error
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror}") from error

    def _undecodable(self) -> str:
        """Return the line that is not in the encoding, or the empty string if its lines do not end with one byte."""
        if self._encoding.startswith("utf-") and "8" not in self._encoding:
            return ""
        with files.open_file(self.name) as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(self._encoding)
                except UnicodeError:
                    return f"line {number}"
        return ""


def _called(mark: str) -> str:
    return {",": "commas", "\t": "tabs"}.get(mark, repr(mark))


def _typed(mark: str) -> str:
    return "tab" if mark == "\t" else shlex.quote(mark)


class ParquetRows(Rows):
    """The columns of a Parquet file."""

    def __init__(self, name: str) -> None:
        self.name = existing(name)
        try:
            with files.open_arrow(name) as opened, pq.ParquetFile(opened, **_STREAMED) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
                groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        except SourceError:
            raise
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # UnicodeDecodeError: by column names
            raise SourceError(f"{name} is not a Parquet file, or it is cut short") from error
        if not rows:
            raise EmptySource(f"{name} has no rows; expected records")
        if len(set(schema.names)) != len(schema.names):
            raise SourceError(f"{name} names a column twice: {listed(schema.names)}")
        self.types = {field.name: field.type for field in schema}
        row_bytes = max(group.total_byte_size // max(group.num_rows, 1) for group in groups)
        self._rows, self._block = (max(1, min(most, CHUNK_BYTES // max(row_bytes, 1))) for most in (ROWS, BLOCK_ROWS))
        self._groups = [(group.num_rows, group.total_byte_size) for group in groups]
        self._first, self._last = 0, len(groups)  # groups
        self._schema = schema
        self.splits = max(size for _, size in self._groups) <= 4 * CHUNK_BYTES

    def split(self, nbytes: int) -> Iterator[Rows]:
        """Yield parts of whole row groups."""
        first = size = 0
        for last, (_, more) in enumerate(self._groups, 1):
            size += more
            if size >= nbytes or last == len(self._groups):
                part = copy.copy(self)
                part._first, part._last, part.nbytes = first, last, size
                yield part
                first, size = last, 0

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the values of `columns`; raise `SourceError` if the file is damaged or changed."""
        return self._read(columns, self._rows)

    def blocks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the values as `chunks` does, of more rows together if all are texts or numbers."""
        small = all(has_text(self.types[name]) for name in columns)
        return self._read(columns, self._block if small else self._rows)

    def _read(self, columns: Sequence[str], most: int) -> Iterator[Chunk]:
        first = 1 + sum(rows for rows, _ in self._groups[: self._first])
        groups = range(self._first, self._last)
        try:
            with files.open_arrow(self.name) as opened, pq.ParquetFile(opened, **_STREAMED) as file:
                if file.schema_arrow != self._schema or file.num_row_groups != len(self._groups):
                    raise changed(self.name)
                for batch in file.iter_batches(most, row_groups=groups, columns=list(columns)):
                    table = pa.Table.from_batches([batch])
                    yield Chunk(self.name, first, dict(zip(table.column_names, table.columns, strict=True)), len(table))
                    first += len(table)
        except SourceError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self.name} is damaged after row {first - 1}") from error
        if first - 1 != sum(rows for rows, _ in self._groups[: self._last]):
            raise changed(self.name, f"it holds {first - 1} rows up to there")


class CsvWriter:
    """Writes a header and rows: the kept columns, then the record's columns. `mark` separates the cells."""

    def __init__(self, path: Path, columns: Sequence[str], mark: str = ",") -> None:
        self._file, self._mark = path.open("xb"), mark
        self._quoted = re.compile(f'[{re.escape(mark)}"\r\n]')
        self._row(columns)

    def write(self, records: pa.Table | Sequence[str], kept: pa.Table) -> None:
        """Write rows; `records` are strings, or an Arrow table of numbers. Raises `OutputError`."""
        cells = [records] if not isinstance(records, pa.Table) else [c.to_pylist() for c in records.columns]
        for row in zip(*(column.to_pylist() for column in kept.columns), *cells, strict=True):
            self._row(row)

    def _row(self, cells: Sequence[Any]) -> None:
        line = self._mark.join(map(self._cell, cells)) or '""'  # because an empty line would not be read as a row
        self._file.write(line.encode() + b"\n")

    def _cell(self, value: Any) -> str:
        """Return a cell: text in quotes if it needs them or is empty; NaN as an empty cell. Raises `OutputError`."""
        if value is None:
            raise OutputError("a kept column holds null, which .csv cannot represent", hint=".jsonl or .parquet")
        if not isinstance(value, str):
            return "" if value != value else str(value)
        encoded(value, ".csv")
        return '"' + value.replace('"', '""') + '"' if not value or self._quoted.search(value) else value

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """Writes row groups of about `CHUNK_BYTES`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = pa.OSFile(os.fsencode(path), "wb")  # bytes, because Arrow would encode a `str` as UTF-8
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._schema = schema
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0

    def write(self, records: pa.Table, kept: pa.Table) -> None:
        """Write rows: those of `kept`, each followed by the same row of `records`."""
        self._pending.append(pa.table([*kept.columns, *records.columns], schema=self._schema))
        self._pending_bytes += self._pending[-1].nbytes
        if self._pending_bytes >= CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending))
        self._pending, self._pending_bytes = [], 0

    def close(self, *, whole: bool) -> None:
        """Close the file; if `whole`, write the pending rows first."""
        if whole:
            self._flush()
        self._writer.close()
        self._file.close()

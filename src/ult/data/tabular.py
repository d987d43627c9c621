"""Read and write files of named columns: `.csv` as in RFC 4180, where every cell is a string, and `.parquet`."""

from __future__ import annotations

import copy
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ult.data import files
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, changed, existing, existing_text, listed, not_utf8
from ult.data.text import encoded
from ult.errors import EmptySource, OutputError, SourceError

_QUOTED = re.compile('[,"\r\n]')
_OTHERS = ";\t|"  # separators other than the comma
_STREAMED = {"pre_buffer": False, "buffer_size": files.BLOCK}  # pyarrow 26 by default keeps all it read until the end


class CsvRows(Rows):
    """The columns named by the header. Errors count the lines of the file, header included, as editors do."""

    def __init__(self, name: str) -> None:
        self.name = existing_text(name)
        read = self._read()
        _, header = next(read, (0, []))
        if not header:
            raise SourceError(f"{name} has no header; expected the names of the columns")
        if len(set(header)) != len(header):
            again = next(one for one in header if header.count(one) > 1)
            raise SourceError(
                f"{name} names a column twice in its header: {again!r}",
                hint="names that differ; if line 1 is a record, a line of names before it",
            )
        if len(header) == 1 and (other := next((mark for mark in _OTHERS if mark in header[0]), "")):
            raise SourceError(
                f"{name} has one column, whose name holds {other!r}: its cells are separated by that, not by commas",
                hint=f"pandas.read_csv({name!r}, sep={other!r}).to_csv('new.csv', index=False), in Python",
            )
        self.types = {name: pa.string() for name in header}
        if next(read, None) is None:
            raise EmptySource(f"{name} has a header and no rows; expected records")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`; raise `SourceError` for a row that is not as long as the header."""
        read = self._read()
        _, header = next(read)
        places = [header.index(name) for name in columns]
        first, rows, size = 1, [], 0
        for _, row in read:
            cells = [row[place] for place in places]
            rows.append(cells)
            size += sum(map(len, cells))
            if len(rows) == ROWS or size >= CHUNK_BYTES:
                yield self._chunk(columns, first, rows)
                first, rows, size = first + len(rows), [], 0
        if rows:
            yield self._chunk(columns, first, rows)

    def _chunk(self, columns: Sequence[str], first: int, rows: list[list[str]]) -> Chunk:
        cells = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        return Chunk(self.name, first, cells, len(rows))

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row with the number of the line on which it ends."""
        csv.field_size_limit(2**31 - 1)  # for the whole process; the default refuses cells over 128 KiB
        width = None
        try:
            with io.TextIOWrapper(files.open_file(self.name), "utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                for row in reader:
                    if not row and width != 1:  # an empty line is no row, but in a file of one column an empty cell
                        continue
                    width = len(row) if width is None else width
                    if len(row) != width or not row:
                        line = f"{self.name}, line {reader.line_num}"
                        raise SourceError(f"{line} has {len(row)} cells; expected {width} as in the header")
                    yield reader.line_num, row
        except UnicodeDecodeError:
            raise not_utf8(self.name, f"{self.name}, near line {reader.line_num + 1},") from None
        except csv.Error as error:
            other = (
                f"pandas.read_csv({self.name!r}, sep=';').to_csv('new.csv', index=False), if ';' separates its cells"
            )
            hint = other if "expected after" in str(error) else ""
            raise SourceError(f"{self.name}, line {reader.line_num} is not CSV: {error}", hint=hint) from error
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error.strerror}") from error


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
        self._rows = max(1, min(ROWS, CHUNK_BYTES // max(row_bytes, 1)))
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
        first = 1 + sum(rows for rows, _ in self._groups[: self._first])
        groups = range(self._first, self._last)
        try:
            with files.open_arrow(self.name) as opened, pq.ParquetFile(opened, **_STREAMED) as file:
                if file.schema_arrow != self._schema or file.num_row_groups != len(self._groups):
                    raise changed(self.name)
                for batch in file.iter_batches(self._rows, row_groups=groups, columns=list(columns)):
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
    """Writes a header and rows: the kept columns, then the record's columns."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file = path.open("xb")
        self._row(columns)

    def write(self, records: pa.Table | Sequence[str], kept: pa.Table) -> None:
        """Write rows; `records` are strings, or an Arrow table of numbers. Raises `OutputError`."""
        cells = [records] if not isinstance(records, pa.Table) else [c.to_pylist() for c in records.columns]
        for row in zip(*(column.to_pylist() for column in kept.columns), *cells, strict=True):
            self._row(row)

    def _row(self, cells: Sequence[Any]) -> None:
        line = ",".join(map(_cell, cells)) or '""'  # because an empty line would not be read as a row
        self._file.write(line.encode() + b"\n")

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


def _cell(value: Any) -> str:
    """Return a cell: text in quotes if it needs them or is empty; NaN as an empty cell. Raises `OutputError`."""
    if value is None:
        raise OutputError("a kept column holds null, which .csv cannot represent", hint=".jsonl or .parquet")
    if not isinstance(value, str):
        return "" if value != value else str(value)
    encoded(value, ".csv")
    return '"' + value.replace('"', '""') + '"' if not value or _QUOTED.search(value) else value


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

"""Write records of fields as the tables that they came from: a line for each record, or for each row of a unit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from ult.codecs.record.field import Field
from ult.data import cells, record
from ult.data.columns.schema import Schema
from ult.data.composed import beside
from ult.data.images.image import packed
from ult.data.sink import FOLDER, Sink
from ult.data.tables.tabular import ParquetWriter
from ult.data.text import encoded, json_line
from ult.errors import OutputError, writing
from ult.host.free import FILE, check_free

SUFFIXES = (".csv", ".jsonl", ".parquet")
_QUOTED = re.compile('[,"\r\n]')
Columns = Mapping[str, Sequence[Any]]  # the cells of each column, as a record holds them


class RecordSink(Sink):
    """Writes records of the fields of `schema`; each of the columns comes back with its name, place and type.

    The unit of a record, if it is not encoded, is written as the number of the record, from 1. A record without rows is
    a line in which their cells are null.
    """

    def __init__(self, path: Path, schema: Schema, kept_schema: pa.Schema, *, force: bool) -> None:
        super().__init__(path, modality="record", column="", fields=(), kept_schema=kept_schema, force=force)
        self.schema, self._leaves = schema, {one.name: one for one in schema.leaves}
        self._numbered = [schema.unit] if schema.unit and schema.unit not in (*kept_schema.names, *self._leaves) else []
        self._names = [*self._numbered, *schema.columns]
        self._kind = beside.FOLDER if self._suffix == FOLDER else self._kind

    def write(self, records: Sequence[Any], kept: pa.Table | None = None) -> None:
        """Write records, with one row of `kept` each; raise `OutputError` for what the format cannot hold."""
        rows = self.kept_schema.empty_table() if kept is None else kept.select(self.kept_schema.names)
        if self.kept_schema.names and len(rows) != len(records):
            raise OutputError(f"{len(records)} records came with {len(rows)} rows of kept columns; expected as many")
        columns, of = self._columns(records)
        self._count += len(records)
        with writing(self.path):
            self._writer.write(columns, rows.take(of) if self.kept_schema.names else rows)

    def _columns(self, records: Sequence[Any]) -> tuple[Columns, Any]:
        """Return the cells of all columns, a line each, and the number of the record of each line."""
        grouped = [k for k, one in enumerate(self.schema.fields) if one.fields]
        if not grouped:
            cells_of = dict(zip(self._leaves, zip(*records, strict=True), strict=True)) if records else {}
            return {name: cells_of.get(name, ()) for name in self._names}, np.arange(len(records))
        (k,) = grouped
        none = ((None,) * len(self.schema.fields[k].fields),) * bool(
            len(self._names) > len(self.schema.fields[k].fields)
        )
        lines = [(i, row) for i, one in enumerate(records) for row in one[k] or none]
        found: dict[str, list[Any]] = {name: [] for name in self._names}
        for i, row in lines:
            for name, cell in zip((one.name for one in self.schema.fields[k].fields), row, strict=True):
                found[name].append(cell)
            for place, one in enumerate(self.schema.fields):
                if place != k:
                    found[one.name].append(records[i][place])
            for name in self._numbered:
                found[name].append(str(self._count + i + 1))
        return found, np.array([i for i, _ in lines], np.int64)

    def _open(self) -> Any:
        kinds = {name: kind_of_field(self._leaves.get(name)) for name in self._names}
        if self._suffix == ".parquet":
            return _Parquet(self._hidden, self.kept_schema, kinds)
        if self._suffix == FOLDER:
            return _Folder(self._hidden, self.kept_schema.names, kinds, arrays_in(self.schema.leaves))
        return (_Csv if self._suffix == ".csv" else _Jsonl)(self._hidden, self.kept_schema.names, kinds)


class _Csv:
    """Null is an empty cell, and an empty text is `""`."""

    def __init__(self, path: Path, kept: Sequence[str], kinds: Mapping[str, pa.DataType]) -> None:
        self._file = path.open("xb")
        self._row([*kept, *kinds])

    def write(self, columns: Columns, kept: pa.Table) -> None:
        """Write a line for each cell of the columns."""
        for row in zip(*(column.to_pylist() for column in kept.columns), *columns.values(), strict=True):
            self._row(row)

    def _row(self, row: Sequence[Any]) -> None:
        line = ",".join("" if cell is None else _quoted(str(cell)) for cell in row) or '""'
        self._file.write(line.encode() + b"\n")

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


class _Folder:
    """A table `records.csv` whose cells name the files of images and series beside it."""

    def __init__(self, path: Path, kept: Sequence[str], kinds: Mapping[str, pa.DataType], arrays: list[str]) -> None:
        path.mkdir()
        self._table, self._arrays = _Csv(path / beside.CSV, kept, kinds), arrays
        self._beside = beside.Beside(path, arrays)

    def write(self, columns: Columns, kept: pa.Table) -> None:
        """Write a line for each cell of the columns, and the files."""
        named = {name: self._beside.named(name, columns[name]) for name in self._arrays}
        self._table.write({**columns, **named}, kept)

    def close(self, *, whole: bool) -> None:
        """Close the table."""
        self._table.close(whole=whole)


def arrays_in(leaves: Sequence[Field]) -> list[str]:
    """Return the names of the fields that hold images or series."""
    return [one.name for one in leaves if one.kind in ("image", "series")]


def _quoted(cell: str) -> str:
    """Return a cell, in quotes if it needs them or is empty."""
    encoded(cell, ".csv")
    return '"' + cell.replace('"', '""') + '"' if not cell or _QUOTED.search(cell) else cell


class _Jsonl:
    """Numbers, truth values and lists are those of JSON if the column had them, everything else is text or null."""

    def __init__(self, path: Path, kept: Sequence[str], kinds: Mapping[str, pa.DataType]) -> None:
        self._file, self._kinds = path.open("xb"), kinds

    def write(self, columns: Columns, kept: pa.Table) -> None:
        """Write an object for each cell of the columns."""
        found = {name: column.to_pylist() for name, column in zip(kept.column_names, kept.columns, strict=True)}
        for name, texts in columns.items():
            kind = self._kinds[name]
            plain = pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind) or cells.is_texts(kind)
            found[name] = [_json_value(cell) if plain else listed_cell(cell) for cell in texts]
            if pat.is_floating(kind):  # a cell is the shortest text of its number, which is "0" of 0.0
                found[name] = [None if one is None else float(one) for one in found[name]]
        for row in zip(*found.values(), strict=True):
            self._file.write(json_line(dict(zip(found, row, strict=True))))

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


def _json_value(text: str | None) -> Any:
    """Return a number, a truth value or a list of JSON; raise `OutputError` for a text that is neither, such as nan."""
    wrong = OutputError("a column of numbers holds one that JSON has not, such as nan", hint=".parquet")
    try:
        value = None if text is None else json.loads(text)
    except ValueError:
        raise wrong from None
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong
    return value


class _Parquet:
    """Every column has the type that it came with."""

    def __init__(self, path: Path, kept: pa.Schema, kinds: Mapping[str, pa.DataType]) -> None:
        self._kinds = kinds
        self._writer = ParquetWriter(path, pa.schema([*kept, *kinds.items()]))

    def write(self, columns: Columns, kept: pa.Table) -> None:
        """Write the cells of the columns."""
        arrays = [_array(texts, self._kinds[name]) for name, texts in columns.items()]
        self._writer.write(pa.table(arrays, names=list(columns)), kept)

    def close(self, *, whole: bool) -> None:
        """Close the file; if `whole`, write the pending rows first."""
        self._writer.close(whole=whole)


def kind_of_field(field: Field | None) -> pa.DataType:
    """Return the type of a field's column; that of a unit that is not encoded is text."""
    if field is None:
        return pa.string()
    if field.kind == "image":
        return pa.binary()
    try:
        found = cells.kind_of(field.type)
    except ValueError:
        found = pa.string()
    if field.kind == "series":
        return found if record.is_series(found) else pa.list_(pa.float64())
    return found if cells.has_text(found) else pa.string()


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pat.is_binary(kind):
        return pa.array([None if one is None else packed(one)[0] for one in column], kind)
    if record.is_series(kind):
        return pa.array([None if one is None else np.asarray(one) for one in column]).cast(kind)
    return cells.typed(column, kind)


def listed_cell(cell: Any) -> Any:
    """Return a cell as JSON has it: an array is a list."""
    return cell.tolist() if isinstance(cell, np.ndarray) else cell


def open_record_sink(path: Path, schema: Schema, kept_schema: pa.Schema | None, *, force: bool = False) -> RecordSink:
    """Return a sink of records for `.csv`, `.jsonl` or `.parquet`. Raises `OutputExists` or `OutputError`."""
    kept, suffix = kept_schema if kept_schema is not None else pa.schema([]), path.suffix.lower()
    arrays = arrays_in(schema.leaves)
    if suffix not in SUFFIXES and (suffix or not arrays):
        raise OutputError(
            f"{path} is {suffix or 'a folder'}, which holds no records of fields", hint=", ".join(SUFFIXES)
        )
    if both := [name for name in kept.names if name in schema.columns]:
        raise OutputError(f"column {both[0]!r} would be there twice", hint="--keep other columns")
    images = [one.name for one in schema.leaves if one.kind == "image"]
    if held := {".csv": arrays, ".jsonl": images}.get(suffix, []):
        hint = f".parquet, or {path.with_suffix('')} for a folder of {beside.CSV} and the files that it names"
        raise OutputError(f"{suffix} cannot hold {held[0]!r}, which is not text", hint=hint)
    check_free(path, FILE if suffix else beside.FOLDER, force=force)
    return RecordSink(path, schema, kept, force=force)

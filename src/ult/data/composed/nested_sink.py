"""Write records whose rows come from several tables of data: an object for each record, with a list for each table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pat

from ult.codecs.record.field import Field
from ult.data import cells
from ult.data.columns.schema import Schema
from ult.data.composed import beside
from ult.data.composed.record_sink import arrays_in, kind_of_field, listed_cell
from ult.data.rows import listed
from ult.data.sink import FOLDER, Sink
from ult.data.text import json_line
from ult.errors import OutputError, writing
from ult.host.free import FILE, check_free


class NestedSink(Sink):
    """Writes a line of JSON for each record; the unit, if it is not encoded, is the number of the record, from 1."""

    def __init__(self, path: Path, schema: Schema, kept_schema: pa.Schema, *, force: bool) -> None:
        super().__init__(path, modality="record", column="", fields=(), kept_schema=kept_schema, force=force)
        self._fields = schema.fields
        taken = {*kept_schema.names, *(one.name for one in schema.fields)}
        self._numbered = schema.unit if schema.unit not in taken else ""
        self._kind = beside.FOLDER if self._suffix == FOLDER else self._kind
        self._beside: beside.Beside | None = None  # in a folder, what writes images and series

    def write(self, records: Sequence[Any], kept: pa.Table | None = None) -> None:
        """Write records, with one row of `kept` each; raise `OutputError` for what JSON cannot hold."""
        rows = self.kept_schema.empty_table() if kept is None else kept.select(self.kept_schema.names)
        if self.kept_schema.names and len(rows) != len(records):
            raise OutputError(f"{len(records)} records came with {len(rows)} rows of kept columns; expected as many")
        columns = {name: column.to_pylist() for name, column in zip(rows.column_names, rows.columns, strict=True)}
        if self._numbered:
            columns[self._numbered] = [str(self._count + k) for k in range(1, len(records) + 1)]
        for k, one in enumerate(self._fields):
            found = [record[k] for record in records]
            columns[one.name] = self._tables(one, found) if one.fields else self._cells(one, found, one.name)
        self._count += len(records)
        with writing(self.path):
            for row in zip(*columns.values(), strict=True):
                self._writer.write(dict(zip(columns, row, strict=True)), rows)

    def _open(self) -> Any:
        if self._suffix != FOLDER:
            return _Lines(self._hidden)
        self._hidden.mkdir()
        inner = [f"{one.name}.{name}" for one in self._fields for name in arrays_in(one.fields)]
        self._beside = beside.Beside(self._hidden, [*arrays_in(self._fields), *inner])
        return _Lines(self._hidden / beside.JSONL)

    def _tables(self, field: Field, found: Sequence[Any]) -> list[list[dict[str, Any]]]:
        """Return the rows of each record as objects."""
        every = [row for rows in found for row in rows]
        columns = {
            one.name: self._cells(one, [row[k] for row in every], f"{field.name}.{one.name}")
            for k, one in enumerate(field.fields)
        }
        objects = iter([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        return [[next(objects) for _ in rows] for rows in found]

    def _cells(self, field: Field, found: Sequence[Any], name: str) -> list[Any]:
        """Return the cells of a column as JSON has them; `name` is that of the column in all tables."""
        if self._beside is not None and field.kind in ("image", "series"):
            return self._beside.named(name, found)
        kind = kind_of_field(field)
        plain = pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind) or cells.is_texts(kind)
        return cells.typed(found, kind).to_pylist() if plain else [listed_cell(cell) for cell in found]


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def write(self, records: Any, kept: pa.Table) -> None:
        """Write one object."""
        self._file.write(json_line(records))

    def close(self, *, whole: bool) -> None:
        """Close the file."""
        self._file.close()


def open_nested_sink(path: Path, schema: Schema, kept_schema: pa.Schema | None, *, force: bool = False) -> NestedSink:
    """Return a sink of records of several tables of data. Raises `OutputExists` or `OutputError`."""
    kept = kept_schema if kept_schema is not None else pa.schema([])
    tables = [one.name for one in schema.fields if one.fields]
    arrays, images = arrays_in(schema.leaves), [one.name for one in schema.leaves if one.kind == "image"]
    folder = arrays and not path.suffix
    if path.suffix.lower() != ".jsonl" and not folder:
        raise OutputError(
            f"the records have rows of {len(tables)} tables of data: {listed(tables)}; expected "
            f"{'a folder' if images else '.jsonl'}, for all",
            hint=str(path.with_suffix("" if images else ".jsonl")),
        )
    if images and not folder:
        hint = f"{path.with_suffix('')}, for a folder of {beside.JSONL} and the files that it names"
        raise OutputError(f".jsonl cannot hold {images[0]!r}, which are images", hint=hint)
    if both := [name for name in kept.names if name in [one.name for one in schema.fields]]:
        raise OutputError(f"column {both[0]!r} would be there twice", hint="--keep other columns")
    check_free(path, beside.FOLDER if folder else FILE, force=force)
    return NestedSink(path, schema, kept, force=force)

"""Write decoded records to a file or folder, which appears whole or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from ult.codecs.cells import Cells
from ult.data import files, record
from ult.data.array import ENDS, NpzWriter
from ult.data.images.image import packed, to_pixels
from ult.data.images.image_sheet import LABELS
from ult.data.images.image_writer import FolderWriter
from ult.data.rows import listed
from ult.data.tables.tabular import CsvWriter, ParquetWriter
from ult.data.text import JsonlWriter, TxtWriter, encoded
from ult.errors import InvalidConfig, OutputError, writing
from ult.host import atomic
from ult.host.disk import strangers
from ult.host.free import FILE, Kind, check_free

FOLDER = "a folder"
_MOST = 2**31  # bytes of a column of strings of Arrow
MARKS = {".csv": ",", ".tsv": "\t"}  # what stands between two cells
SUFFIXES = {
    "text": (".txt", ".jsonl", ".csv", ".parquet", ".tsv"),
    "molecule": (".txt", ".jsonl", ".csv", ".parquet", ".tsv"),
    "image": (FOLDER, ".parquet", ".npz"),
    "jpeg": (FOLDER, ".parquet", ".npz"),
    "series": (".csv", ".parquet", ".npz", ".tsv"),
}


class Writer(Protocol):
    """Writes one format to a new path."""

    def write(self, records: Any, kept: pa.Table) -> None:
        """Write records, with one row of `kept` each."""

    def close(self, *, whole: bool) -> None:
        """Finish the file if `whole`, else only release it."""


class Sink:
    """Writes records to `path`, which appears when the `with` block ends without an error.

    Until then everything is in the hidden folder of `ult.host.atomic` beside it, which no other user may enter. An
    error or an interrupt removes that folder; after a kill the next command that writes there does.
    """

    def __init__(
        self, path: Path, *, modality: str, column: str, fields: Sequence[str], kept_schema: pa.Schema, force: bool
    ) -> None:
        self.path, self.modality, self.column, self.fields = path, modality, column, tuple(fields)
        self.kept_schema, self.force = kept_schema, force
        self._suffix = path.suffix.lower() or FOLDER
        self._kind = kind_of(path)
        self._claim = atomic.Claim(path)
        self._hidden = self._claim.folder / "new"
        self._count = 0

    def __enter__(self) -> Self:
        self._claim.__enter__()
        try:
            with writing(self.path):
                self._writer = self._open()
        except BaseException:
            self._claim.__exit__(*sys.exc_info())
            raise
        try:
            with writing(self.path):
                if self._hidden.exists():  # a .npz is created only at the end
                    self._hidden.chmod(0o700 if self._hidden.is_dir() else 0o600)  # until it is published
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def write(self, records: Sequence[Any], kept: pa.Table | None = None) -> None:
        """Write records, with one row of `kept` each; raise `OutputError` for what the format cannot hold."""
        rows = self.kept_schema.empty_table() if kept is None else kept.select(self.kept_schema.names)
        if self.kept_schema.names and len(rows) != len(records):
            raise OutputError(f"{len(records)} records came with {len(rows)} rows of kept columns; expected as many")
        with writing(self.path):
            self._writer.write(self._values(records), rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with writing(self.path):
                    self._writer.close(whole=True)
                check_free(self.path, self._kind, force=self.force)
                self._claim.publish(self._hidden)
            else:
                with suppress(Exception):  # the error that is being handled matters more
                    self._writer.close(whole=False)
        except BaseException:
            self._claim.__exit__(*sys.exc_info())
            raise
        self._claim.__exit__(kind, error, trace)

    def _open(self) -> Writer:
        """Return the writer of the format."""
        names, path = self.kept_schema.names, self._hidden
        if self._suffix == ".txt":
            return TxtWriter(path)
        if self._suffix == ".jsonl":
            return JsonlWriter(path, self.column)
        if self._suffix in MARKS:
            return CsvWriter(path, [*names, *(self.fields or [self.column])], MARKS[self._suffix])
        if self._suffix == ".parquet":
            return ParquetWriter(path, pa.schema([*self.kept_schema, *self._record_schema()]))
        if self._suffix == ".npz":
            return NpzWriter(path, self.column, ragged=self.modality == "series", names=self.fields)
        return FolderWriter(path, names)

    def _record_schema(self) -> pa.Schema:
        if self.fields:
            return pa.schema([(name, pa.float64()) for name in self.fields])
        kinds = {"image": pa.binary(), "jpeg": pa.binary(), "series": pa.list_(pa.float64())}
        return pa.schema([(self.column, kinds.get(self.modality, pa.string()))])

    def _values(self, records: Sequence[Any]) -> Any:
        """Return records in the form that the writer takes: unchanged, or as an Arrow table."""
        if self._suffix == ".npz" and self.modality == "jpeg":
            return [to_pixels(one, "a decoded image") for one in records]
        if isinstance(records, Cells):
            if self._suffix == ".txt" or (self._suffix == ".parquet" and len(records.data) < _MOST):
                return records if self._suffix == ".txt" else self._of_cells(records)
            records = records.tolist()
        if self._suffix in MARKS and self.modality == "series" and not self.fields:
            return self._one_column(records)
        if self._suffix == ".parquet" or (self._suffix in MARKS and self.fields):
            return self._table(records)
        return records

    def _table(self, records: Sequence[Any]) -> pa.Table:
        schema = self._record_schema()
        if self.fields:
            if any(len(series) != len(self.fields) for series in records):
                raise OutputError(f"a series is not of {len(self.fields)} values, one for each column", hint=".npz")
            values = np.array(records, np.float64).reshape(len(records), len(self.fields))
            return pa.table([pa.array(column) for column in values.T], schema=schema)
        if self.modality == "jpeg":
            return pa.table([pa.array(records, pa.binary())], schema=schema)
        if self.modality == "image":
            return pa.table([pa.array([packed(pixels)[0] for pixels in records], pa.binary())], schema=schema)
        if self.modality == "series":
            ends = np.cumsum([0, *map(len, records)])
            flat = np.concatenate([np.asarray(series, np.float64) for series in records]) if records else np.empty(0)
            return pa.table([pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(flat))], schema=schema)
        for text in records:
            encoded(text, ".parquet")
        return pa.table([pa.array(records, pa.string())], schema=schema)

    def _of_cells(self, texts: Cells) -> pa.Table:
        ends = np.append(0, texts.ends).astype(np.int32)
        column = pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(ends), pa.py_buffer(texts.data)])
        return pa.table([column], schema=self._record_schema())

    def _one_column(self, records: Sequence[Any]) -> pa.Table:
        """Return the values of the only series, one per row; raise `OutputError` if there are more series."""
        self._count += len(records)
        if self._count > 1:
            raise OutputError("a .csv holds one series as a column; there are more", hint=".npz or .parquet")
        values = np.concatenate([np.empty(0), *records])
        return pa.table([pa.array(values)], names=[self.column])


def open_sink(
    path: str | Path,
    *,
    modality: str,
    column: str,
    fields: Sequence[str] = (),
    kept_schema: pa.Schema | None = None,
    force: bool = False,
) -> Sink:
    """Return a `Sink` for `.txt`, `.jsonl`, `.csv`, `.parquet`, `.npz` or a folder of images, by the path's suffix.

    `column`, `fields` and `kept_schema` are those of the `Source`; `force` replaces an existing output. Before anything
    is written, raises `OutputExists` if `path` exists, `OutputError` if the format cannot hold such records or kept
    columns, and `InvalidConfig` for an unknown modality.
    """
    schema = kept_schema if kept_schema is not None else pa.schema([])
    if files.is_url(str(path)):
        raise OutputError("the output is a URL; records are written to a local folder", hint="copy them from there")
    path = Path(path)
    if modality not in SUFFIXES:
        raise InvalidConfig(f"modality is {modality!r}; expected {listed(list(SUFFIXES))}")
    suffix = path.suffix.lower() or FOLDER
    if suffix not in SUFFIXES[modality]:
        raise OutputError(f"{path} is {suffix}, which holds no {modality} records", hint=", ".join(SUFFIXES[modality]))
    check_free(path, kind_of(path), force=force)
    _check_kept(schema, suffix, modality, [*fields] or [column])
    return Sink(path, modality=modality, column=column, fields=fields, kept_schema=schema, force=force)


IMAGES = Kind(
    "a folder of images",
    Path.is_dir,
    partial(strangers, ours=re.compile(rf"(.*/)?([^/]*\.(png|tif|npy|jpg)|{re.escape(LABELS)})")),
)


def kind_of(path: Path) -> Kind:
    """Return what is written to a path, by its suffix."""
    return FILE if path.suffix else IMAGES


def _check_kept(schema: pa.Schema, suffix: str, modality: str, columns: Sequence[str]) -> None:
    """Raise `OutputError` if the format cannot hold the kept columns, or two columns would have one name."""
    names = [*schema.names, *columns, *([columns[0] + ENDS, "fields"] if suffix == ".npz" else [])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OutputError(f"column {twice[0]!r} would be there twice", hint="--keep other columns")
    if suffix == ".txt" and schema.names:
        raise OutputError(f".txt cannot hold the kept columns {listed(schema.names)}", hint=".jsonl, .csv or .parquet")
    if suffix == ".parquet":
        return
    for field in schema:
        plain = record.is_text(field.type) or record.is_number(field.type) or pat.is_boolean(field.type)
        if not plain and not (suffix == ".jsonl" and pat.is_null(field.type)):
            raise OutputError(f"{suffix} cannot hold {field.name!r}, which is {field.type}", hint=".parquet")

"""Columns beside the images of a folder: `labels.csv`, or `metadata.csv` / `.jsonl` of Hugging Face's `imagefolder`.

`labels.csv` lies in the folder and names images in its column `name`, relative to the folder. A metadata file may lie
in every sub-folder and names images in its column `file_name`, relative to where it lies.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.data.record import common_schema
from ult.data.rows import Rows, listed
from ult.data.tables.tabular import CsvRows
from ult.data.text import JsonlRows
from ult.errors import MissingColumn, SourceError

LABELS = "labels.csv"  # `name` and the other kept columns, one row per image
METADATA = ("metadata.csv", "metadata.jsonl")


class Sheet:
    """The rows that say something of the images of a folder, by the images' paths in it; `types` are its columns."""

    def __init__(self, folder: str, inside: Sequence[str]) -> None:
        """Find the files among `inside`, the paths in `folder`; without any, `types` is empty."""
        self._folder, self._key = folder, "name"
        names = [LABELS] if LABELS in inside and "name" in CsvRows(files.join(folder, LABELS)).types else []
        if not names:
            names = [name for name in inside if posixpath.basename(name) in METADATA]
            self._key = "file_name"
        self._parts: dict[str, Rows] = {}
        for name in names:
            path = files.join(folder, name)
            rows: Rows = CsvRows(path) if name.endswith(".csv") else JsonlRows(path, "file_name")
            if posixpath.dirname(name) in map(posixpath.dirname, self._parts):
                raise SourceError(f"{folder} has metadata.csv and metadata.jsonl in one folder; expected one of them")
            self._parts[name] = rows
        kinds = {name: list(rows.types) for name, rows in self._parts.items()}
        first = next(iter(kinds.values()), [])
        for name, columns in kinds.items():
            if self._key not in columns:
                raise SourceError(f"{files.join(folder, name)} has no column {self._key!r}; it has {listed(columns)}")
            if set(columns) != set(first):
                raise SourceError(
                    f"{files.join(folder, name)} has the columns {listed(columns)}, and {next(iter(kinds))} "
                    f"{listed(first)}; expected the same"
                )
        self.types = {name: pa.string() for name in first if name != self._key}

    def schema(self, keep: Sequence[str], images: Sequence[str]) -> pa.Schema:
        """Return the types of the columns `keep`; raise `MissingColumn` or `SourceError` unless each image has a row.

        Every row of metadata has an image, too: what is named there and is not in the folder has been lost.
        """
        for image in images:
            self.cell(image, keep[0])
        have = set(images)
        extra = [name for name in self._rows if name not in have] if self._key == "file_name" else []
        if extra:
            raise SourceError(f"{self._of(extra[0])} names {listed(extra, 3)}, which the folder has not as an image")
        found = None
        for rows in self._parts.values():
            schema = rows.kept_schema(keep)
            found = schema if found is None else common_schema(found, schema)
        return found

    def cell(self, image: str, column: str) -> Any:
        """Return what the sheet says of an image; raise `MissingColumn` if it has no row."""
        if image not in self._rows:
            raise MissingColumn(f"{self._of(image)} has no row for {image!r}; expected one for every image")
        return self._rows[image][column]

    def _of(self, image: str) -> str:
        """Return the name of the file that says something, or should, of an image."""
        near = [name for name in self._parts if image.startswith(posixpath.dirname(name))]
        return files.join(self._folder, max(near or self._parts, key=len))

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, rows in self._parts.items():
            columns = list(rows.types)
            for chunk in rows.chunks(columns):
                for i, cells in enumerate(zip(*(chunk.columns[column] for column in columns), strict=True)):
                    row = dict(zip(columns, cells, strict=True))
                    if not isinstance(row[self._key], str):
                        raise SourceError(f"{chunk.place(i)}: {self._key!r} is {row[self._key]!r}; expected a name")
                    image = posixpath.normpath(posixpath.join(posixpath.dirname(name), row[self._key]))
                    image = row[self._key] if self._key == "name" else image
                    if image in found:
                        path = files.join(self._folder, name)
                        raise SourceError(f"{path} has two rows for {row[self._key]!r}; expected one per image")
                    found[image] = row
        return found

"""`meds:FOLDER`: events of the Medical Event Data Standard, in plain Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from ult.data import files
from ult.data.cells import has_text
from ult.data.composed.fields import texts
from ult.data.events.rows import COLUMNS, Table, checked
from ult.data.rows import Chunk, listed
from ult.data.tables.tabular import ParquetRows
from ult.errors import EmptySource, MissingColumn, MissingSource, SourceError

_OURS = {"subject_id": "subject_id", "time": "time", "code": "code", "numeric_value": "value", "text_value": "text"}
_KNOWN = {*_OURS, *COLUMNS}
_NEEDED = ("subject_id", "time", "code")
_BESIDE = "metadata/"  # of the folder: codes, splits and the description of the data


class MedsRows(Table):
    """The events of one folder. Other columns of its files are columns too, and `unit` is the unit of values."""

    def __init__(self, folders: Sequence[str]) -> None:
        self.name = folders[0]
        paths = [path for folder in folders for path in _paths(folder)]
        self._files = [one for path in paths if (one := _opened(path)) is not None]
        if not self._files:
            raise EmptySource(f"{self.name} holds no events; expected Parquet files of MEDS with rows")
        for rows in self._files:
            _check(rows)
        more = {name: kind for rows in self._files for name, kind in rows.types.items() if name not in _KNOWN}
        self.more = tuple(name for name, kind in more.items() if has_text(kind))
        self._unread = [f"column {name!r} of {kind}" for name, kind in more.items() if not has_text(kind)]
        self.types = dict.fromkeys((*COLUMNS, *self.more), pa.string())

    def unread(self) -> list[str]:
        """Return the columns that have more than one value a cell."""
        return self._unread

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield events in the order of the files."""
        theirs = {ours: theirs for theirs, ours in _OURS.items()}
        for rows in self._files:
            names = {name: theirs.get(name, name) for name in columns}
            there = {name: one for name, one in names.items() if one in rows.types}
            for chunk in rows.chunks(list(there.values())):
                cells = {name: texts(chunk, one) for name, one in there.items()}
                if times := cells.get("time"):
                    typed = pa.types.is_timestamp(rows.types["time"])  # all of which exist, but for years beyond 9999
                    for i, time in enumerate(times):
                        if not typed or (time and time[0] == "@"):
                            checked(time, chunk, i)
                yield replace(chunk, columns={name: cells.get(name, [None] * chunk.length) for name in columns})


def _paths(folder: str) -> list[str]:
    """Return the Parquet files of events in a folder, or the file itself."""
    if files.is_file(folder):
        return [folder]
    if not files.is_folder(folder):
        raise files.missing(folder, "a folder of Parquet files of MEDS")
    names = [name for name in files.walk(folder) if files.suffix(name) == ".parquet"]
    found = [files.join(folder, name) for name in names if not name.startswith(_BESIDE)]
    if not found:
        raise MissingSource(f"{folder} holds no .parquet file; expected those of MEDS")
    return found


def _opened(path: str) -> ParquetRows | None:
    """Return the rows of a file, or None if it has none: a shard may be empty."""
    try:
        return ParquetRows(path)
    except EmptySource:
        return None


def _check(rows: ParquetRows) -> None:
    """Raise `MissingColumn` or `SourceError` unless a file has the columns of MEDS."""
    if missing := [name for name in _NEEDED if name not in rows.types]:
        raise MissingColumn(
            f"{rows.name} has no column {listed(missing)}; expected those of MEDS: {', '.join(_OURS)}; "
            f"it has {listed(list(rows.types))}"
        )
    for theirs, name in (("numeric_value", "value"), ("text_value", "text")):
        if name in rows.types:
            raise SourceError(
                f"{rows.name} has a column {name!r} beside {theirs!r}, which is read under that name; expected another"
            )
    if wrong := next((name for name in (*_OURS, "unit") if not has_text(rows.types.get(name, pa.string()))), ""):
        raise SourceError(f"{rows.name}: column {wrong!r} is {rows.types[wrong]}; expected one value a cell")

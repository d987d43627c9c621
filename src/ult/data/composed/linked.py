"""Cells that name a file: an image or a series that lies beside the table, read when its record is made.

A name is relative to the folder of the table's file. Of a file of several images, `ct.nii.gz/3` is the third; of a file
of several channels, `100.hea/MLII` is one, and `.hea` may be left out. An empty cell, or null, names nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.data import files, record
from ult.data.array import ArrayRows
from ult.data.images import scans
from ult.data.images.layout import Layout
from ult.data.images.scan import Frame, Head, Opener
from ult.data.rows import Chunk, listed
from ult.data.series import edf, wav, wfdb
from ult.data.series.signals import SignalRows
from ult.data.tables import sql
from ult.errors import SourceError
from ult.host.shown import count

KINDS = ("image", "series")
_NPY, _ARRAY = ".npy", "array"
_SIGNALS: dict[str, Callable[[str], SignalRows]] = {
    wfdb.SUFFIX: wfdb.WfdbRows,
    wav.SUFFIX: wav.WavRows,
    **dict.fromkeys(edf.SUFFIXES, edf.EdfRows),
}
_EXPECTED = {"image": "the file of an image", "series": "the file of a series: .npy, .hea, .edf or .wav"}
_NAMED = 3  # missing files that an error names


class Place(NamedTuple):
    """A file, and which of its images (from 1) or channels is meant, "" if it has one only."""

    file: str
    part: str


class Shelf:
    """What is open of the last file, because a table names the images of one file one after another."""

    def __init__(self) -> None:
        self._name, self._head = "", Head(0, scans.head)  # type: ignore[arg-type]  # of no file
        self.opener = Opener()

    def head(self, name: str) -> Head:
        """Return what the header of a file tells."""
        if name != self._name:
            self._head, self._name = scans.head(name), name
        return self._head


@dataclass(frozen=True, slots=True)
class Linked:
    """A cell whose file has not been read yet. Two are equal if they name one file."""

    kind: str
    path: str
    column: str = field(compare=False)
    chunk: Chunk = field(compare=False, repr=False)
    i: int = field(compare=False)
    shelf: Shelf = field(compare=False, repr=False)

    @property
    def nbytes(self) -> int:
        """About how many bytes the cell has before its file is read."""
        return len(self.path) + 64

    def read(self) -> NDArray[Any]:
        """Return the image or the series; raise `SourceError`, with file, row and column, if it cannot be read."""
        place = located(self.kind, self.path)
        if place is None:
            raise SourceError(self._told(self.gone))
        try:
            return _image(place, self.shelf) if self.kind == "image" else _series(place)
        except SourceError as error:
            raise SourceError(self._told(error.what), hint=error.hint) from error

    @property
    def gone(self) -> str:
        """What to say if there is no such file."""
        met = "is a folder" if files.is_folder(self.path) else "is not there"
        return f"{self.path} {met}; expected {_EXPECTED[self.kind]}"

    def remarks(self) -> tuple[str, ...]:
        """Return what the header of the file says beside its images; raise `SourceError` if there is no such image."""
        place = located(self.kind, self.path)
        if place is None or self.kind != "image" or not _is_scan(place.file):
            return ()
        try:
            _frame(place, head := self.shelf.head(place.file), self.shelf)
        except SourceError as error:
            raise SourceError(self._told(error.what), hint=error.hint) from error
        return head.remarks

    def _told(self, what: str) -> str:
        return f"{self.chunk.place(self.i)}, column {self.column!r}: {what}"


def links(chunk: Chunk, one: Field, names: Sequence[str | None]) -> list[Linked | None]:
    """Return the cells of a column of names."""
    folder, bare, shelf = _folder(chunk.name), chunk.without_values(), Shelf()
    return [
        Linked(one.kind, files.join(folder, name), one.name, bare, i, shelf) if name else None
        for i, name in enumerate(names)
    ]


def made(cells: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the cells of a record or of a row, with the files read that they name."""
    return tuple([cell.read() if isinstance(cell, Linked) else cell for cell in cells])


def found(cells: Iterator[Linked | None]) -> tuple[list[str], list[str]]:
    """Return the files that cells name, each once, and remarks on them.

    Raises `SourceError` for files that are missing: it names the first ones, and says how many there are.
    """
    there: dict[str, None] = {}
    missing: list[Linked] = []
    told: Counter[str] = Counter()
    for cell in cells:
        if cell is None:
            continue
        place = located(cell.kind, cell.path)
        if place is None:
            missing.append(cell)
        elif place.file not in there:
            there[place.file] = None
            told.update(cell.remarks())
        elif place.part:
            cell.remarks()
    if missing:
        first, n = missing[0], len({cell.path for cell in missing})
        others = [cell.path for cell in missing[1:_NAMED]]
        more = f"; of all files that cells name {n:,} are missing, such as {listed(others)}" if others else ""
        raise SourceError(
            first._told(f"{first.gone}{more}"),
            hint="names are relative to the folder of the table; an empty cell names nothing",
        )
    every = count(len(there), "file")
    return list(there), [f"{n:,} of {every} that cells name: {what}" for what, n in told.items()]


def located(kind: str, path: str) -> Place | None:
    """Return the file that a name means, and which part of it; None if it is not there."""
    head, _, tail = path.rpartition("/")
    for file, part in ((path, ""), (head, tail)):
        ends = ("", wfdb.SUFFIX) if kind == "series" else ("",)
        for end in ends:
            if file and files.is_file(file + end) and (part or not path.endswith("/")):
                return Place(file + end, part)
    return None


def _folder(name: str) -> str:
    """Return the folder of a table's file; raise `SourceError` if the table is none."""
    if name.startswith(sql.PREFIX):
        name = sql.path_of(name)
    if files.is_url(name):
        return name.rpartition("/")[0]
    return str(Path(name).parent)


def _is_scan(file: str) -> bool:
    return bool(scans.kind_of(file)) or (scans.has_no_suffix(file) and scans.is_bare_dicom(file))


def _image(place: Place, shelf: Shelf) -> NDArray[Any]:
    if _is_scan(place.file):
        return _frame(place, shelf.head(place.file), shelf).pixels()
    if place.part:
        raise SourceError(f"{place.file} is one image; expected its name alone, without /{place.part}")
    if files.suffix(place.file) != _NPY:
        return record.image(place.file, Chunk(place.file, 1, {}, 1), 0, "image")
    shape = ArrayRows(place.file, _ARRAY).shape_of(_ARRAY)
    if len(shape) not in (2, 3):
        raise SourceError(f"{place.file} is an array {shape}; expected one image, (h, w) or (h, w, c)")
    (chunk,) = ArrayRows(place.file, _ARRAY, Layout("hw" if len(shape) == 2 else "hwc")).chunks([_ARRAY])
    return record.image(chunk.columns[_ARRAY][0], Chunk("", 1, {}, 1, names=(place.file,)), 0, "image")


def _frame(place: Place, head: Head, shelf: Shelf) -> Frame:
    """Return the image that is meant of a file; raise `SourceError` if it has several and none is named, or no such."""
    part = place.part or ("1" if head.frames == 1 else "")
    if not part.isdecimal() or not 1 <= int(part) <= head.frames:
        met = f"has {head.frames:,} images" + (f", and none is called {part!r}" if part else "")
        raise SourceError(
            f"{place.file} {met}; expected the name of one", hint=f"{Path(place.file).name}/1 is its first"
        )
    return Frame(place.file, int(part) - 1, head.frames, head.opened, shelf.opener)


def _series(place: Place) -> NDArray[Any]:
    suffix = files.suffix(place.file)
    if suffix == _NPY:
        rows = ArrayRows(place.file, _ARRAY)
        if place.part or len(rows.shape_of(_ARRAY)) != 1 or not record.is_number(rows.types.get(_ARRAY, pa.null())):
            raise SourceError(
                f"{place.file} is an array {rows.shape_of(_ARRAY)}; expected one axis of numbers, a series"
            )
        return np.concatenate([chunk.columns[_ARRAY] for chunk in rows.chunks([_ARRAY])])
    if suffix not in _SIGNALS:
        raise SourceError(f"{place.file} ends in {suffix!r}; expected .npy, {', '.join(_SIGNALS)} for a series")
    signal = _SIGNALS[suffix](place.file)
    names = [place.part] if place.part else list(signal.types)
    if len(names) > 1 or names[0] not in signal.types:
        met = f"no channel {names[0]!r}" if place.part else f"{len(names)} channels"
        raise SourceError(
            f"{place.file} has {met}; it has {listed(list(signal.types))}",
            hint=f"{Path(place.file).name}/CHANNEL names one",
        )
    (chunk,) = signal.chunks(names)
    return np.asarray(chunk.columns[names[0]][0])

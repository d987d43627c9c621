"""Read and write NumPy files: `.npy`, one array, and `.npz`, one array per column; never with pickled objects.

The first axis counts the rows. A 2-D array of numbers holds one series per row; a uint8 array (n, h, w) or (n, h, w, c)
one image per row. (h, w, 3) is refused, because it might be one image or h of them; a `Layout` says which, and reads
other axes and types too. A 1-D array of numbers is one
series, or a column to keep. Series of different lengths are stored as two arrays: all values under the column's name,
and the end of each series under that name with "_ends".
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from numpy.typing import NDArray

from ult.data import files
from ult.data.images.layout import Layout, hint
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, changed, existing, listed
from ult.errors import EmptySource, OutputError, SourceError, UltError

ENDS = "_ends"
IMAGE = pa.large_binary()  # the type that stands for a column of image arrays


@dataclass(frozen=True, slots=True)
class _Header:
    """The content of an array's header."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


class ArrayRows(Rows):
    """The arrays of a `.npz`, or the single array of a `.npy` under the name `column`."""

    def __init__(self, name: str, column: str, layout: Layout | None = None) -> None:
        self.name, self._layout = existing(name), layout
        self._zip = files.suffix(name) == ".npz"
        self._headers = {key: self._header(key) for key in (self._members() if self._zip else [column])}
        types = {key: self._type(key, header) for key, header in self._headers.items()}
        self.types = {key: kind for key, kind in types.items() if kind is not None}
        self.layouts = next((found for one in self._headers.values() if (found := hint(one.shape, one.dtype))), "")
        if self.types and not any(map(self.length, self.types)):
            raise EmptySource(f"{name} holds {'arrays' if self._zip else 'an array'} without rows; expected records")

    def length(self, column: str) -> int:
        """Return how many rows `column` has."""
        if self._ragged(column):
            return self._headers[column + ENDS].shape[0]
        if layout := self._laid_out(column):
            return self._headers[column].shape[layout.axes.index("n")] if "n" in layout.axes else 1
        return self._headers[column].shape[0]

    def shape_of(self, column: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return self._headers[column].shape

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of `columns`; raise `SourceError` if these differ in length."""
        lengths = {name: self.length(name) for name in columns}
        rows = lengths[columns[0]]
        if set(lengths.values()) != {rows}:
            raise SourceError(f"{self.name} has columns of different lengths: {lengths}")
        step = min(self._step(name) for name in columns)
        readers = [self._values(name, step) for name in columns]
        first = 1
        for values in zip(*readers, strict=True):
            yield Chunk(self.name, first, dict(zip(columns, values, strict=True)), len(values[0]))
            first += len(values[0])

    def _members(self) -> list[str]:
        with self._errors(), files.open_file(self.name) as file, zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if len(set(names)) != len(names):
            raise SourceError(f"{self.name} holds two arrays of one name: {listed(names)}")
        return names

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the exceptions of NumPy and zipfile for a damaged file into a `SourceError`."""
        try:
            yield
        except UltError:
            raise
        except Exception as error:  # NumPy, its header parsers, zipfile and three decompressors raise many types
            kind = ".npz" if self._zip else ".npy"
            raise SourceError(f"{self.name} is not a {kind} file of plain arrays, or it is cut short") from error

    @contextmanager
    def _open(self, column: str) -> Iterator[tuple[IO[bytes], int]]:
        """Yield the open file of an array, and its size in bytes."""
        with self._errors():
            if not self._zip:
                with files.open_file(self.name) as file:
                    yield file, files.size(self.name)
                return
            with (
                files.open_file(self.name) as file,
                zipfile.ZipFile(file) as archive,
                archive.open(column + ".npy") as member,
            ):
                yield member, archive.getinfo(column + ".npy").file_size

    def _header(self, column: str) -> _Header:
        with self._open(column) as (file, size):
            return self._read_header(file, size)

    def _read_header(self, file: IO[bytes], size: int) -> _Header:
        version = npy.read_magic(file)
        if version not in {(1, 0), (2, 0)}:
            raise SourceError(f"{self.name} holds an array of .npy version {version}; expected 1.0 or 2.0")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        header = _Header(*read(file))
        if header.dtype.hasobject:
            raise SourceError(f"{self.name} holds pickled objects; expected numbers or strings")
        if file.tell() + math.prod(header.shape) * header.dtype.itemsize != size:
            raise SourceError(f"{self.name} is cut short: its size is not what its header says")
        return header

    def _check_header(self, name: str, file: IO[bytes], size: int) -> None:
        if self._read_header(file, size) != self._headers[name]:
            raise changed(self.name, f"the array {name!r} is another one")

    def check_images(self, name: str) -> None:
        """Raise `SourceError` if an array of images could as well be a single colour image."""
        if layout := self._laid_out(name):
            layout.check(f"{self.name}: {name!r}", self._headers[name].shape, self._headers[name].dtype)
            return
        shape = self._headers[name].shape
        last, first = shape[-1] in (3, 4), shape[0] in (3, 4) and min(shape[1:]) > 4
        if len(shape) == 3 and (last or first):
            raise SourceError(
                f"{self.name}: {name!r} is an array {shape}: one image in colour, or {shape[0]} grey ones; "
                "expected (n, h, w, c)",
                hint=self.layouts,
            )

    def _type(self, name: str, header: _Header) -> pa.DataType | None:
        """Return the type of the rows, or None if the array is not a column."""
        kind, axes = header.dtype.kind, len(header.shape)
        if self._layout and axes >= 2:
            return IMAGE
        if kind == "U" and axes == 1:
            return pa.string()
        if kind not in "biuf" or header.dtype.itemsize > 8:
            return None
        number = pa.from_numpy_dtype(header.dtype.newbyteorder("="))
        if axes == 1 and not self._ragged(name):
            return None if name.endswith(ENDS) and self._ragged(name.removesuffix(ENDS)) else number
        if axes <= 2:
            return pa.list_(number) if axes else None
        return IMAGE if header.dtype == np.uint8 and axes <= 4 else None

    def _laid_out(self, name: str) -> Layout | None:
        """Return the layout of an array, None if none was asked for or it has a single axis: then it is kept."""
        return self._layout if len(self._headers[name].shape) >= 2 else None

    def _ragged(self, name: str) -> bool:
        ends = self._headers.get(name + ENDS)
        one = len(self._headers[name].shape) == 1 if name in self._headers else False
        return ends is not None and one and len(ends.shape) == 1 and ends.dtype.kind in "iu"

    def _step(self, name: str) -> int:
        """Return how many rows of a column fit a chunk."""
        header = self._headers[name]
        if self._laid_out(name):
            return max(1, CHUNK_BYTES // max(1, math.prod(header.shape) // self.length(name) * header.dtype.itemsize))
        values = int(self._sizes(name).max(initial=0)) if self._ragged(name) else math.prod(header.shape[1:])
        return max(1, min(ROWS, CHUNK_BYTES // max(1, values * header.dtype.itemsize)))

    def _values(self, name: str, step: int) -> Iterator[Any]:
        if self._ragged(name):
            yield from self._series(name, step)
            return
        if layout := self._laid_out(name):
            yield from self._images(name, layout, step)
            return
        header = self._headers[name]
        inner = header.shape[1:]
        with self._open(name) as (file, size):
            self._check_header(name, file, size)
            if header.fortran and len(header.shape) > 1:  # rows are not contiguous, so read the whole array
                whole = _read(file, math.prod(header.shape), header.dtype).reshape(header.shape, order="F")
                yield from (np.ascontiguousarray(whole[i : i + step]) for i in range(0, len(whole), step))
                return
            for first in range(0, header.shape[0], step):
                rows = min(step, header.shape[0] - first)
                yield _read(file, rows * math.prod(inner), header.dtype).reshape(rows, *inner)

    def _images(self, name: str, layout: Layout, step: int) -> Iterator[Any]:
        """Yield images `step` at a time; only if they are not one after the other is the whole array in memory."""
        header, place = self._headers[name], f"{self.name}: {name!r}"
        layout.check(place, header.shape, header.dtype)
        apart = layout.axes[0] == "n" and not header.fortran
        with self._open(name) as (file, size):
            self._check_header(name, file, size)
            if not apart:
                order: Any = "F" if header.fortran else "C"
                whole = _read(file, math.prod(header.shape), header.dtype).reshape(header.shape, order=order)
                images = layout.images(whole, place)
                yield from (images[first : first + step] for first in range(0, len(images), step))
                return
            for first in range(0, header.shape[0], step):
                shape = (min(step, header.shape[0] - first), *header.shape[1:])
                yield layout.images(_read(file, math.prod(shape), header.dtype).reshape(shape), place, first)

    def _sizes(self, name: str) -> NDArray[np.int64]:
        """Return the length of each series of a ragged column, (n,) int64."""
        ends = np.concatenate([np.empty(0, np.int64), *self._values(name + ENDS, ROWS)])
        sizes: NDArray[np.int64] = np.diff(ends, prepend=0).astype(np.int64)
        if (sizes < 0).any() or int(sizes.sum()) != self._headers[name].shape[0]:
            raise SourceError(f"{self.name}: {name + ENDS!r} does not divide {name!r}; expected increasing ends")
        return sizes

    def _series(self, name: str, step: int) -> Iterator[list[NDArray[Any]]]:
        header, sizes = self._headers[name], self._sizes(name)
        with self._open(name) as (file, size):
            self._check_header(name, file, size)
            for first in range(0, len(sizes), step):
                yield [_read(file, int(n), header.dtype) for n in sizes[first : first + step]]


def _read(file: IO[bytes], count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    data = file.read(count * dtype.itemsize)
    if len(data) != count * dtype.itemsize:
        raise EOFError("fewer values than the header says")
    return np.frombuffer(data, dtype, count).astype(dtype.newbyteorder("="), copy=False)


class NpzWriter:
    """Writes the records as one array if they have one shape, else (series only) as values and ends.

    Values are spooled to an unnamed file beside `path`, so memory is bounded; kept columns stay in memory.
    """

    def __init__(self, path: Path, column: str, *, ragged: bool, names: Sequence[str] = ()) -> None:
        self.path, self.column, self.ragged, self.names = path, column, ragged, names
        self._values = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
        self._ends: list[int] = []
        self._shapes: set[tuple[int, ...]] = set()
        self._dtype: np.dtype[Any] = np.dtype(np.uint8 if not ragged else np.float64)
        self._kept: list[pa.Table] = []

    def write(self, records: Sequence[NDArray[Any]], kept: pa.Table) -> None:
        """Add arrays; raise `OutputError` if their shapes differ, unless `ragged`."""
        if not self.ragged and not self._ends and len(records):
            self._dtype = records[0].dtype  # uint8, or uint16 or int16 of images of more than 8 bits
        for record in records:
            self._shapes.add(record.shape)
            if len(self._shapes) > 1 and not self.ragged:
                hint = ".parquet or a folder, but for colour of 16 bits: shards of one size each"
                raise OutputError("images are of several sizes, which .npz cannot hold", hint=hint)
            self._values.write(np.ascontiguousarray(record, self._dtype).tobytes())
            self._ends.append((self._ends[-1] if self._ends else 0) + record.size)
        self._kept.append(kept)

    def close(self, *, whole: bool) -> None:
        """Write the archive if `whole`; delete the spool file in any case."""
        with self._values:
            if whole:
                self._values.seek(0)
                private = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)  # until it is published
                with os.fdopen(private, "w+b") as file, zipfile.ZipFile(file, "w") as archive:
                    self._write(archive)

    def _write(self, archive: zipfile.ZipFile) -> None:
        if len(self._shapes) <= 1:
            shape = next(iter(self._shapes), (0,))
            _add(archive, self.column, self._dtype, (len(self._ends), *shape), self._values)
        else:
            _add(archive, self.column, self._dtype, (self._ends[-1],), self._values)
            _add_array(archive, self.column + ENDS, np.array(self._ends, np.int64))
        if self.names:
            _add_array(archive, "fields", np.array(self.names))
        for name, values in self._columns():
            _add_array(archive, name, values)

    def _columns(self) -> Iterator[tuple[str, NDArray[Any]]]:
        table = pa.concat_tables(self._kept) if self._kept else pa.table({})
        for name in table.column_names:
            values = table[name].to_pylist()
            if None in values:
                raise OutputError("a kept column holds null, which .npz cannot", hint=".parquet")
            if any(isinstance(value, str) and value.endswith("\0") for value in values):
                raise OutputError("a kept column holds a text that ends in NUL, which .npz cuts off", hint=".parquet")
            yield name, np.array(values)


def _add_array(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    with archive.open(name + ".npy", "w") as member:
        npy.write_array(member, values, allow_pickle=False)


def _add(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], values: IO[bytes]) -> None:
    """Add an array whose values are copied from a file of raw bytes."""
    with archive.open(name + ".npy", "w", force_zip64=True) as member:
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(member, header)
        shutil.copyfileobj(values, member, 2**20)

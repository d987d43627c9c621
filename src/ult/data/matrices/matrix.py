"""Read a matrix of an HDF5 file by rows, dense or sparse, in bounded memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.data.matrices import hdf5
from ult.errors import SourceError

_HELD = 2**27  # bytes of a dense block that is read at once, because its chunks are unpacked as a whole
_ENTRIES = 2**22  # of a sparse matrix by columns that are held at a time: some 200 MB
_SLICE = 2**20  # of its entries that are read at a time

Block = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Matrix(ABC):
    """A matrix of numbers at `path` of the file `name`."""

    name: str
    path: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def blocks(self, step: int) -> Iterator[Block]:
        """Yield all rows in order, at most `step` at a time, as arrays (rows, columns)."""

    def wrong(self, what: str) -> SourceError:
        """Return the error for a matrix that contradicts itself."""
        return SourceError(f"{self.name}: {self.path} {what}")


def of(found: Any, path: str, name: str) -> Matrix:
    """Return the matrix that a dataset or a group holds; raise `SourceError` if that is none of numbers."""
    import h5py

    if isinstance(found, h5py.Dataset):
        if found.ndim != 2:
            raise SourceError(f"{name}: {path} is an array {found.shape}; expected (cells, genes)")
        return Dense(name, path, (found.shape[0], found.shape[1]), _dtype(found, path, name), found)
    kind = _text(found.attrs.get("encoding-type", found.attrs.get("h5sparse_format", b"")))
    if not kind.startswith(("csr", "csc")):
        raise SourceError(f"{name}: {path} is {kind or 'a group'!r}; expected a dense, csr or csc matrix")
    parts = [hdf5.node(found, part, name) for part in ("data", "indices", "indptr")]
    shape = np.asarray(found.attrs.get("shape", found.attrs.get("h5sparse_shape", ())))
    if any(not isinstance(part, h5py.Dataset) or part.ndim != 1 for part in parts) or shape.shape != (2,):
        raise SourceError(f"{name}: {path} lacks a part of a sparse matrix; expected data, indices, indptr and a shape")
    data, indices, indptr = parts
    rows, columns = (int(length) for length in shape)
    if data.shape != indices.shape or {indices.dtype.kind, indptr.dtype.kind} - set("iu") or min(rows, columns) < 0:
        raise SourceError(f"{name}: {path} contradicts itself: {data.shape} values and {indices.shape} places")
    if len(indptr) != (rows if kind.startswith("csr") else columns) + 1:
        raise SourceError(f"{name}: {path} is {rows} by {columns} and has {len(indptr)} bounds; expected one more")
    sparse = ByRows if kind.startswith("csr") else ByColumns
    return sparse(name, path, (rows, columns), _dtype(data, path, name), data, indices, indptr)


@dataclass(frozen=True, slots=True)
class Dense(Matrix):
    """A dataset of two axes."""

    data: Any

    def blocks(self, step: int) -> Iterator[Block]:
        """Yield all rows in order; see `Matrix.blocks`."""
        rows, width = self.shape
        chunk = self.data.chunks[0] if self.data.chunks else 1
        most = max(1, _HELD // max(1, width * self.dtype.itemsize))
        held = min(most, max(step, chunk))
        for first in range(0, rows, held):
            whole = self.data[first : first + held].astype(self.dtype, copy=False)
            yield from (whole[i : i + step] for i in range(0, len(whole), step))


@dataclass(frozen=True, slots=True)
class _Sparse(Matrix):
    data: Any
    indices: Any
    indptr: Any

    def filled(self, rows: int, row: NDArray[Any], column: NDArray[Any], values: NDArray[Any]) -> Block:
        """Return a dense block of `rows` rows; raise `SourceError` if a place is outside it, or filled twice."""
        width = self.shape[1]
        if len(column) and (column.min() < 0 or column.max() >= width):
            raise self.wrong(f"has an entry outside its {width} columns")
        at = row.astype(np.int64) * width + column
        block = np.zeros(rows * width, self.dtype)
        taken = np.zeros(rows * width, bool)
        taken[at] = True
        if np.count_nonzero(taken) != len(at):
            raise self.wrong("has two entries in one place; expected one")
        block[at] = values
        return block.reshape(rows, width)

    def bounds(self, first: int, last: int) -> NDArray[np.int64]:
        """Return where rows (or columns) `first` to `last` begin and end, (last - first + 1,)."""
        found = self.indptr[first : last + 1].astype(np.int64)
        if found[0] < 0 or (np.diff(found) < 0).any() or found[-1] > len(self.data):
            raise self.wrong("has bounds that do not increase, or lie outside its entries")
        return np.asarray(found, np.int64)

    def check_ends(self, start: int, stop: int) -> None:
        """Raise `SourceError` unless the rows (or columns) cover all entries."""
        if start != 0 or stop != len(self.data):
            raise self.wrong(f"has {len(self.data)} entries and bounds from {start} to {stop}; expected all of them")


@dataclass(frozen=True, slots=True)
class ByRows(_Sparse):
    """A sparse matrix whose entries are in the order of its rows (CSR)."""

    def blocks(self, step: int) -> Iterator[Block]:
        """Yield all rows in order; see `Matrix.blocks`."""
        rows, width = self.shape
        start = stop = 0
        for first in range(0, rows, step):
            count = min(step, rows - first)
            bounds = self.bounds(first, first + count)
            start, stop = (int(bounds[0]) if not first else start), int(bounds[-1])
            if bounds[-1] - bounds[0] > count * width:
                raise self.wrong("has two entries in one place; expected one")
            part = slice(int(bounds[0]), stop)
            row = np.repeat(np.arange(count), np.diff(bounds))
            yield self.filled(count, row, self.indices[part], self.data[part])
        self.check_ends(start, stop)


@dataclass(frozen=True, slots=True)
class ByColumns(_Sparse):
    """A sparse matrix whose entries are in the order of its columns (CSC).

    Its places are read once for every `_ENTRIES` entries, because those of a row stand far apart.
    """

    def blocks(self, step: int) -> Iterator[Block]:
        """Yield all rows in order; see `Matrix.blocks`."""
        hdf5.check_small(self.indptr, self.path, self.name)
        bounds = self.bounds(0, self.shape[1])
        self.check_ends(int(bounds[0]), int(bounds[-1]))
        ends = np.cumsum(self._counts())
        first = 0
        while first < self.shape[0]:
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + _ENTRIES, side="right")))
            yield from self._some(bounds, first, min(last, self.shape[0]), step)
            first = last

    def _counts(self) -> NDArray[np.int64]:
        """Return how many entries each row has."""
        counts = np.zeros(self.shape[0], np.int64)
        for _, row in self._slices():
            if row.min() < 0 or row.max() >= self.shape[0]:
                raise self.wrong(f"has an entry outside its {self.shape[0]} rows")
            counts += np.bincount(row, minlength=self.shape[0])
        if len(counts) and counts.max() > self.shape[1]:
            raise self.wrong("has two entries in one place; expected one")
        return counts

    def _slices(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the rows of consecutive entries, each with the number of the first entry."""
        for start in range(0, len(self.data), _SLICE):
            yield start, self.indices[start : start + _SLICE]

    def _some(self, bounds: NDArray[np.int64], first: int, last: int, step: int) -> Iterator[Block]:
        """Yield the rows from `first` to `last`, whose entries are held together."""
        rows, columns, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, self.dtype)]
        for start, row in self._slices():
            inside = np.flatnonzero((row >= first) & (row < last))
            if len(inside):
                rows.append(row[inside].astype(np.int32) if self.shape[0] < 2**31 else row[inside])
                columns.append((np.searchsorted(bounds, start + inside, side="right") - 1).astype(np.int32))
                values.append(self.data[start : start + len(row)][inside])
        row, column, value = np.concatenate(rows) - first, np.concatenate(columns), np.concatenate(values)
        order = np.argsort(row, kind="stable")
        row, column, value = row[order], column[order], value[order]
        for at in range(0, last - first, step):
            count = min(step, last - first - at)
            part = slice(*np.searchsorted(row, [at, at + count]))
            yield self.filled(count, row[part] - at, column[part], value[part])


def _dtype(data: Any, path: str, name: str) -> np.dtype[Any]:
    """Return the type of the values in the byte order of this machine; raise `SourceError` if they are no numbers."""
    kind = data.dtype
    if kind.kind not in "biuf" or kind.itemsize > 8:
        raise SourceError(f"{name}: {path} holds {kind}; expected numbers of at most 64 bits")
    return np.dtype(np.uint8) if kind.kind == "b" else np.dtype(kind.newbyteorder("="))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

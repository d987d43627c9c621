"""Read the columns of a data frame of an `.h5ad` file (numbers, texts, truth values, categories), some rows at a time.

anndata has stored them in three ways: columns of a group with categories in sub-groups (since 0.8), in `__categories`
(0.7), and fields of one array with categories in `uns` (before).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data.matrices import hdf5
from ult.errors import SourceError

Cells = list[Any] | NDArray[Any]


class Frame:
    """The columns of the group or array `found`, which is at `path` of the file `name`."""

    def __init__(self, found: Any, root: Any, path: str, name: str) -> None:
        import h5py

        self._found, self._root, self._path, self._name = found, root, path, name
        self._array = isinstance(found, h5py.Dataset)
        if self._array and (found.ndim != 1 or not found.dtype.names):
            raise SourceError(f"{name}: {path} is no data frame; expected columns")
        self._categories: dict[str, NDArray[Any] | None] = {}
        self._index = self._index_name()
        self.length = len(found) if self._array else len(self._values(self._index))

    def index(self) -> list[str]:
        """Return the names of all rows."""
        hdf5.check_small(self._found if self._array else self._values(self._index), self._path, self._name)
        return [str(name) for name in self.read(self._index, 0, self.length)]

    def types(self) -> Mapping[str, pa.DataType]:
        """Return the types of the columns that hold one number, text or truth value a row, the names of rows too."""
        found = {name: self._type(name) for name in self._names()}
        return {name: kind for name, kind in found.items() if kind is not None}

    def read(self, column: str, first: int, last: int) -> Cells:
        """Return the cells of rows `first` to `last`, None where one is missing; raise `SourceError` at a bad code."""
        categories = self._of(column)
        found = self._plain(column, first, last) if categories is None else self._named(column, categories, first, last)
        if len(found) != last - first:
            raise self._wrong(column, f"has not a value for each of the {self.length} rows")
        return found

    def _named(self, column: str, categories: NDArray[Any], first: int, last: int) -> Cells:
        codes = self._codes(column, first, last)
        if len(codes) and (codes.min() < -1 or codes.max() >= len(categories)):
            raise self._wrong(column, f"has a code outside its {len(categories)} categories")
        values = categories.tolist()
        return [None if code < 0 else values[code] for code in codes.tolist()]

    def _index_name(self) -> str:
        if self._array:
            names = self._found.dtype.names
            return "index" if "index" in names else str(names[0])
        name = self._found.attrs.get("_index", "_index")
        return name.decode("utf-8") if isinstance(name, bytes) else str(name)

    def _names(self) -> list[str]:
        names = self._found.dtype.names if self._array else [n for n in self._found if n != "__categories"]
        return [self._index, *(str(name) for name in names if name != self._index)]

    def _wrong(self, column: str, what: str) -> SourceError:
        return SourceError(f"{self._name}: {self._path}/{column} {what}")

    def _node(self, path: str) -> Any:
        return hdf5.node(self._found, path, self._name)

    def _values(self, column: str) -> Any:
        """Return the dataset with one value or code a row; None if the column has no such one."""
        import h5py

        found = self._node(column)
        if isinstance(found, h5py.Group):
            codes = self._node(f"{column}/codes")
            found = self._node(f"{column}/values") if codes is None else codes
        if column == self._index and not isinstance(found, h5py.Dataset):
            raise SourceError(f"{self._name}: {self._path} has no names of its rows; expected {column!r}")
        return found if isinstance(found, h5py.Dataset) and found.ndim == 1 else None

    def _of(self, column: str) -> NDArray[Any] | None:
        """Return the categories of a column, or None if it has none."""
        if column not in self._categories:
            if self._array:
                coded = self._found.dtype[column].kind in "iu"
                found = hdf5.node(self._root, f"uns/{column}_categories", self._name) if coded else None
            else:
                path = f"{column}/categories"
                nested = self._node(path)
                found = self._node(f"__categories/{column}") if nested is None else nested
            if found is not None:
                hdf5.check_small(found, f"{self._path}/{column}", self._name)
            self._categories[column] = None if found is None else _decoded(found, slice(None))
        return self._categories[column]

    def _codes(self, column: str, first: int, last: int) -> NDArray[Any]:
        codes = self._found[first:last][column] if self._array else self._values(column)[first:last]
        if codes.dtype.kind not in "iu":
            raise self._wrong(column, "has codes of categories that are no whole numbers")
        return np.asarray(codes)

    def _plain(self, column: str, first: int, last: int) -> Cells:
        if self._array:
            values = self._found[first:last][column]
            return [cell.decode("utf-8") for cell in values.tolist()] if values.dtype.kind == "S" else values
        values = _decoded(self._values(column), slice(first, last))
        mask = self._node(f"{column}/mask")
        if mask is None:
            return values.tolist() if values.dtype.kind == "O" else values
        return [None if hidden else cell for cell, hidden in zip(values.tolist(), mask[first:last], strict=True)]

    def _type(self, column: str) -> pa.DataType | None:
        """Return the type of a column, or None if it is none of one value a row."""
        categories = self._of(column)
        if categories is not None:
            return _arrow(categories.dtype)
        if self._array:
            kind = self._found.dtype[column]
            return _arrow(kind) if not kind.shape else None
        values = self._values(column)
        if values is None or len(values) != self.length:
            return None
        import h5py

        return pa.string() if h5py.check_string_dtype(values.dtype) else _arrow(values.dtype)


def _decoded(data: Any, part: slice) -> NDArray[Any]:
    """Return values of a dataset, texts as `str` objects."""
    import h5py

    text = h5py.check_string_dtype(data.dtype)
    return np.asarray(data.asstr()[part] if text else data[part])


def _arrow(kind: np.dtype[Any]) -> pa.DataType | None:
    if kind.kind in "OSU":
        return pa.string()
    return pa.from_numpy_dtype(kind.newbyteorder("=")) if kind.kind in "biuf" and kind.itemsize <= 8 else None

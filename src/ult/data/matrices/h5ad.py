"""Read annotated matrices of cells by genes, `.h5ad`: each row of one matrix is a record, whose values are the genes.

The matrix is X, or a layer that is named: `raw/X` or `layers/NAME`. It is read some rows at a time, dense or sparse.
The columns of `obs` travel only if asked for, categories as their texts. Everything else (`obsm`, `uns`, the columns of
`var`) is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from ult.data.matrices import hdf5
from ult.data.matrices.frame import Frame
from ult.data.matrices.matrix import Matrix, of
from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, changed, listed
from ult.errors import EmptySource, InvalidConfig, MissingColumn, SourceError

SUFFIX = ".h5ad"


class H5adRows(Rows):
    """The cells of one file; the columns are the genes, which are the values of a record, and those of `obs`."""

    def __init__(self, name: str, layer: str | None = None) -> None:
        self.name, self._layer = name, layer or "X"
        with hdf5.opened(name) as root:
            matrix = self._matrix(root)
            genes = self._frame(root, "raw/var" if self._layer == "raw/X" else "var").index()
            self._cells = self._frame(root, "obs")
            notes = self._cells.types()
            rows = self._cells.length
        self._shape = matrix.shape
        if (rows, len(genes)) != matrix.shape:
            raise SourceError(
                f"{name}: {self._layer} is {matrix.shape}; its cells and genes are {rows} and {len(genes)}"
            )
        if not matrix.shape[0] or not matrix.shape[1]:
            raise EmptySource(f"{name} has {rows} cells and {len(genes)} genes; expected some of both")
        if len(set(genes)) != len(genes):
            raise SourceError(
                f"{name} has several genes of one name; expected names that differ",
                hint="adata.var_names_make_unique(), in Python, before adata.write_h5ad",
            )
        self.fields = tuple(genes)
        self._genes = {gene: k for k, gene in enumerate(genes)}
        self._both = notes.keys() & self._genes.keys()
        self._notes = list(notes)
        self.types = {**notes, **dict.fromkeys(genes, pa.from_numpy_dtype(matrix.dtype))}

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of columns `keep` of `obs`; raise `SourceError` for one that is a gene."""
        for name in keep:
            if name in self._both:
                raise SourceError(f"{self.name} has {name!r} as a gene and as a column of obs; expected one of them")
            if name in self._genes:
                raise SourceError(f"{self.name}: {name!r} is a gene, a value of the records; expected a column of obs")
        return super().kept_schema(keep)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless all of `names` are genes or columns of `obs`."""
        for name in names:
            if name not in self.types:
                raise MissingColumn(
                    f"{self.name} has no gene and no column {name!r} of obs; obs has {listed(self._notes)}"
                )

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of `columns`; raise `SourceError` if the file is damaged or changed."""
        genes = [(name, self._genes[name]) for name in columns if name in self._genes]
        notes = [name for name in columns if name not in self._genes]
        step = max(1, min(ROWS, CHUNK_BYTES // (8 * self._shape[1])))
        with hdf5.opened(self.name) as root:
            matrix, cells = self._matrix(root), self._frame(root, "obs")
            if matrix.shape != self._shape:
                raise changed(self.name)
            first = 0
            for block in matrix.blocks(step):
                values: dict[str, Any] = {name: block[:, k] for name, k in genes}
                values |= {name: cells.read(name, first, first + len(block)) for name in notes}
                yield Chunk(self.name, first + 1, values, len(block), "cell")
                first += len(block)

    def _matrix(self, root: Any) -> Matrix:
        """Return the matrix of the records; raise `InvalidConfig`, naming those there are, if it is not there."""
        layers = hdf5.node(root, "layers", self.name)
        named = [f"layers/{name}" for name in layers] if hasattr(layers, "keys") else []
        found = hdf5.node(root, self._layer, self.name) if self._layer in ("X", "raw/X", *named) else None
        if found is None and self._layer == "raw/X":
            found = hdf5.node(root, "raw.X", self.name)  # as anndata before 0.7 has it
        if found is None:
            raw = ["raw/X"] * any(hdf5.node(root, path, self.name) is not None for path in ("raw/X", "raw.X"))
            has = [*(["X"] * (hdf5.node(root, "X", self.name) is not None)), *raw, *named]
            raise InvalidConfig(
                f"{self.name} has no matrix {self._layer!r}; it has {listed(has)}",
                hint=f"--layer {has[0]}" if has else "",
            )
        return of(found, self._layer, self.name)

    def _frame(self, root: Any, path: str) -> Frame:
        found = hdf5.node(root, path, self.name)
        if found is None and path == "raw/var":
            found = hdf5.node(root, "raw.var", self.name)
        if found is None:
            raise SourceError(f"{self.name} has no {path}; expected an annotated matrix, as anndata writes it")
        return Frame(found, root, path, self.name)

"""Which columns have one value in all rows of a unit, such as the sex of a patient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from ult.data.cells import has_text
from ult.data.composed.fields import texts
from ult.data.rows import Chunk
from ult.errors import SourceError

SAMPLE = 2**12  # units that are watched in the first pass
UNITS = 2**22  # units of which the values of the columns that are left can be compared


class Constant:
    """The columns that are constant in every unit: a sample of units in a first pass, all of them in a second."""

    def __init__(self, unit: str, names: Sequence[str]) -> None:
        self.unit, self.left = unit, list(names)
        self._seen: dict[str | None, list[Any]] = {}
        self._names = list(names)

    def add(self, chunk: Chunk) -> None:
        """Compare the rows of a chunk, as far as they are of the first units."""
        self._compare(chunk, SAMPLE, refuse=False)

    def columns(self, chunks: Callable[[Sequence[str]], Iterable[Chunk]]) -> set[str]:
        """Return the columns that are constant in every unit, after another pass over those that are left."""
        self._names, self._seen = list(self.left), {}
        if self.left:
            for chunk in chunks([self.unit, *self.left]):
                self._compare(chunk, UNITS, refuse=True)
        return set(self.left)

    def _compare(self, chunk: Chunk, most: int, *, refuse: bool) -> None:
        names = [name for name in self._names if name in chunk.columns]
        self.left = [name for name in self.left if name in names]
        columns = [_hashes(chunk, name) if name in self.left else None for name in names]
        for i, unit in enumerate(texts(chunk, self.unit)):
            cells = [column[i] if column is not None else None for column in columns]
            before = self._seen.get(unit)
            if before is None and len(self._seen) < most:
                self._seen[unit] = cells
            elif before is None and refuse:
                raise SourceError(
                    f"{chunk.name} has more than {most:,} different {self.unit!r}; expected fewer to compare",
                    hint="is it the column of the unit? Write the schema of the first files alone",
                )
            elif before is not None and before != cells:
                gone = {name for name, a, b in zip(names, before, cells, strict=True) if a != b}
                self.left = [name for name in self.left if name not in gone]


def _hashes(chunk: Chunk, name: str) -> list[int]:
    """Return a number for each cell, the same for cells that are the same."""
    values = chunk.columns[name]
    if not isinstance(values, pa.ChunkedArray) or has_text(values.type):
        return [*map(hash, texts(chunk, name))]
    cells = values.to_pylist()  # bytes, or lists of numbers
    return [hash(cell) if isinstance(cell, bytes) else hash(repr(cell)) for cell in cells]

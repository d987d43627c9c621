"""What every input is before it is records: rows of named, typed columns, read a chunk at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ult.data import files
from ult.errors import MissingColumn, MissingSource, SourceError

Column = Any  # one value a row: a list, a pa.ChunkedArray, or an array (n, ...)

ROWS = 1024  # rows in a chunk, at most
CHUNK_BYTES = 2**24  # a chunk is closed once its records hold so many bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one input; `first` is the number of the first, from 1, header lines not counted.

    Of lines it is counted from byte `start` of the input on.
    """

    name: str
    first: int
    columns: Mapping[str, Column]
    length: int
    unit: str = "row"
    start: int = 0

    def place(self, i: int) -> str:
        """Return where row `i` of this chunk stands, for an error."""
        return f"{self.name}, {self.unit} {self.first + i + files.count_lines(self.name, self.start)}"


class Rows(ABC):
    """The rows of one input, which can be read again and again."""

    name: str  # of the input, for errors
    types: Mapping[str, pa.DataType]  # of the columns, in order
    column: str | None = None  # of the records, where the input leaves no choice
    splits: bool = False  # whether `split` gives parts
    nbytes: int = 0  # of a part, about

    @abstractmethod
    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Give the rows of `columns`, in order."""

    def split(self, nbytes: int) -> Iterator[Rows]:
        """Give parts of about `nbytes` each, in order, which any process can read by itself."""
        raise NotImplementedError

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the types of the columns `keep`, which are there."""
        return pa.schema([(name, self.types[name]) for name in keep])

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise `MissingColumn` unless every one of `names` is there."""
        for name in names:
            if name not in self.types:
                raise MissingColumn(f"{self.name} has no column {name!r}; it has {listed(list(self.types))}")


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names quoted for an error, no more than `most` of them."""
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def existing(name: str) -> str:
    """Return `name`; raise `MissingSource` unless it is of a file that holds something."""
    if files.is_folder(name):
        raise MissingSource(
            f"{name} is a folder; expected a file", hint=f"{name.rstrip('/')}/*.txt for the files in it"
        )
    if not files.is_file(name):
        raise MissingSource(f"{name} is not there; expected a file", hint=files.where(name))
    try:
        with files.open_file(name) as file:
            empty = not file.read(1)
    except SourceError:
        raise
    except OSError as error:
        raise MissingSource(f"{name} cannot be read: {error.strerror}") from error
    if empty:
        raise SourceError(f"{name} is empty; expected records")
    return name

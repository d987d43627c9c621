"""What every kind of field does: its column becomes patches, its cells are read back, and it says what may follow."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.column import NOTHING, NULL
from ult.codecs.record.field import NEVER, Field, LeftOut
from ult.codecs.record.ordinal import NO_DAY
from ult.errors import CorruptSymbols


class Beside(NamedTuple):
    """What stands beside a column: the cells of its field `by`, and each date's own day and the day before it.

    `firsts`, (n,) bool, are the first rows of records, for a carried field: other rows leave out what the row before
    them has.
    """

    codes: Cells | None = None
    days: NDArray[np.int64] | None = None
    before: NDArray[np.int64] | None = None
    firsts: NDArray[np.bool_] | None = None


class Told(NamedTuple):
    """What a record tells before a cell: the category just before it, the last date, and the cell left out here.

    If `usual`, only cells may follow that a field may hold in a record that is made up: no null in a required field,
    and no text for a missing value that the field does not name.
    """

    code: str | None = None
    day: int = NO_DAY
    absent: LeftOut = None
    usual: bool = False


class Kind(ABC):
    """One field: its marker, and the symbols after the marker."""

    more = 0  # symbols of an alphabet of its own, which begins at `offset`
    lossless = True
    max_patch = 0
    hashable = True  # whether states of its cells can be remembered

    def __init__(self, field: Field, marker: int) -> None:
        self.field, self.marker = field, marker

    @abstractmethod
    def encode(self, cells: Any, beside: Beside) -> Patches:
        """Return the patches of a column, mostly `Cells`; raise `InvalidRecord` for a cell that the field refuses."""

    @abstractmethod
    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return a cell of a head (or NOTHING) and a body, as bytes and as symbols; raise `CorruptSymbols`."""

    @abstractmethod
    def start(self, told: Told) -> Any:
        """Return the state after the marker."""

    @abstractmethod
    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after one more symbol, or None if no cell goes on with it."""

    @abstractmethod
    def least(self, state: Any) -> int:
        """Return the fewest symbols that complete the cell; 0 where it may end."""

    def nullable(self, told: Told) -> bool:
        """Return whether NULL may follow the marker."""
        return told.absent is not None and not (told.usual and self.field.required)

    def alike(self, state: Any) -> Any:
        """Return a state without what makes no difference to how the cell goes on."""
        return state

    def cell(self, state: Any) -> str | None:
        """Return the finished cell, if a later one needs to know it: a category before a number, or a carried cell."""
        return None

    def day(self, state: Any) -> int | None:
        """Return the day of a finished date, or None if there is none."""
        return None

    def day_of(self, cell: Any) -> int | None:
        """Return the day of one cell, or None if it is no date."""
        return None

    def days(self, cells: Cells, beside: Beside) -> NDArray[np.int64]:
        """Return the day of each cell, (n,), NO_DAY for what is no date."""
        return np.full(len(cells), NO_DAY, np.int64)

    def texts(self, cells: Cells, beside: Beside) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which cells are present, and the head of each: NULL or NOTHING."""
        absent = self.field.left_out
        present = np.ones(len(cells), np.bool_) if absent is NEVER else ~cells.equal(absent)
        if beside.firsts is not None:
            present = np.where(beside.firsts, present, ~cells.repeats())
        return present, np.where(cells.nulls, NULL, NOTHING)


def least_of(text: bytes, choices: frozenset[str], absent: LeftOut) -> int | None:
    """Return the fewest bytes that make `text` one of `choices` other than `absent`, or None if none does."""
    spelled = [choice.encode("utf-8", "surrogatepass") for choice in choices if choice != absent]
    left = [len(choice) - len(text) for choice in spelled if choice.startswith(text)]
    return min(left) if left else None


def null_or(head: int, body: bytes) -> str | None:
    """Return the text of a body, or None after NULL; raise `CorruptSymbols`."""
    if head == NULL and not body:
        return None
    if head != NOTHING:
        raise CorruptSymbols("a cell begins with a symbol that is not of its kind")
    return text_of(body)


def at_fit(name: str, kind: str) -> str:
    """Return a hint for a cell that a field of the table does not take: what a table has to be fitted with."""
    return f"--form {shlex.quote(f'{name}={kind}')}, of ult fit or ult describe, takes any text"


def text_of(body: bytes) -> str:
    """Return a text of its UTF-8; raise `CorruptSymbols`."""
    try:
        return body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise CorruptSymbols("a cell is not UTF-8") from None

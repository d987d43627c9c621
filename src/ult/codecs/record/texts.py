"""Fields of texts: categories, free text, lists, and the marker of a row."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np

from ult.codecs.cells import Cells
from ult.codecs.patches import Patches, Symbols
from ult.codecs.pretokenizer import cut_words
from ult.codecs.record.column import NOTHING, NULL, TEXT, long, short
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Beside, Kind, Told, null_or
from ult.codecs.record.spelled import least_bytes, spelled, start_text, without_text
from ult.codecs.record.typed import machine_of
from ult.errors import CorruptSymbols


class Category(Kind):
    """A text that many records share, in one patch with its marker.

    `wanted` is how many bytes of it the field after it needs to know.
    """

    wanted = 0

    def __init__(self, field: Field, marker: int) -> None:
        super().__init__(field, marker)
        self.machine = machine_of(field.type, field.absent)

    def encode(self, cells: Cells, beside: Beside) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells, beside)
        return short(self.marker, heads, present, cells.data, cells.ends)

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return the text."""
        return null_or(head, body)

    def start(self, told: Told) -> Any:
        """Return the state of an empty text."""
        return start_text(told.absent, self.wanted, nullable=self.nullable(told), usual=told.usual)

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a byte, or after NULL at the start."""
        return spelled(state, symbol, self.machine)

    def least(self, state: Any) -> int:
        """Return how many bytes are missing."""
        return least_bytes(state, self.machine)

    def alike(self, state: Any) -> Any:
        """Return a state without a text that makes no difference."""
        return without_text(state)

    def cell(self, state: Any) -> str | None:
        """Return the text, or None after NULL or if it is longer than anybody needs to know."""
        return None if state.null or state.text is None else state.text.decode("utf-8", "surrogatepass")


class Text(Category):
    """A long text: its marker alone, then the words of `text/bytes`."""

    def encode(self, cells: Cells, beside: Beside) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells, beside)
        there = cells if present.all() else cells.taken(present)
        return long(self.marker, heads, present, Patches(there.data, *cut_words(there.data, there.ends)))


class Items(Kind):
    """A text that is a list: a category for each item, each with the marker."""

    def __init__(self, field: Field, marker: int) -> None:
        super().__init__(field, marker)
        self.machine = machine_of(field.type, field.absent)

    def encode(self, cells: Cells, beside: Beside) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells, beside)
        mark = self.field.separator
        many = [cell.split(mark) if cell is not None else [None] for cell in cells]
        counts = np.fromiter(map(len, many), np.int64, len(cells))
        items = Cells.of([item for several in many for item in several])
        found = short(self.marker, np.repeat(heads, counts), np.repeat(present, counts), items.data, items.ends)
        return Patches(found.symbols, found.ends, np.append(0, found.records)[np.cumsum(counts)])

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return one item; the reader joins them."""
        return null_or(head, body)

    def start(self, told: Told) -> Any:
        """Return the state of an empty list."""
        return start_text(told.absent, nullable=self.nullable(told), usual=told.usual), b"", True

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a byte of an item, or after the marker of the next one."""
        whole, item, first = state
        if symbol == self.marker:
            if whole.null or whole.utf8:
                return None
            for byte in self.field.separator.encode("utf-8", "surrogatepass"):
                whole = spelled(whole, byte, self.machine) if whole is not None else None
            return None if whole is None else (whole, b"", False)
        if symbol == NULL and not first:
            return None
        whole = spelled(whole, symbol, self.machine)
        item = item + bytes([symbol]) if symbol < TEXT else item
        if whole is None or self.field.separator.encode("utf-8", "surrogatepass") in item:
            return None
        return whole, item[-len(self.field.separator.encode("utf-8", "surrogatepass")) :], first and symbol == NULL

    def alike(self, state: Any) -> Any:
        """Return a state without a text that makes no difference."""
        return without_text(state[0]), *state[1:]

    def least(self, state: Any) -> int:
        """Return how many bytes are missing."""
        return least_bytes(state[0], self.machine)


class Mark(Enum):
    """What a marker of rows says: NULL may follow the first of required rows, of which there are none then."""

    FIRST = "first"
    ROW = "row"
    NONE = "none"


class Marks(Kind):
    """The rows of a field of rows: the marker that begins each row."""

    def encode(self, cells: Any, beside: Beside) -> Patches:
        """Return the marker for each row."""
        n = len(cells)
        none, there = np.full(n, NOTHING, np.int64), np.ones(n, np.bool_)
        return short(self.marker, none, there, np.empty(0, np.uint8), np.zeros(n, np.int64))

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return whether a row begins; raise `CorruptSymbols` if something else than NULL follows the marker."""
        if head not in (NOTHING, NULL) or body:
            raise CorruptSymbols("a row begins with a symbol that is no marker of its fields")
        return head == NOTHING

    def start(self, told: Told) -> Any:
        """Return the state after the marker."""
        return Mark.FIRST if self.nullable(told) else Mark.ROW

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after NULL: fields follow with markers of their own."""
        return Mark.NONE if symbol == NULL and state is Mark.FIRST else None

    def least(self, state: Any) -> int:
        """Return 0: the grammar of records knows what a row needs."""
        return 0

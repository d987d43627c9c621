"""Fields whose cells another codec encodes: images, series, molecules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.column import NOTHING, NULL, long
from ult.codecs.record.field import Field, LeftOut
from ult.codecs.record.kind import Beside, Kind, Told
from ult.errors import CorruptSymbols, InvalidRecord


class Given(NamedTuple):
    """A cell that was read, with its symbols: an image has more than one spelling, so it is not encoded to check it."""

    cell: Any
    symbols: Symbols


class Child(Kind):
    """A cell that another codec encodes, with symbols of its own from `offset` on."""

    def __init__(self, field: Field, marker: int, codec: Any, offset: int) -> None:
        super().__init__(field, marker)
        self.codec, self.offset = codec, offset
        self.more, self.max_patch, self.lossless = codec.alphabet, codec.max_patch, codec.lossless
        self.grammar, self.usual = codec.grammar(), codec.usual_grammar()
        self.hashable = codec.modality != "image"  # a state of an image holds arrays

    def encode(self, cells: Any, beside: Beside) -> Patches:
        """Return the patches of a column."""
        cells, absent = list(cells), self.field.left_out
        present = np.fromiter((cell is not None and not _is(cell, absent) for cell in cells), np.bool_, len(cells))
        nulls = np.fromiter((cell is None and absent is not None for cell in cells), np.bool_, len(cells))
        heads = np.where(nulls, NULL, NOTHING)
        found = self._patches([cell for cell, there in zip(cells, present, strict=True) if there])
        records = np.zeros(len(cells), np.int64)
        records[present] = np.diff(found.records, prepend=0)
        records = np.cumsum(records)[present | nulls]
        moved = Patches(found.symbols.astype(np.uint32) + np.uint32(self.offset), found.ends, records)
        return long(self.marker, heads, present | nulls, moved)

    def _patches(self, cells: Sequence[Any]) -> Patches:
        if not any(isinstance(cell, Given) for cell in cells):
            return self._encoded(cells)
        sizes = [len(cell.symbols) for cell in cells]
        ends = np.cumsum([size for size in sizes if size])
        return Patches(np.concatenate([cell.symbols for cell in cells]), ends, np.cumsum([size > 0 for size in sizes]))

    def _encoded(self, cells: Sequence[Any]) -> Patches:
        try:
            return self.codec.encode_batch(cells)  # type: ignore[no-any-return]
        except InvalidRecord as error:  # whose hint is for a table of such records alone
            hint = "ult describe measures the options of the field, in a file that holds such values" * bool(error.hint)
            raise InvalidRecord(error.what, hint=hint) from None

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return what the other codec decodes."""
        if head == NULL and not len(symbols):
            return None
        if head != NOTHING or (len(symbols) and int(symbols.min()) < self.offset):
            raise CorruptSymbols(f"{self.codec.id} symbols begin with another one")
        own = symbols - np.uint32(self.offset)
        cell = self.codec.decode(own)
        return Given(cell, own) if self.codec.modality == "image" else cell

    def start(self, told: Told) -> Any:
        """Return the start of the other codec's grammar."""
        return self.grammar.start(), True, self.nullable(told), told.usual

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a symbol of the other codec, or after NULL at the start."""
        inner, first, nullable, usual = state
        if symbol == NULL:
            return (None, False, False, usual) if first and nullable else None
        if inner is None or not self.offset <= symbol < self.offset + self.more:
            return None
        after = (self.usual if usual else self.grammar).advance(inner, np.array([symbol - self.offset], np.uint32))
        return None if after is None else (after, False, False, usual)

    def least(self, state: Any) -> int:
        """Return how many symbols are missing."""
        inner, first, nullable, _ = state
        if inner is None:
            return 0
        empty = first and self.field.absent == ""  # the empty cell leaves the field out
        found = max(int(self.grammar.least(inner)), int(empty))
        return min(found, 1) if nullable else found


def _is(cell: Any, absent: LeftOut) -> bool:
    return isinstance(cell, str) and cell == absent

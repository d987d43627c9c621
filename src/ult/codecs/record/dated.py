"""Fields of dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.column import NOTHING, NULL, TEXT, short, utf8_of
from ult.codecs.record.date import NO_DAY, Dates
from ult.codecs.record.field import Field
from ult.codecs.record.kind import Kind, Told, least_of, null_or, text_of
from ult.errors import CorruptSymbols, InvalidRecord


class Date(Kind):
    """A date: as written, or as days since the date before it."""

    def __init__(self, field: Field, marker: int) -> None:
        super().__init__(field, marker)
        self.dates = Dates(field)

    def days(self, cells: Sequence[str | None]) -> NDArray[np.int64]:
        """Return the day of each cell, (n,), NO_DAY for what is no date."""
        return self.dates.days(cells, self._dated(cells))

    def _dated(self, cells: Sequence[Any]) -> NDArray[np.bool_]:
        present, heads = self.texts(cells)
        found = self.dates.is_date(*utf8_of(cells)) & present & (heads == NOTHING)
        if self.dates.missing:
            found &= np.fromiter((cell not in self.dates.missing for cell in cells), np.bool_, len(cells))
        return np.asarray(found)

    def encode(
        self, cells: Sequence[Any], codes: Sequence[str | None] | None, before: NDArray[np.int64] | None
    ) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells)
        dated = self._dated(cells)
        other = present & (heads == NOTHING) & ~dated
        for i in np.flatnonzero(other).tolist():
            if cells[i] not in self.dates.missing:
                raise InvalidRecord(f"cell is no date of the form {' or '.join(self.field.forms)} that exists")
        heads[other] = TEXT
        texts = list(cells)
        days = before.tolist() if before is not None else [NO_DAY] * len(cells)
        for i in np.flatnonzero(dated).tolist():
            texts[i] = self.dates.written(cells[i], days[i])
        return short(self.marker, heads, present, *utf8_of(texts))

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return the date."""
        if head in (TEXT, NULL):
            return null_or(head if head == NULL else NOTHING, body)
        cell = self.dates.read(text_of(body), told.day)
        if head != NOTHING or cell is None:
            raise CorruptSymbols("symbols spell no date")
        return cell

    def start(self, told: Told) -> Any:
        """Return the state: the head, the text, the state of its automaton, and the day before."""
        return NOTHING, b"", 0, told.day

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a byte, or after a head at the start."""
        head, text, at, day = state
        if symbol in (NULL, TEXT):
            allowed = head == NOTHING and not text and (self.field.absent is not None or symbol == TEXT)
            return self._possible((symbol, b"", 0, day)) if allowed else None
        if head == NULL or symbol >= TEXT:
            return None
        text += bytes([symbol])
        if head == NOTHING:
            machine = self.dates.machine if day == NO_DAY else self.dates.later
            at = int(machine.follow[at, symbol])
        return self._possible((head, text, at, day)) if at >= 0 else None

    def least(self, state: Any) -> int:
        """Return how many bytes are missing."""
        found = self._least(state)
        return 1 if found is None else found

    def _possible(self, state: Any) -> Any:
        return None if self._least(state) is None else state

    def _least(self, state: Any) -> int | None:
        head, text, at, day = state
        if head == NULL:
            return 0
        if head == TEXT:
            return least_of(text, self.dates.missing, self.field.absent)
        machine = self.dates.machine if day == NO_DAY else self.dates.later
        missing = int(machine.missing[at])
        if day != NO_DAY and text[:1] in (b"+", b"-") and self._beyond(text, day):
            return None
        if missing == 0 and self._cell(text, day) in {self.field.absent, *self.dates.missing}:
            return 6  # a time of day, such as T00:00
        return missing

    def _beyond(self, text: bytes, day: int) -> bool:
        """Return whether the difference with which `text` begins leads to no date."""
        least = {b"+": b"+0", b"-": b"-1"}.get(text, text)
        return self.dates.read(least.decode(), day) is None

    def _cell(self, text: bytes, day: int) -> str | None:
        return self.dates.read(text.decode(), day)

    def tells(self, state: Any, told: Told) -> Told:
        """Tell the day to the dates after it."""
        head, text, _, day = state
        if head != NOTHING:
            return Told(None, told.day)
        cell = self._cell(text, day)
        return Told(None, self.dates.day(cell).number if cell is not None else told.day)

"""Fields of dates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells, Flags
from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.column import NOTHING, NULL, TEXT, short
from ult.codecs.record.date import NO_DAY, Dates
from ult.codecs.record.field import Field, LeftOut
from ult.codecs.record.kind import Beside, Kind, Told, at_fit, least_of, null_or, text_of
from ult.codecs.record.moments import fewest_digits, typed_dates
from ult.codecs.record.pattern import Machine
from ult.errors import CorruptSymbols, InvalidRecord

_TIME = 6  # bytes of a time of day, such as T00:00


class Dating(NamedTuple):
    """A date so far: its head, text, the state of its automaton, the day before it, and the cell that is left out.

    `nullable` says whether NULL may be the head, and `usual` whether only named texts are a missing value.
    """

    head: int
    text: bytes
    at: int
    day: int
    absent: LeftOut
    nullable: bool
    usual: bool


class Date(Kind):
    """A date: as written, or as days since the date before it."""

    def __init__(self, field: Field, marker: int) -> None:
        super().__init__(field, marker)
        self.dates, self.typed = Dates(field), typed_dates(field.type, field.forms[0])

    def days(self, cells: Cells, beside: Beside) -> NDArray[np.int64]:
        """Return the day of each cell, (n,), NO_DAY for what is no date, or is left out."""
        present, heads = self.texts(cells, beside)
        return self.dates.days(cells, self._dated(cells, present & (heads == NOTHING)))

    def _dated(self, cells: Cells, among: Flags) -> Flags:
        return self.dates.is_date(cells) & among & ~cells.among(self.dates.missing)

    def encode(self, cells: Cells, beside: Beside) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells, beside)
        plain = present & (heads == NOTHING)
        days = self.dates.days(cells, self._dated(cells, plain)) if beside.days is None else beside.days
        other = plain & (days == NO_DAY)
        if other.any() and (other & ~cells.among(self.dates.missing)).any():
            forms = " or ".join(self.field.forms)
            raise InvalidRecord(
                f"cell is no date of the form {forms} that exists", hint=at_fit(self.field.name, "category")
            )
        heads[other] = TEXT
        before = np.full(len(cells), NO_DAY) if beside.before is None else beside.before
        found = self.dates.differences(cells, days, before)
        return short(self.marker, heads, present, found.data, found.ends)

    def day_of(self, cell: str) -> int | None:
        """Return the day of one cell, or None if it is no date."""
        spelled = cell.encode("utf-8", "surrogatepass")
        dated = cell not in self.dates.missing and self.dates.machine.accepts(spelled)
        return self.dates.day(cell).number if dated else None

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return the date."""
        if head in (TEXT, NULL):
            return null_or(head if head == NULL else NOTHING, body)
        cell = self.dates.read(text_of(body), told.day)
        if head != NOTHING or cell is None:
            raise CorruptSymbols("symbols spell no date")
        return cell

    def start(self, told: Told) -> Any:
        """Return the state before the head."""
        return Dating(NOTHING, b"", 0, told.day, told.absent, self.nullable(told), told.usual)

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a byte, or after a head at the start."""
        if symbol in (NULL, TEXT):
            allowed = state.head == NOTHING and not state.text and (state.nullable or symbol == TEXT)
            return self._possible(state._replace(head=symbol)) if allowed else None
        if state.head == NULL or symbol >= TEXT:
            return None
        at = int(self._machine(state).follow[state.at, symbol]) if state.head == NOTHING else 0
        return self._possible(state._replace(text=state.text + bytes([symbol]), at=at)) if at >= 0 else None

    def least(self, state: Any) -> int:
        """Return how many bytes are missing."""
        if state.nullable and state.head == NOTHING and not state.text:
            return 1
        found = self._least(state)
        if state.head == NOTHING and not state.text and found is not None:
            said = self._said(state)
            found = min(found, found if said is None else 1 + said)
        return 1 if found is None else found

    def cell(self, state: Any) -> str | None:
        """Return the date as it was written."""
        text: str = state.text.decode("utf-8", "surrogatepass")
        return None if state.head == NULL else text if state.head == TEXT else self.dates.read(text, state.day)

    def day(self, state: Any) -> int | None:
        """Return the day of the date, or None if the cell is none."""
        cell = self.cell(state) if state.head == NOTHING else None
        return None if cell is None else self.dates.day(cell).number

    def _machine(self, state: Dating) -> Machine:
        of = self.typed if self.typed is not None and state.usual else self.dates
        return of.machine if state.day == NO_DAY else of.later

    def _possible(self, state: Dating) -> Dating | None:
        return None if self._least(state) is None else state

    def _least(self, state: Dating) -> int | None:
        if state.head == NULL:
            return 0
        if state.head == TEXT:
            return self._said(state)
        if state.day != NO_DAY and state.text[:1] in (b"+", b"-") and self._beyond(state.text, state.day):
            return None
        beside = self._beside(state)
        if beside is None:
            return None
        missing = int(self._machine(state).missing[state.at]) + beside
        if missing == 0 and self.cell(state) in {state.absent, *self.dates.missing}:
            return _TIME if self._may_go_on(state) else None
        return missing

    def _said(self, state: Dating) -> int | None:
        """Return the fewest bytes that make of the text one for a missing value, or None."""
        return least_of(state.text, self.dates.named if state.usual else self.dates.missing, state.absent)

    def _may_go_on(self, state: Dating) -> bool:
        """Return whether a time of day may follow, as it does after a bare date."""
        return bool((self._machine(state).follow[state.at] >= 0).any())

    def _beyond(self, text: bytes, day: int) -> bool:
        """Return whether the difference with which `text` begins leads to no date."""
        least = {b"+": b"+0", b"-": b"-1"}.get(text, text)
        return self.dates.read(least.decode(), day) is None

    def _beside(self, state: Dating) -> int | None:
        """Return how many digits of a difference are missing to a day that the field's column can hold, beside others.

        None says that no digits lead to one.
        """
        if self.typed is None or not state.usual or state.day == NO_DAY:
            return 0
        if not state.text:
            both = [fewest_digits(sign, state.day, self.typed.days) for sign in "+-"]
            return min((one - 1 for one in both if one is not None), default=None)
        said = state.text.decode()
        size = next((k for k in range(1, len(said)) if said[k] not in "0123456789"), len(said))
        more = fewest_digits(said[:size], state.day, self.typed.days)
        if more is None or (more and size < len(said)):
            return None
        return more - (size == 1)

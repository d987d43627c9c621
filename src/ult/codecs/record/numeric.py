"""Fields of numbers."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

import numpy as np

from ult.codecs.cells import Cells
from ult.codecs.patches import Patches, Symbols
from ult.codecs.record.column import FIRST_BIN, NOTHING, NULL, TEXT, short
from ult.codecs.record.field import Field, LeftOut
from ult.codecs.record.kind import Beside, Kind, Told, at_fit, least_of, null_or, text_of
from ult.codecs.record.number import Numbers
from ult.codecs.record.reach import GROUP, Interval, fewest, fewest_plain, interval_of, stays
from ult.codecs.record.typed import plain_of
from ult.errors import CorruptSymbols, InvalidRecord

LONGEST = 1000  # bytes of a number with what stands before and after it
_REMEMBERED = 2**16  # beginnings of numbers whose ends are remembered


class Begun(NamedTuple):
    """A number so far: its head, its text, the code that chooses its edges, the cell that is left out.

    `nullable` says whether NULL may be the head, and `usual` whether only named texts are a missing value. The text is
    None if every number that begins so lies in the bin.
    """

    head: int
    text: bytes | None
    code: str | None
    absent: LeftOut
    nullable: bool
    usual: bool
    at: int = 0  # the state of the automaton after the text


class Number(Kind):
    """A number: the bin of its value and its text, or the bin alone."""

    def __init__(self, field: Field, marker: int) -> None:
        super().__init__(field, marker)
        self.numbers = Numbers(field)
        self._follow: list[list[int]] = self.numbers.machine.follow.tolist()
        self.lossless = not field.levels
        self._least: dict[Begun, int | None] = {}
        self._group = field.thousands.encode("utf-8")
        self._afters = [after.encode("utf-8", "surrogatepass") for after in field.after]
        self._shortest = min(map(len, self._afters))
        group = {ord(field.thousands): GROUP} if field.thousands else {}
        self._marks = {**group, ord(field.decimal): "."}
        self.plain = plain_of(field.type)
        self._check_levels()

    def _check_levels(self) -> None:
        """Raise `InvalidConfig` unless each level is a number of its bin that is written by its bin."""
        said: set[LeftOut] = {self.field.left_out, *self.numbers.missing}
        for k, level in enumerate(self.field.levels):
            right = level not in said and self.numbers.machine.accepts(level.encode("utf-8", "surrogatepass"))
            if not right or self.numbers.bin_of(level, None) != k:
                raise self.field.wrong(f"level {level!r} is no number of bin {k}, or says that there is none")

    def encode(self, cells: Cells, beside: Beside) -> Patches:
        """Return the patches of a column."""
        present, heads = self.texts(cells, beside)
        said = cells.among(self.numbers.missing) & present & ~cells.nulls
        heads[said] = TEXT
        plain = present & (heads == NOTHING)
        right = self.numbers.is_number(cells.data, cells.ends) & (cells.sizes <= LONGEST)
        if (wrong := plain & ~right).any():
            raise self._refusal(cells[int(np.argmax(wrong))] or "")
        if plain.all():
            heads = FIRST_BIN + self.numbers.bins(cells, beside.codes)
        elif plain.any():
            of = None if beside.codes is None else beside.codes.taken(plain)
            heads[plain] = FIRST_BIN + self.numbers.bins(cells.taken(plain), of)
        if self.field.levels:
            cells = cells.blanked(heads == TEXT)
        return short(self.marker, heads, present, cells.data, cells.ends)

    def _refusal(self, cell: str) -> InvalidRecord:
        mark = f"{self.field.decimal!r} as its decimal mark"
        if self.field.thousands:
            mark += f" and {self.field.thousands!r} between thousands"
        what = "is blank" if not cell.strip() else "is no number" if len(cell) <= LONGEST else "is too long a number"
        expected = f"expected a number with {mark}, or one of its texts for a missing value"
        other = "," if self.field.decimal == "." else "."
        marked = other in cell and other != self.field.thousands
        means = (
            f"--form {shlex.quote(f'{self.field.name}={other}')} if {other} is its decimal mark, or " if marked else ""
        )
        return InvalidRecord(f"cell {what}; {expected}", hint=means + at_fit(self.field.name, "category"))

    def read(self, head: int, body: bytes, symbols: Symbols, told: Told) -> Any:
        """Return the number."""
        if head in (TEXT, NULL):
            return null_or(head if head == NULL else NOTHING, body)
        if head < FIRST_BIN:
            raise CorruptSymbols("a number has no bin")
        if not self.field.levels:
            return text_of(body)
        if body or head - FIRST_BIN >= len(self.field.levels):
            raise CorruptSymbols("a number has no such level")
        return self.field.levels[head - FIRST_BIN]

    def start(self, told: Told) -> Any:
        """Return the state before the head."""
        code = told.code if self.field.by else None
        return Begun(NOTHING, b"", code, told.absent, self.nullable(told), told.usual)

    def step(self, state: Any, symbol: int) -> Any:
        """Return the state after a head at the start, else after a byte."""
        if state.head == NOTHING:
            if symbol <= 255 or (symbol == NULL and not state.nullable):
                return None
            after = state._replace(head=symbol)
            return after if self._missing(after) is not None else None
        if symbol > 255 or state.head == NULL:
            return None
        at = self._follow[state.at][symbol] if state.head >= FIRST_BIN else 0
        if at < 0:
            return None
        text = None if state.text is None else state.text + bytes([symbol])
        after = state._replace(text=text, at=at)
        return after if self._missing(after) is not None else None

    def least(self, state: Any) -> int:
        """Return how many symbols are missing."""
        if state.head == NOTHING:
            return 1 if state.nullable else self._fewest_heads(state)
        found = self._missing(state)
        return 1 if found is None else found

    def _fewest_heads(self, state: Begun) -> int:
        """Return the fewest symbols of a cell of which nothing is written."""
        bins = 1 + len(self.field.edges_for(state.code))
        heads = [TEXT, *range(FIRST_BIN, FIRST_BIN + bins)]
        found = [self._missing(state._replace(head=head)) for head in heads]
        return 1 + min(one for one in found if one is not None)

    def cell(self, state: Any) -> str | None:
        """Return the number as it is written, or None after NULL or if nobody needs to know it."""
        if state.head >= FIRST_BIN and self.field.levels:
            level: str = self.field.levels[state.head - FIRST_BIN]
            return level
        if state.head == NULL or state.text is None:
            return None
        text: str = state.text.decode("utf-8", "surrogatepass")
        return text

    def alike(self, state: Any) -> Any:
        """Return a state without a text that makes no difference: no more digits lead out of the bin."""
        text = state.text
        if state.head < FIRST_BIN or not text or len(text) > LONGEST // 2 or self._is_bound(state):
            return state
        said = (state.absent, *self.numbers.missing)
        if any(one.encode("utf-8", "surrogatepass").startswith(text) for one in said if isinstance(one, str)):
            return state
        within = interval_of(self.field.edges_for(state.code), state.head - FIRST_BIN)
        starts = [before.encode("utf-8", "surrogatepass") for before in self.field.before]
        cores = [text[len(start) :] for start in starts if text.startswith(start)]
        whole = [core for core in cores if self.numbers.core_size(core) == len(core)]
        inside = whole and all(stays(self._pointed(core.decode("utf-8", "replace")), within) for core in whole)
        return state._replace(text=None) if inside else state

    def _is_bound(self, state: Begun) -> bool:
        """Return whether what a number may go on with depends on more than its bin."""
        return self.field.exponent or bool(self.field.levels) or (self.plain is not None and state.usual)

    def _missing(self, state: Begun) -> int | None:
        if state.text is None:
            return int(self.numbers.machine.missing[state.at])
        if state not in self._least:
            if len(self._least) >= _REMEMBERED:
                self._least.clear()
            found = self._fewest(state)
            long = found is not None and state.head >= FIRST_BIN and len(state.text) + found > LONGEST
            self._least[state] = None if long else found
        return self._least[state]

    def _fewest(self, state: Begun) -> int | None:
        if state.head == NULL or state.text is None:
            return 0
        if state.head == TEXT:
            return least_of(state.text, self.numbers.named if state.usual else self.numbers.missing, state.absent)
        number, edges = state.head - FIRST_BIN, self.field.edges_for(state.code)
        if number > len(edges):
            return None
        if self.field.levels:
            return 0 if not state.text and self.field.levels[number] != state.absent else None
        if self.plain is not None and state.usual:
            return self._fewest_plain(state, interval_of(edges, number))
        return self._fewest_of(state.text, number, edges, {state.absent, *self.numbers.missing})

    def _fewest_plain(self, state: Begun, within: Interval) -> int | None:
        """Return the fewest bytes that make of the text a number of the bin that the field's column can hold."""
        said = {state.absent, *self.numbers.missing}
        text = (state.text or b"").decode("ascii")
        found = None if self.plain is None else fewest_plain(text, within, self.plain)
        if found == 0 and text in said:  # another number must begin so
            more = [self._missing(state._replace(text=(text + sign).encode())) for sign in "0123456789."]
            longer = [one for one in more if one is not None]
            return 1 + min(longer) if longer else None
        return found

    def _fewest_of(self, text: bytes, number: int, edges: tuple[str, ...], excluded: set[LeftOut]) -> int | None:
        """Return the fewest bytes that make of `text` a number of the bin that is not one of `excluded`."""
        within = interval_of(edges, number)
        options = []
        for before in self.field.before:
            start = before.encode("utf-8", "surrogatepass")
            if start.startswith(text) and text != start:
                inner = fewest("", within, self.field)
                options += [len(start) - len(text) + inner + self._shortest] if inner is not None else []
            elif text.startswith(start):
                options += self._ends(text, len(start), within, excluded)
        return min(options) if options else None

    def _ends(self, text: bytes, start: int, within: Interval, excluded: set[LeftOut]) -> list[int]:
        """Return how many bytes are missing to each end of a number that begins at `start`."""
        rest = text[start:]
        size = self.numbers.core_size(rest)
        mark = next((k for k in range(len(self._group) - 1, 0, -1) if rest[:size].endswith(self._group[:k])), 0)
        found = self._after_mark(rest[: size - mark], mark, within) if mark and size == len(rest) else []
        return found + self._after_core(text, start, size - mark, within, excluded)

    def _after_mark(self, core: bytes, mark: int, within: Interval) -> list[int]:
        """Return how many bytes are missing where a mark between thousands has begun with `mark` bytes."""
        more = fewest(self._pointed(core.decode("utf-8") + self.field.thousands), within, self.field)
        return [] if more is None else [len(self._group) - mark + more + self._shortest]

    def _after_core(self, text: bytes, start: int, size: int, within: Interval, excluded: set[LeftOut]) -> list[int]:
        """Return how many bytes are missing to each end of a number with `size` bytes from `start` on."""
        rest = text[start:]
        core = rest[:size].decode("utf-8")
        if size < len(rest):  # what stands after the number has begun, so its value is known
            if not self.numbers.is_core(rest[:size]) or fewest(self._pointed(core), within, self.field) != 0:
                return []
            left = [after for after in self._afters if after.startswith(rest[size:])]
            whole = [(len(after) - len(rest) + size, text[: start + size] + after) for after in left]
            return [more for more, said in whole if said.decode("utf-8", "surrogatepass") not in excluded]
        more = fewest(self._pointed(core), within, self.field)
        if more is None:
            return []
        same = more == 0 and self._shortest == 0 and text.decode("utf-8", "surrogatepass") in excluded
        return [more + self._shortest + int(same)]

    def _pointed(self, core: str) -> str:
        """Return a number with a point as its decimal mark, and GROUP between thousands."""
        return core.translate(self._marks)

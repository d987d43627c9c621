"""Targets that are nearly copies of parts of their sources, written with pointers instead of what they copy.

A source has parts, each a list of pieces: what its ids spell. A run of pieces that the target spells too is written as
two pointers, ids above all others: to where it begins, the part and how far from the beginning of that part, and to
where it ends, how far from the end of the part. So "all of the first part but its last piece" is the same two pointers
whatever the part holds and however long it is. What stands between the runs is encoded by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Pieces = Sequence[str]


@dataclass(frozen=True)
class Pointers:
    """Pointers to `places` places in `parts` parts: the ids from `first` on."""

    first: int
    parts: int = 3
    places: int = 64
    least: int = 4  # tokens of the target that are worth two pointers
    ending: int = 2  # the same, of a run that ends where its part ends

    @property
    def size(self) -> int:
        """How many ids there are, those below `first` included."""
        return self.first + (self.parts + 1) * self.places

    def written(self, source: Sequence[Pieces], tokens: Pieces, encode: Callable[[str], Sequence[Any]]) -> list[int]:
        """Return a target, given in tokens that no run may break, with pointers and what `encode` makes of the rest.

        From left to right the longest run is taken, of equal ones the first.
        """
        text, ends = "".join(tokens), list(accumulate(map(len, tokens), initial=0))
        number = {end: k for k, end in enumerate(ends)}
        found: list[int] = []
        at = begun = 0  # tokens; those from `begun` on are not yet written
        while at < len(tokens):
            length, pointers = self._longest(source, text, ends[at], number)
            if length:
                found += [*map(int, encode(text[ends[begun] : ends[at]])), *pointers]
                begun = at + length
            at += max(length, 1)
        return [*found, *map(int, encode(text[ends[begun] :]))]

    def read(self, source: Sequence[Sequence[int]], written: Sequence[int]) -> list[int] | None:
        """Return the ids that `written` stands for, given the ids of each part; None if a pointer points to nothing."""
        found: list[int] = []
        begun: tuple[int, int] | None = None
        for one in map(int, written):
            part, place = divmod(one - self.first, self.places)
            if part < 0 and begun is None:
                found.append(one)
            elif 0 <= part < min(self.parts, len(source)) and begun is None:
                begun = part, place
            elif part == self.parts and begun is not None and begun[1] < len(source[begun[0]]) - place:
                found += map(int, source[begun[0]][begun[1] : len(source[begun[0]]) - place])
                begun = None
            else:
                return None
        return None if begun else found

    def _longest(
        self, source: Sequence[Pieces], text: str, start: int, number: dict[int, int]
    ) -> tuple[int, tuple[int, int]]:
        best, pointers = 0, (0, 0)
        for part, pieces in enumerate(source[: self.parts]):
            for begin in range(min(len(pieces), self.places)):
                end = start
                for k in range(begin, len(pieces)):
                    if not text.startswith(pieces[k], end):
                        break
                    end += len(pieces[k])
                    left = len(pieces) - k - 1
                    length = number.get(end, 0) - number[start]
                    if length > best and length >= (self.least if left else self.ending) and left < self.places:
                        best = length
                        pointers = self.first + part * self.places + begin, self.first + self.parts * self.places + left
        return best, pointers

"""Patterns of text as finite automata: which cells a field accepts, and how a cell that has begun may go on.

A pattern is built from `literal`, `one_of`, `digits`, `sequence`, `either` and `repeat`, and `compile_pattern` makes an
automaton of it over the bytes of UTF-8. The encoder checks whole columns with it, and the grammar follows it symbol by
symbol, so both accept the same texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Follow
from ult.codecs.patches import Ends
from ult.errors import InvalidConfig
from ult.host.kernel import njit

_MAX_STATES = 2**14


class Pattern(NamedTuple):
    """A regular expression as a tree: `kind` is "byte", "sequence", "either" or "repeat"."""

    kind: str
    parts: tuple[Pattern, ...] = ()
    choice: frozenset[int] = frozenset()
    least: int = 0
    most: int | None = None


def one_of(characters: str) -> Pattern:
    """Return the pattern of one of some ASCII characters."""
    return Pattern("byte", choice=frozenset(characters.encode("ascii")))


def literal(text: str) -> Pattern:
    """Return the pattern of exactly `text`."""
    return sequence(*(Pattern("byte", choice=frozenset([byte])) for byte in text.encode("utf-8", "surrogatepass")))


def digits(least: int, most: int | None = None) -> Pattern:
    """Return the pattern of `least` to `most` digits, or of any number from `least` on."""
    return repeat(one_of("0123456789"), least, most)


def sequence(*parts: Pattern) -> Pattern:
    """Return the pattern of `parts`, one after the other."""
    return Pattern("sequence", parts)


def either(*parts: Pattern) -> Pattern:
    """Return the pattern of one of `parts`."""
    return Pattern("either", parts)


def repeat(part: Pattern, least: int, most: int | None) -> Pattern:
    """Return the pattern of `least` to `most` times `part`; without `most`, of any number from `least` on."""
    return Pattern("repeat", (part,), least=least, most=most)


def maybe(*parts: Pattern) -> Pattern:
    """Return the pattern of `parts` in sequence, or of nothing."""
    return repeat(sequence(*parts), 0, 1)


def texts(choices: Iterable[str]) -> Pattern:
    """Return the pattern of one of `choices`."""
    return either(*map(literal, choices))


class Machine(NamedTuple):
    """A deterministic automaton over bytes that starts in state 0.

    `follow` is (states, 256) int16: the next state, or REFUSED. `missing` (states,) int64 is the fewest bytes that
    complete a text; 0 where a text may end. Every state can reach an end.
    """

    follow: Follow
    missing: NDArray[np.int64]

    def walk(self, data: bytes, state: int = 0) -> int:
        """Return the state after `data`, or REFUSED."""
        for byte in data:
            state = int(self.follow[state, byte])
            if state < 0:
                return REFUSED
        return state

    def accepts(self, data: bytes) -> bool:
        """Return whether `data` is a whole text of the pattern."""
        state = self.walk(data)
        return state >= 0 and not self.missing[state]

    def matches(self, data: NDArray[np.uint8], ends: Ends) -> NDArray[np.bool_]:
        """Return (n,) bool: which of the n texts, that end at `ends` in `data`, are whole texts of the pattern."""
        return _matches(self.follow, self.missing, data, ends)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def compile_pattern(pattern: Pattern) -> Machine:
    """Return the automaton of a pattern. Raises `InvalidConfig` if it would have too many states."""
    arcs: list[list[tuple[frozenset[int], int]]] = []  # of each state of the nondeterministic automaton
    skips: list[list[int]] = []

    def fresh() -> int:
        arcs.append([])
        skips.append([])
        return len(arcs) - 1

    def build(part: Pattern, start: int) -> int:
        """Add the states of `part` after `start`; return the state in which it ends."""
        if part.kind == "byte":
            end = fresh()
            arcs[start].append((part.choice, end))
            return end
        if part.kind == "sequence":
            for one in part.parts:
                start = build(one, start)
            return start
        if part.kind == "either":
            ends = [build(one, start) for one in part.parts]
            end = fresh()
            for state in ends:
                skips[state].append(end)
            return end
        for _ in range(part.least):
            start = build(part.parts[0], start)
        end = fresh()
        if part.most is None:
            loop = fresh()
            skips[start].append(loop)
            skips[build(part.parts[0], loop)].append(loop)
            skips[loop].append(end)
            return end
        for _ in range(part.most - part.least):
            skips[start].append(end)
            entry = fresh()
            skips[start].append(entry)
            start = build(part.parts[0], entry)
        skips[start].append(end)
        return end

    final = build(pattern, fresh())
    return _deterministic(arcs, skips, final)


def _deterministic(arcs: Sequence[Sequence[tuple[frozenset[int], int]]], skips: list[list[int]], final: int) -> Machine:
    """Return the automaton of sets of states, by the subset construction."""

    def closed(states: Iterable[int]) -> frozenset[int]:
        found, pending = set(states), list(states)
        while pending:
            for other in skips[pending.pop()]:
                if other not in found:
                    found.add(other)
                    pending.append(other)
        return frozenset(found)

    start = closed([0])
    numbers, rows, ends, pending = {start: 0}, [], [], [start]
    while pending:
        states = pending.pop(0)
        row = np.full(256, REFUSED, np.int16)
        reached: dict[int, set[int]] = {}
        for state in states:
            for choice, then in arcs[state]:
                for byte in choice:
                    reached.setdefault(byte, set()).add(then)
        for byte, several in reached.items():
            after = closed(several)
            if after not in numbers:
                numbers[after] = len(numbers)
                pending.append(after)
                if len(numbers) > _MAX_STATES:
                    raise InvalidConfig("a field has too many texts to choose from; expected fewer or shorter ones")
            row[byte] = numbers[after]
        rows.append(row)
        ends.append(final in states)
    follow = np.stack(rows)
    missing = np.where(ends, 0, len(follow)).astype(np.int64)
    for _ in follow:
        least = np.where(follow < 0, len(follow), missing[follow]).min(1)
        after = np.minimum(missing, 1 + least)
        if np.array_equal(after, missing):
            break
        missing = after
    return Machine(follow, missing)


@njit(cache=True)
def _matches(follow: Follow, missing: NDArray[np.int64], data: NDArray[np.uint8], ends: Ends) -> NDArray[np.bool_]:
    found = np.zeros(len(ends), np.bool_)
    start = 0
    for i in range(len(ends)):
        state = 0
        for at in range(start, ends[i]):
            state = int(follow[state, data[at]])
            if state < 0:
                break
        found[i] = state >= 0 and missing[state] == 0
        start = ends[i]
    return found

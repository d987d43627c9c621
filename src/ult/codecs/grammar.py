"""Which symbols may follow others, symbol by symbol, so that `Codec.decode` takes what they begin.

For a model that writes: a codec's `prefixes` says afterwards where its symbols stop making sense, a grammar says
before each of them. It accepts exactly the beginnings of what `decode` accepts, and knows how far off an end is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Ends, Symbols
from ult.host.kernel import njit

S = TypeVar("S")
REFUSED = -1
Follow = NDArray[np.int16]  # (states, alphabet) the state after a symbol, or REFUSED


class Grammar(ABC, Generic[S]):
    """Reads symbols from left to right; states are values, and are never altered."""

    @abstractmethod
    def start(self) -> S:
        """Return the state before the first symbol."""

    @abstractmethod
    def advance(self, state: S, symbols: Symbols) -> S | None:
        """Return the state after more symbols (n,); None if no record goes on so."""

    @abstractmethod
    def least(self, state: S) -> int:
        """Return the fewest symbols that are missing to a record; 0 where one may end."""

    @abstractmethod
    def after(self, state: S, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run of symbols (r,), which end at `ends` in `symbols` (n,), or REFUSED."""


class Place(NamedTuple):
    """A state of an automaton, and the widths of the symbols up to there, summed."""

    state: int
    width: int


class Automaton(Grammar[Place]):
    """A grammar of few states, the first of them the start, and records of a bounded sum of `widths` (alphabet,).

    `final` (states,) says where a record may end. What is missing to one can always be made up of symbols of width 1.
    """

    def __init__(self, follow: Follow, final: NDArray[np.bool_], widths: NDArray[np.int64], max_width: int) -> None:
        self.follow, self.widths, self.max_width = follow, widths, max_width
        self.missing = np.where(final, 0, len(follow)).astype(np.int64)  # (states,) symbols
        for _ in follow:  # the longest way to an end visits no state twice
            least = np.where(follow < 0, len(follow), self.missing[follow]).min(1)
            self.missing = np.minimum(self.missing, 1 + least)

    def start(self) -> Place:
        """Return the first state."""
        return Place(0, 0)

    def advance(self, state: Place, symbols: Symbols) -> Place | None:
        """Return the state after more symbols."""
        at, width = _walk(self.follow, self.widths, state.state, symbols)
        fits = at >= 0 and state.width + width + self.missing[at] <= self.max_width
        return Place(at, state.width + width) if fits else None

    def least(self, state: Place) -> int:
        """Return the fewest symbols that are missing."""
        return int(self.missing[state.state])

    def after(self, state: Place, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run."""
        room = self.max_width - state.width
        return _after(self.follow, self.widths, self.missing, state.state, room, symbols, ends)  # type: ignore[no-any-return]


@njit(cache=True)
def _walk(follow: Follow, widths: NDArray[np.int64], state: int, symbols: Symbols) -> tuple[int, int]:
    """Return the state after `symbols`, REFUSED if there is none, and the sum of their widths."""
    width = 0
    for symbol in symbols:
        state = int(follow[state, symbol])
        if state < 0:
            break
        width += widths[symbol]
    return state, width


@njit(cache=True)
def _after(
    follow: Follow,
    widths: NDArray[np.int64],
    missing: NDArray[np.int64],
    state: int,
    room: int,
    symbols: Symbols,
    ends: Ends,
) -> NDArray[np.int64]:
    found = np.full(len(ends), REFUSED)
    start = 0
    for run in range(len(ends)):
        at, width = _walk(follow, widths, np.int64(state), symbols[start : ends[run]])
        if at >= 0 and width + missing[at] <= room:
            found[run] = missing[at]
        start = ends[run]
    return found


class Count(Grammar[int]):
    """Any symbols, as many as `min_length` to `max_length`; the state is how many there were."""

    def __init__(self, min_length: int, max_length: int) -> None:
        self.min_length, self.max_length = min_length, max_length

    def start(self) -> int:
        """Return 0."""
        return 0

    def advance(self, state: int, symbols: Symbols) -> int | None:
        """Return how many there are then."""
        return state + len(symbols) if state + len(symbols) <= self.max_length else None

    def least(self, state: int) -> int:
        """Return how many are missing."""
        return max(0, self.min_length - state)

    def after(self, state: int, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run."""
        counts = state + np.diff(ends, prepend=0)
        return np.where(counts > self.max_length, REFUSED, np.maximum(0, self.min_length - counts))


def utf8_follow() -> tuple[Follow, NDArray[np.bool_]]:
    """Return the automaton of UTF-8 (lone surrogates allowed), over bytes, and which of its states end a character.

    States: 0 between characters, 1 to 3 before so many bytes 80-BF, 4 after E0, 5 after F0, 6 after F4.
    Table 3-7 of the Unicode standard, but that ED may be followed by A0-BF.
    """
    follow = np.full((7, 256), REFUSED, np.int16)
    arcs = [(0, 0x00, 0x7F, 0), (0, 0xC2, 0xDF, 1), (0, 0xE0, 0xE0, 4), (0, 0xE1, 0xEF, 2), (0, 0xF0, 0xF0, 5)]
    arcs += [(0, 0xF1, 0xF3, 3), (0, 0xF4, 0xF4, 6), (4, 0xA0, 0xBF, 1), (5, 0x90, 0xBF, 2), (6, 0x80, 0x8F, 2)]
    arcs += [(state, 0x80, 0xBF, state - 1) for state in (1, 2, 3)]
    for state, low, high, then in arcs:
        follow[state, low : high + 1] = then
    return follow, np.arange(7) == 0

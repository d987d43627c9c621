"""Grammars: which symbols may come next, so that `Codec.decode` accepts the finished record.

Generation asks a grammar before each symbol; a codec's `prefixes` says afterwards where symbols stopped being valid.
A grammar accepts exactly the prefixes of what `decode` accepts, and knows how many symbols a record still needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols
from ult.host.kernel import njit

S = TypeVar("S")
REFUSED = -1
Follow = NDArray[np.int16]  # (states, alphabet): the state after a symbol, or REFUSED


class Grammar(ABC, Generic[S]):
    """Reads symbols from left to right; a state is a value that no method changes."""

    @abstractmethod
    def start(self) -> S:
        """Return the state before the first symbol."""

    @abstractmethod
    def advance(self, state: S, symbols: Symbols) -> S | None:
        """Return the state after `symbols` (n,), or None if no record continues with them."""

    @abstractmethod
    def least(self, state: S) -> int:
        """Return the fewest symbols that complete a record; 0 where a record may end."""

    @abstractmethod
    def after(self, state: S, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return (r,) int64: `least` after each of r runs of symbols, or REFUSED; run i ends at `ends[i]`."""

    def alike(self, state: S, longest: int) -> Hashable:
        """Return what all states have in common after which runs of `longest` symbols do the same, or None."""
        return None


class Place(NamedTuple):
    """A state of an automaton, and the total width of the symbols read so far."""

    state: int
    width: int


class Automaton(Grammar[Place]):
    """A finite automaton that starts in state 0; a record's symbols have `widths` (alphabet,) of `max_width` in sum.

    `final` (states,) says in which states a record may end. From every state symbols of width 1 alone can reach an end.
    """

    def __init__(self, follow: Follow, final: NDArray[np.bool_], widths: NDArray[np.int64], max_width: int) -> None:
        self.follow, self.widths, self.max_width = follow, widths, max_width
        self.missing = np.where(final, 0, len(follow)).astype(np.int64)  # (states,) symbols
        for _ in follow:  # a shortest path to an end visits no state twice
            least = np.where(follow < 0, len(follow), self.missing[follow]).min(1)
            self.missing = np.minimum(self.missing, 1 + least)
        self._widest, self._most = int(widths.max()), int(self.missing.max())

    def without(self, symbol: int) -> Automaton:
        """Return the automaton of the same records, but for those with `symbol`."""
        follow = self.follow.copy()
        follow[:, symbol] = REFUSED
        return Automaton(follow, self.missing == 0, self.widths, self.max_width)

    def start(self) -> Place:
        """Return the start state."""
        return Place(0, 0)

    def advance(self, state: Place, symbols: Symbols) -> Place | None:
        """Return the state after `symbols`, or None if they are refused or too wide."""
        at, width = _walk(self.follow, self.widths, state.state, symbols)
        fits = at >= 0 and state.width + width + self.missing[at] <= self.max_width
        return Place(at, state.width + width) if fits else None

    def least(self, state: Place) -> int:
        """Return the fewest symbols that complete a record."""
        return int(self.missing[state.state])

    def alike(self, state: Place, longest: int) -> Hashable:
        """Return the automaton's state, as long as none of the runs can be too wide."""
        return state.state if state.width + longest * self._widest + self._most <= self.max_width else None

    def after(self, state: Place, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        room = self.max_width - state.width
        return _after(self.follow, self.widths, self.missing, state.state, room, symbols, ends)  # type: ignore[no-any-return]


@njit(cache=True)
def _walk(follow: Follow, widths: NDArray[np.int64], state: int, symbols: Symbols) -> tuple[int, int]:
    """Return the state after `symbols` (REFUSED if there is none) and the sum of their widths."""
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
    """Any `min_length` to `max_length` symbols; the state is the number read so far."""

    def __init__(self, min_length: int, max_length: int) -> None:
        self.min_length, self.max_length = min_length, max_length

    def start(self) -> int:
        """Return 0."""
        return 0

    def advance(self, state: int, symbols: Symbols) -> int | None:
        """Return the new count, or None if it is over `max_length`."""
        return state + len(symbols) if state + len(symbols) <= self.max_length else None

    def least(self, state: int) -> int:
        """Return how many symbols are missing up to `min_length`."""
        return max(0, self.min_length - state)

    def after(self, state: int, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        counts = state + np.diff(ends, prepend=0)
        return np.where(counts > self.max_length, REFUSED, np.maximum(0, self.min_length - counts))


def utf8_follow(*, surrogates: bool = True) -> tuple[Follow, NDArray[np.bool_]]:
    """Return the automaton of UTF-8 over bytes (8, 256), and which of its states (8,) end a character.

    States: 0 between characters; 1, 2, 3 when that many bytes 80-BF must follow; 4 after E0; 5 after F0; 6 after F4; 7
    after ED. It is table 3-7 of the Unicode standard, except that with `surrogates` A0-BF may follow ED: a lone one.
    """
    follow = np.full((8, 256), REFUSED, np.int16)
    arcs = [
        (0, 0x00, 0x7F, 0),
        (0, 0xC2, 0xDF, 1),
        (0, 0xE0, 0xE0, 4),
        (0, 0xE1, 0xEF, 2),
        (0, 0xED, 0xED, 7),
        (0, 0xF0, 0xF0, 5),
    ]
    arcs += [(0, 0xF1, 0xF3, 3), (0, 0xF4, 0xF4, 6), (4, 0xA0, 0xBF, 1), (5, 0x90, 0xBF, 2), (6, 0x80, 0x8F, 2)]
    arcs += [(7, 0x80, 0xBF if surrogates else 0x9F, 1)]
    arcs += [(state, 0x80, 0xBF, state - 1) for state in (1, 2, 3)]
    for state, low, high, then in arcs:
        follow[state, low : high + 1] = then
    return follow, np.arange(8) == 0

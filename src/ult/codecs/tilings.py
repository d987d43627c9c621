"""A grammar of records whose values are written as tiles, one of each of so many tilings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols


class At(NamedTuple):
    """How many symbols were read, and the first and the last tile of the value that is being read."""

    read: int
    first: int = 0
    last: int = 0


class Tilings(Grammar[At]):
    """`least_values` to `most_values` values of `tilings` symbols each, a symbol being one of a `block` of tiles.

    A value's tiles stay as they are or rise once, by one; the last of a block says that there is no value, and all of
    such a value's symbols are that. Blocks follow each other: those of a value, and if values are `apart`, of each one.
    """

    def __init__(self, block: int, tilings: int, least_values: int, most_values: int, *, apart: bool) -> None:
        self.block, self.tilings = block, tilings
        self.min_length, self.max_length = least_values * tilings, most_values * tilings
        self.blocks = self.max_length if apart else tilings  # after which they begin again

    def start(self) -> At:
        """Return the state before the first symbol."""
        return At(0)

    def advance(self, state: At, symbols: Symbols) -> At | None:
        """Return the new state, or None if a symbol is of another block, no tile of its value, or one too many."""
        if not len(symbols):
            return state
        fits, first, tile = self._read(state, symbols, np.arange(len(symbols)))
        read = state.read + len(symbols)
        return At(read, int(first[-1]), int(tile[-1])) if fits.all() and read <= self.max_length else None

    def least(self, state: At) -> int:
        """Return how many symbols are missing up to the end of a value and to `min_length`."""
        return max(-state.read % self.tilings, self.min_length - state.read)

    def after(self, state: At, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        sizes = np.diff(ends, prepend=0)
        fits, _, _ = self._read(state, symbols, np.arange(len(symbols)) - np.repeat(ends - sizes, sizes))
        wrong = np.concatenate([[0], np.cumsum(~fits)])
        read = state.read + sizes
        fits = (wrong[ends] == wrong[ends - sizes]) & (read <= self.max_length)
        return np.where(fits, np.maximum(-read % self.tilings, self.min_length - read), REFUSED)

    def _read(self, state: At, symbols: Symbols, inside: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """Return whether symbols (n,) may follow those before, and the first tile of the value of each, and its own.

        `inside` (n,) is how many symbols of its run stand before each; a run follows on `state`.
        """
        at, tile = state.read + inside, np.asarray(symbols).astype(np.int64) % self.block
        before, here = at % self.tilings, np.arange(len(at))
        first = np.where(before <= inside, tile[here - np.minimum(before, inside)], state.first)
        last = np.where(inside > 0, tile[here - np.minimum(1, inside)], state.last)
        rises = (tile == last + 1) & (last == first) & (tile < self.block - 1)
        fits = (symbols // self.block == at % self.blocks) & ((before == 0) | (tile == last) | rises)
        return fits, first, tile

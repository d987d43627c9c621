"""A grammar of records in which each place has a block of symbols of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.grammar import REFUSED, Grammar
from ult.codecs.patches import Ends, Symbols


class Places(Grammar[int]):
    """`min_length` to `max_length` symbols, the k-th of them of block k, `block` symbols wide; the state is k."""

    def __init__(self, block: int, min_length: int, max_length: int) -> None:
        self.block, self.min_length, self.max_length = block, min_length, max_length

    def start(self) -> int:
        """Return 0."""
        return 0

    def advance(self, state: int, symbols: Symbols) -> int | None:
        """Return the new place, or None if a symbol is of another one or there are too many."""
        places = np.arange(state, state + len(symbols))
        fits = state + len(symbols) <= self.max_length and (np.asarray(symbols) // self.block == places).all()
        return state + len(symbols) if fits else None

    def least(self, state: int) -> int:
        """Return how many symbols are missing up to `min_length`."""
        return max(0, self.min_length - state)

    def after(self, state: int, symbols: Symbols, ends: Ends) -> NDArray[np.int64]:
        """Return `least` after each run, or REFUSED."""
        sizes = np.diff(ends, prepend=0)
        inside = np.arange(len(symbols)) - np.repeat(ends - sizes, sizes)
        wrong = np.concatenate([[0], np.cumsum(np.asarray(symbols) // self.block != state + inside)])
        fits = (wrong[ends] == wrong[ends - sizes]) & (state + sizes <= self.max_length)
        return np.where(fits, np.maximum(0, self.min_length - state - sizes), REFUSED)

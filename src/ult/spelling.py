"""What each rank spells, and the symbols of a run of ranks: decoding is a gather."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ult.codecs.base import Symbols
from ult.errors import InvalidConfig


class Spelling:
    """The symbols of every rank, one after the other; as bytes where the alphabet allows."""

    def __init__(self, merges: NDArray[np.int32], ranks: NDArray[np.int32], alphabet: int, max_patch: int) -> None:
        """Spell the units of `merges` (m, 2) over `alphabet`, and list them as `ranks` (units,) do.

        Raises `InvalidConfig` for a unit that is longer than any patch, which no fit makes.
        """
        lengths = [1] * alphabet
        for left, right in merges.tolist():
            lengths.append(lengths[left] + lengths[right])
            if lengths[-1] > max_patch:
                raise InvalidConfig(f"a phrase has over {max_patch} symbols, the longest patch of the codec")
        sizes = np.array(lengths, np.int64)
        ends = np.cumsum(sizes)
        self._symbols: Symbols = np.empty(int(ends[-1]), np.uint8 if alphabet <= 256 else np.uint32)
        self._symbols[:alphabet] = np.arange(alphabet)
        _fill(self._symbols, merges, ends, alphabet)
        self.lengths = sizes[ranks]  # (ranks,) symbols
        self._starts = (ends - sizes)[ranks]

    def spell(self, ranks: NDArray[np.int64]) -> Symbols:
        """Return the symbols (n,) of a run of ranks (m,)."""
        out = np.empty(int(self.lengths[ranks].sum()), self._symbols.dtype)
        _gather(ranks, self._symbols, self._starts, self.lengths, out)
        return out


@njit(cache=True)
def _fill(symbols: Symbols, merges: NDArray[np.int32], ends: NDArray[np.int64], alphabet: int) -> None:
    """Spell each phrase as its left unit, then its right one."""
    for k in range(len(merges)):
        at = ends[alphabet + k - 1]
        for side in range(2):
            unit = merges[k, side]
            begin = ends[unit - 1] if unit else 0
            for i in range(begin, ends[unit]):
                symbols[at] = symbols[i]
                at += 1


@njit(cache=True)
def _gather(
    ranks: NDArray[np.int64],
    symbols: Symbols,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: Symbols,
) -> None:
    at = 0
    for rank in ranks:
        start = starts[rank]
        for i in range(lengths[rank]):
            out[at + i] = symbols[start + i]
        at += lengths[rank]

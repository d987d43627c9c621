"""What each rank spells, and the symbols of a run of ranks: decoding is a gather."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols
from ult.errors import InvalidConfig
from ult.host.kernel import njit
from ult.owner.bpe.hashtable import store8

_EIGHT = np.uint64(8)
_ROW = 16  # symbols


class Spelled(NamedTuple):
    """The symbols of every rank: rank r has `sizes[r]` of them, from `starts[r]` on."""

    symbols: Symbols
    starts: NDArray[np.int64]
    sizes: NDArray[np.int32]


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
        symbols: Symbols = np.zeros(int(ends[-1]) + _ROW, np.uint8 if alphabet <= 256 else np.uint32)
        symbols[:alphabet] = np.arange(alphabet)
        _fill(symbols, merges, ends, alphabet)
        self.lengths = sizes[ranks]  # (ranks,) symbols
        self._spelled = Spelled(symbols, (ends - sizes)[ranks], self.lengths.astype(np.int32))
        # Of bytes the first sixteen of each rank side by side, most often all: two loads and two stores spell them.
        first = symbols[self._spelled.starts[:, None] + np.arange(_ROW)] if alphabet <= 256 else np.empty((0, 8), "u1")
        self._rows = first.view(np.uint64)

    def ends(self, ranks: NDArray[np.uint32], stops: Ends) -> Ends:
        """Return where in the symbols of a run of ranks (m,) each record (r,) ends, whose ranks end at `stops`."""
        ends: Ends = _ends(ranks, stops, self._spelled.sizes)
        return ends

    def spell(self, ranks: NDArray[np.uint32], total: int) -> Symbols:
        """Return the `total` symbols (n,) of a run of ranks (m,)."""
        out = np.empty(total + _ROW, self._spelled.symbols.dtype)
        if len(self._rows):
            _gather_bytes(ranks, self._rows, self._spelled, out)
        else:
            _gather(ranks, self._spelled, out)
        return out[:total]


@njit(cache=True)
def _fill(symbols: Symbols, merges: NDArray[np.int32], ends: Ends, alphabet: int) -> None:
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
def _ends(ranks: NDArray[np.uint32], stops: Ends, sizes: NDArray[np.int32]) -> Ends:
    ends = np.empty(len(stops), np.int64)
    total = start = 0
    for record in range(len(stops)):
        for rank in ranks[start : stops[record]]:
            total += sizes[rank]
        ends[record], start = total, stops[record]
    return ends


@njit(cache=True)
def _gather(ranks: NDArray[np.uint32], spelled: Spelled, out: Symbols) -> None:
    at = 0
    for rank in ranks:
        start = spelled.starts[rank]
        for i in range(spelled.sizes[rank]):
            out[at + i] = spelled.symbols[start + i]
        at += spelled.sizes[rank]


@njit(cache=True)
def _gather_bytes(
    ranks: NDArray[np.uint32], rows: NDArray[np.uint64], spelled: Spelled, out: NDArray[np.uint8]
) -> None:
    """Write sixteen bytes a rank, and the rest of longer ones; the next rank writes over what is too much."""
    at = np.uint64(0)
    for rank in ranks:
        first, second, size = rows[rank, 0], rows[rank, 1], np.uint64(spelled.sizes[rank])
        store8(out, at, first)
        store8(out, at + _EIGHT, second)
        if size > _ROW:
            start = np.uint64(spelled.starts[rank])
            for i in range(np.uint64(_ROW), size):
                out[at + i] = spelled.symbols[start + i]
        at += size

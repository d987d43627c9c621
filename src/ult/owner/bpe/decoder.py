"""Turn ranks back into symbols: the symbols of every rank are kept in one array, and decoding gathers them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols
from ult.errors import InvalidConfig
from ult.host import native
from ult.host.kernel import njit
from ult.owner.bpe.hashtable import store8
from ult.owner.bpe.text import array

_EIGHT = np.uint64(8)
_ROW = 16  # symbols


class Spelled(NamedTuple):
    """The symbols of every rank: those of rank r are `symbols[starts[r] : starts[r] + sizes[r]]`."""

    symbols: Symbols
    starts: NDArray[np.int64]
    sizes: NDArray[np.int32]


class Spelling:
    """Spells ranks as symbols: uint8 if the alphabet has at most 256 symbols, uint32 otherwise."""

    def __init__(self, merges: NDArray[np.int32], ranks: NDArray[np.int32], alphabet: int, max_patch: int) -> None:
        """Spell out the units of `merges` (m, 2) over `alphabet`, in the order of `ranks` (units,).

        Raises `InvalidConfig` for a unit of more than `max_patch` symbols, which no fitted table has.
        """
        kind = np.dtype(np.uint8 if alphabet <= 256 else np.uint32)
        spelled = [symbol.tobytes() for symbol in np.arange(alphabet, dtype=kind)]
        most = max_patch * kind.itemsize
        for left, right in merges.tolist():
            spelled.append(spelled[left] + spelled[right])
            if len(spelled[-1]) > most:
                raise InvalidConfig(f"a phrase has over {max_patch} symbols, the longest patch of the codec")
        sizes = np.fromiter(map(len, spelled), np.int64, len(spelled)) // kind.itemsize
        ends = np.cumsum(sizes)
        symbols: Symbols = np.frombuffer(b"".join([*spelled, bytes(_ROW * kind.itemsize)]), kind)
        self.lengths = sizes[ranks]  # (ranks,) symbols
        self._spelled = Spelled(symbols, (ends - sizes)[ranks], self.lengths.astype(np.int32))
        # For bytes: the first sixteen of each rank in one row. Most ranks have no more, so that two loads and two
        # stores spell them.
        first = symbols[self._spelled.starts[:, None] + np.arange(_ROW)] if alphabet <= 256 else np.empty((0, 8), "u1")
        self._rows = first.view(np.uint64)

    def ends(self, ranks: NDArray[np.uint32], stops: Ends) -> Ends:
        """Return where each record ends in the symbols, (r,) int64; its ranks end at `stops` (r,) in `ranks` (m,)."""
        library, sizes = native.library(), self._spelled.sizes
        if library is None:
            return _ends(ranks, stops, sizes)  # type: ignore[no-any-return]
        ranks, stops = np.ascontiguousarray(ranks, np.uint32), np.ascontiguousarray(stops, np.int64)
        ends: Ends = np.empty(len(stops), np.int64)
        library.ult_spell_ends(array(ranks)[0], *array(stops), array(sizes)[0], array(ends)[0])
        return ends

    def spell(self, ranks: NDArray[np.uint32], total: int) -> Symbols:
        """Return the symbols (total,) of `ranks` (m,); `total` is the last of their `ends`."""
        out = np.empty(total + _ROW, self._spelled.symbols.dtype)
        library = native.library()
        if len(self._rows) and library is not None:
            ranks, (symbols, starts, sizes) = np.ascontiguousarray(ranks, np.uint32), self._spelled
            of = (array(one)[0] for one in (self._rows, sizes, symbols, starts, out))
            library.ult_spell(*array(ranks), *of)
        elif len(self._rows):
            _gather_bytes(ranks, self._rows, self._spelled, out)
        else:
            _gather(ranks, self._spelled, out)
        return out[:total]


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
    """Write sixteen bytes per rank, and the rest of a longer one; the next rank overwrites any surplus bytes."""
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

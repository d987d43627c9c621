"""`series/levels`: 1-D float arrays, one symbol per value, by levels that are listed: one list, or one for each place.

A value becomes the nearest of its levels; a value beyond the first or the last becomes that one, and `clipped` counts
it. With several lists, value k of a record has list k, as the columns of a wide table have. Symbol k is then level k of
whichever place it stands at (`apart=0`), or places have symbols of their own, one block after the other (`apart=1`), so
that a symbol says its place too. NaN is the last symbol of a block. A symbol beyond the levels of a place is its last.

Symbols are names: of two levels nothing says which is nearer to a third. With `tilings` T a value has T symbols, and so
has the model what it needs to learn the order: symbol t is tile (level + t) // T of tiling t, so that neighbouring
levels share all of their tiles but one, and the tiles of a level add up to it. With as many tilings as there are levels
but one a tiling has two tiles, which makes a thermometer.

`ult.codecs.placing` chooses levels from records; a reader needs the config alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.grammar import Count, Grammar
from ult.codecs.nearest import Floats, nearest_edges
from ult.codecs.patches import Patches, Symbols
from ult.codecs.placing import LEVELS, Placing
from ult.codecs.series import check_values, cut_values
from ult.codecs.tilings import Tilings
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord
from ult.host.kernel import njit

_DEFAULT = tuple(k / 32 for k in range(-32, 33))
_MOST = 2**16  # levels of a place
_NAN = -1  # its level: the last of what a level stands for


class SeriesLevels(Codec[NDArray[Any]]):
    """Lossy codec of 1-D arrays (n,) of floats or integers, NaN included; decodes to the nearest levels, float64.

    `columns` are lists of increasing levels: one for all values, or one for each place, of which a record has then at
    most so many. `patch_size` is in values, 10 unless asked otherwise; with `tilings` above 1 a patch is a symbol.
    `max_length` is the most values in a record.

    >>> codec = SeriesLevels(columns=[[130.0, 140.0, 150.0], [0.0, 1000.0, 25000.0]])
    >>> codec.decode(codec.encode(np.array([143.9, 900.0])).symbols)
    array([ 140., 1000.])
    """

    id: ClassVar[str] = "series/levels"
    modality: ClassVar[str] = "series"
    lossless: ClassVar[bool] = False
    calibrates: ClassVar[bool] = True

    def __init__(
        self,
        *,
        columns: Sequence[Sequence[float]] = (_DEFAULT,),
        apart: int = 0,
        tilings: int = 1,
        patch_size: int | None = None,
        max_length: int = 2**26,
    ) -> None:
        patch_size = (10 if tilings == 1 else 1) if patch_size is None else patch_size
        check_option("apart", apart, 0, 1)
        check_option("tilings", tilings, 1, 2**10)
        check_option("patch_size", patch_size, 1, 2**10)
        check_option("max_length", max_length, 1, 2**40)
        if tilings > 1 < patch_size:
            raise InvalidConfig(
                f"patch_size is {patch_size} with {tilings} tilings; expected 1: a phrase of tiles is but a name again"
            )
        self.columns = _checked(columns)
        self.apart, self.tilings, self.patch_size, self.max_length = apart, tilings, patch_size, max_length
        self.places = len(self.columns) if len(self.columns) > 1 else 0  # 0: all places have the same levels
        self._by_place = int(apart and self.places > 0)  # whether a symbol says its place
        self.most = min(max_length, self.places or max_length)  # values in a record
        self.max_symbols, self.max_patch = self.most * tilings, patch_size
        sizes = np.array([len(levels) for levels in self.columns])
        self.levels = int(sizes.max())  # of the place with the most
        self.block = (self.levels + tilings - 2) // tilings + 2  # tiles of a tiling, and NaN
        self.alphabet = self.block * tilings * (len(self.columns) if apart else 1)
        self.low = np.array([levels[0] for levels in self.columns])  # (columns,)
        self.high = np.array([levels[-1] for levels in self.columns])
        self._values = np.array([[*x, *[x[-1]] * (self.levels - len(x)), np.nan] for x in self.columns])
        self._edges = np.concatenate([nearest_edges(np.array(levels))[1:-1] for levels in self.columns])
        self._starts = np.concatenate([[0], np.cumsum(sizes - 1)])

    def encode(self, record: NDArray[Any]) -> Patches:
        """Return the symbols of each value, one unless there are tilings.

        Raises `InvalidRecord` unless `record` is 1-D, real, and without infinities.
        """
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[NDArray[Any]]) -> Patches:
        """Return the symbols of each value of several records."""
        found = [self._floats(record) for record in records]
        sizes = np.array([len(values) for values in found], np.int64)
        values = np.concatenate(found) if found else np.empty(0)
        symbols = np.empty(len(values), np.uint32)
        apart = self.block * self.apart if self.tilings == 1 else 0
        _nearest(values, sizes, self._edges, self._starts, self.levels, apart, symbols)
        if self.tilings > 1:
            inside = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            level = np.where(symbols == self.levels, _NAN, symbols.astype(np.int64))
            symbols = self._tiles(level, inside).astype(np.uint32).reshape(-1)
        return Patches(symbols, *cut_values(sizes * self.tilings, self.patch_size))

    def decode(self, symbols: Symbols) -> Floats:
        """Return the level of each value, (n,) float64; raise `CorruptSymbols` for a symbol of another place."""
        symbols = self._check(symbols)
        whole = int(self.prefixes(symbols)[-1])
        if whole < len(symbols):
            raise CorruptSymbols(
                f"{self.id} symbol {whole} is of another place than it stands at"
                if self.tilings == 1
                else f"{self.id} symbols from {whole} on are not the {self.tilings} tiles of a value"
            )
        level = self._level(symbols.reshape(-1, self.tilings))
        found: Floats = self._values[np.arange(len(level)) if self.places else 0, np.minimum(level, self.levels - 1)]
        return found

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k up to the first value with a symbol that is of another place, or no tile of it."""
        symbols = self._check(symbols)
        if self.tilings == 1 and not self._by_place:
            return np.arange(len(symbols) + 1)
        rows = symbols[: len(symbols) // self.tilings * self.tilings].reshape(-1, self.tilings)
        right = (self._tiles(self._level(rows), np.arange(len(rows))) == rows).all(1)
        return np.arange(int(np.argmin(np.append(right, False))) + 1) * self.tilings

    def nbytes(self, record: NDArray[Any]) -> int:
        """Return the bytes of the array in its own dtype."""
        return int(record.nbytes)

    def config(self) -> dict[str, Any]:
        """Return `columns`, `apart`, `patch_size` and `max_length`, and `tilings` if they are several."""
        found = {
            "columns": [list(levels) for levels in self.columns],
            "apart": self.apart,
            "patch_size": self.patch_size,
            "max_length": self.max_length,
        }
        return found | ({"tilings": self.tilings} if self.tilings > 1 else {})

    def grammar(self, values: int = 0) -> Grammar[Any]:
        """Return the grammar of exactly so many `values`, or of any number if `values` is 0."""
        if self.tilings > 1 or self._by_place:
            return Tilings(self.block, self.tilings, values, values or self.most, apart=bool(self._by_place))
        return Count(values, values or self.most)

    def ends(self, places: int) -> tuple[Floats, Floats]:
        """Return the first and the last level of each of so many places; (1,) if all have the same."""
        return (self.low[:places], self.high[:places]) if self.places else (self.low, self.high)

    def levels_of(self, rows: Floats) -> NDArray[np.int64]:
        """Return which level each value of `rows` (r, places) becomes, (r, places); of NaN the number of levels."""
        flat = np.ascontiguousarray(rows).reshape(-1)
        symbols = np.empty(len(flat), np.uint32)
        sizes = np.full(len(rows), rows.shape[1], np.int64)
        _nearest(flat, sizes, self._edges, self._starts, self.levels, 0, symbols)
        return symbols.astype(np.int64).reshape(rows.shape)

    def values_of(self, levels: NDArray[np.int64]) -> Floats:
        """Return the value of each level of `levels_of`, (r, places)."""
        of = np.arange(levels.shape[1]) if self.places else np.zeros(levels.shape[1], np.int64)
        found: Floats = self._values[of, levels]
        return found

    def clipped(self, record: NDArray[Any]) -> int:
        """Return how many values of `record` lie beyond the levels of their place and so decode to an end of them."""
        values = self._floats(record)
        low, high = self.ends(len(values))
        return int(np.count_nonzero((values < low) | (values > high)))

    @classmethod
    def calibrated(
        cls,
        records: Iterable[NDArray[Any]],
        *,
        by_column: int = 0,
        levels: int = LEVELS,
        clip: float = 0.0,
        **options: Any,
    ) -> Self:
        """Return a codec with at most so many `levels`, for all values or, `by_column`, for each place of its own.

        By column an id is one value by default: `patch_size` is 1. At most the share `clip` of the finite values lies
        beyond the levels, half on each side. How levels are placed says `ult.codecs.placing`; memory is bounded and the
        order of the records does not matter.
        """
        if "columns" in options:
            return cls(**options)
        check_option("by_column", by_column, 0, 1)
        check_option("levels", levels, 2, _MOST)
        check_option("clip", clip, 0.0, 0.5, kind=float)
        max_length = cls(**options).max_length
        placing = Placing(levels, by_column=bool(by_column))
        for number, record in enumerate(records):
            try:
                placing.add(check_values(record, max_length))
            except InvalidRecord as error:
                raise InvalidRecord(f"records[{number}]: {error.what}", hint=error.hint, value=error.value) from None
        return cls(columns=placing.levels(clip), **({"patch_size": 1} if by_column else {}) | options)

    def _floats(self, record: NDArray[Any]) -> Floats:
        values = check_values(record, self.max_length)
        if self.places and len(values) > self.places:
            raise InvalidRecord(f"record has {len(values)} values; expected at most {self.places}, one for each list")
        return values

    def _tiles(self, level: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the symbols (n, tilings) of values (n,) of such levels, NaN being `_NAN`, at places (n,)."""
        tiling = np.arange(self.tilings)
        tile = np.where((level == _NAN)[:, None], self.block - 1, (level[:, None] + tiling) // self.tilings)
        found: NDArray[np.int64] = tile + self.block * (tiling + self.tilings * (place * self._by_place)[:, None])
        return found

    def _level(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return the level of values (n,) of which each has a row of symbols (n, tilings); `_NAN` of NaN."""
        tiles = symbols.astype(np.int64) % self.block
        return np.where(tiles[:, 0] == self.block - 1, _NAN, tiles.sum(1))


def _checked(columns: object) -> tuple[tuple[float, ...], ...]:
    """Return lists of levels; raise `InvalidConfig` unless each has finite, increasing numbers."""
    if not isinstance(columns, Sequence) or isinstance(columns, str) or not columns:
        raise InvalidConfig(f"columns are {columns!r:.60}; expected lists of levels, such as [[0.0, 1.0]]")
    found = []
    for k, levels in enumerate(columns):
        if not isinstance(levels, Sequence) or isinstance(levels, str) or not 1 <= len(levels) <= _MOST:
            raise InvalidConfig(f"columns[{k}] is {levels!r:.60}; expected 1 to {_MOST} levels")
        if not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < np.inf for x in levels):
            raise InvalidConfig(f"columns[{k}] has a level that is no finite number")
        row = tuple(float(x) + 0.0 for x in levels)  # turns -0.0 into 0.0
        if not (np.diff(row) > 0).all():
            raise InvalidConfig(f"columns[{k}] has levels that do not increase")
        found.append(row)
    return tuple(found)


@njit(cache=True)
def _nearest(
    values: Floats,
    sizes: NDArray[np.int64],
    edges: Floats,
    starts: NDArray[np.int64],
    missing: int,
    apart: int,
    symbols: Symbols,
) -> None:
    """Fill `symbols` with the level of each value, `_NAN` for NaN, plus `apart` times the place of the value.

    `edges[starts[j] : starts[j + 1]]` are those between the levels of place j, or of all places if there is one list.
    """
    at, several = 0, len(starts) > 2
    for size in sizes:
        for place in range(size):
            x, j = values[at], place if several else 0
            low, high = starts[j], starts[j + 1]
            while low < high:
                middle = (low + high) // 2
                if edges[middle] <= x:
                    low = middle + 1
                else:
                    high = middle
            level = low - starts[j] if x == x else missing
            symbols[at] = np.uint32(level + apart * j)
            at += 1

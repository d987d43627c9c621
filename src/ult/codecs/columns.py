"""How well `series/mulaw`, which has one range for all values, keeps each column of a table, and each place of series.

A column that falls on few levels is lost in silence: of sodium between 136.7 and 144.3 beside platelets of 250,000
every value comes back as one number. So a column keeps `LEAST` levels between its least and its greatest value, and
uses that many or a quarter as many as it has different values, or it is refused. One value alone may stand on one level
if it comes back within 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.series import SeriesMulaw, check_values
from ult.errors import InvalidConfig, InvalidRecord

Floats = NDArray[np.float64]
LEAST = 16  # levels that a column keeps
_ROWS = 256  # records that are looked at together
_PLACES = 2**16  # longer series are looked at as a whole alone
_FEW = 16  # series say nothing of their places before there are so many
_SHORT = 8  # values, of which a record is a row of a table sooner than a series
_BUCKETS = 4096  # of levels, and 256 of values: more are taken for as many
_ONE = 1e-9  # a spread of so little of the greatest value is none
_ROUNDING = 1e-14  # of the range: less is what arithmetic leaves of nothing
_NOTHING = 1e-6  # and no more, whatever the range: beside numbers of 16 digits 0 and 1 are values
_CLOSE = 0.05


def kept(records: Iterable[Any], codec: object, fields: Sequence[str]) -> Iterator[Any]:
    """Give the records; raise `InvalidConfig` after the last if `series/mulaw` loses a column or a place of them."""
    if not isinstance(codec, SeriesMulaw):
        yield from records
        return
    columns = Columns(codec, fields)
    for record in records:
        with suppress(InvalidRecord):  # whoever encodes it says which one it is
            columns.add(record)
        yield record
    columns.check()


class Columns:
    """What became of the columns `fields`, or, without, of all values, and of each place of series of one length.

    `clipped` of `values` lie outside the codec's range.
    """

    def __init__(self, codec: SeriesMulaw, fields: Sequence[str] = ()) -> None:
        codec = SeriesMulaw(**{**codec.config(), "max_length": 2**40})  # for many records as one
        self.codec, self.fields = codec, tuple(fields)
        self.values = self.clipped = self._records = 0
        self._whole = _Kept(codec, 1)
        self._places: _Kept | None = None
        self._alike = True  # whether all series are of one length
        self._pending: list[NDArray[Any]] = []

    def add(self, record: NDArray[Any]) -> None:
        """Look at a record. Raises `InvalidRecord`."""
        check_values(record)
        if self._pending and len(record) != len(self._pending[0]):
            self._flush()
        self._pending.append(record)
        if len(self._pending) == _ROWS or len(record) > _PLACES:
            self._flush()

    def check(self) -> None:
        """Raise `InvalidConfig` if a column is lost, naming the one that keeps the fewest levels."""
        self._flush()
        kept, names = self._kept()
        if not self.fields and self._records < _FEW and len(kept.least) > _SHORT:
            kept, names = self._whole, ["the series"]
        found = [kept, self._whole] if kept is not self._whole and not self.fields else [kept]
        for one in found:
            levels = one.levels()
            lost = np.flatnonzero(~one.sound(levels, one.used()))
            if len(lost):
                worst = int(lost[np.argmin(np.minimum(levels, one.used())[lost])])
                raise self._refused(one, worst, names[worst] if one is kept else "the series", len(lost))

    def worst(self) -> str:
        """Return what came of the column that lost most of its spread, for whoever fits; nothing of no values."""
        self._flush()
        kept, names = self._kept()
        share = kept.lost()
        if not np.isfinite(share).any():
            return ""
        k = int(np.nanargmax(np.where(np.isfinite(share), share, -1)))
        mean, most = np.sqrt(kept.squares[k] / kept.count[k]), kept.error[k]
        about = f"of {kept.least[k]:.4g} to {kept.most[k]:.4g} come back within {most:.3g}, root mean square {mean:.3g}"
        return f"worst kept is {names[k]}: values {about}"

    def _kept(self) -> tuple[_Kept, list[str]]:
        if self.fields and self._places is not None:
            return self._places, [f"column {name!r}" for name in self.fields]
        if self._alike and self._places is not None and self._records > 1:
            return self._places, [f"value {k + 1} of each record" for k in range(len(self._places.least))]
        return self._whole, ["the series"]

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = np.stack(self._pending).astype(np.float64, copy=False)
        self._pending = []
        self._records += len(rows)
        if not rows.size:
            self._alike = False
            return
        self.values += rows.size
        self.clipped += int(np.count_nonzero((rows < self.codec.low) | (rows > self.codec.high)))
        if not self.fields:
            self._whole.add(rows.reshape(-1, 1))
        if rows.shape[1] > _PLACES and not self.fields:
            self._alike = False
        if self._places is None and self._alike:
            self._places = _Kept(self.codec, rows.shape[1])
        if self._places is not None and len(self._places.least) == rows.shape[1]:
            self._places.add(rows)
        else:
            self._alike = False

    def _refused(self, kept: _Kept, k: int, name: str, lost: int) -> InvalidConfig:
        low, high, n = self.codec.low, self.codec.high, self.codec.levels
        levels = min(int(kept.levels()[k]), int(kept.used()[k]))
        others = f", and {lost - 1} more do so" if lost > 1 else ""
        span = f"{kept.least[k]:.6g} to {kept.most[k]:.6g}" if kept.most[k] > kept.least[k] else f"{kept.least[k]:.6g}"
        return InvalidConfig(
            f"{name} ({span}) keeps {levels} of the {n} levels of {self.codec.id}, whose one range for all is "
            f"{low:.6g} to {high:.6g}{others}; expected at least {LEAST}: its values would come back as others",
            hint=self._remedy(kept, k),
        )

    def _remedy(self, kept: _Kept, k: int) -> str:
        """Return what to type: options under which all columns keep enough, if there are such."""
        scale = "columns of one scale (scale each to 0..1 first), or fewer of them"
        if int(kept.levels()[k]) >= LEAST:  # far from the others lie a few values, which take all the levels
            share = max(0.01, np.ceil(200 / max(int(kept.count.max()), 1)) / 100)
            return f"--option clip={share:g} leaves the farthest values outside the range; or {scale}"
        for mu in (self.codec.mu, 1.0):
            for levels in (512, 1024, 2048, 4096):
                if levels > self.codec.levels:
                    other = SeriesMulaw(**{**self.codec.config(), "levels": levels, "mu": mu})
                    if kept.sound(kept.levels(other), LEAST).all():
                        law = "" if mu == self.codec.mu else f" --option mu={mu:g}"
                        return f"--option levels={levels}{law}; or {scale}"
        return scale


class _Kept:
    """Of each of some columns: its least and greatest value, how many levels it uses, and how far values are off."""

    def __init__(self, codec: SeriesMulaw, columns: int) -> None:
        self.codec = codec
        self.least, self.most = np.full(columns, np.inf), np.full(columns, -np.inf)
        self.count, self.error = np.zeros(columns, np.int64), np.zeros(columns)
        self.squares, self._sum, self._power = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self._levels = np.zeros((columns, min(codec.levels, _BUCKETS)), bool)
        self._values = np.zeros((columns, 256), bool)

    def add(self, rows: Floats) -> None:
        """Look at rows (n, columns)."""
        symbols = self.codec.encode(np.ascontiguousarray(rows).reshape(-1)).symbols.astype(np.int64).reshape(rows.shape)
        there = ~np.isnan(rows)
        off = np.where(there, np.abs(self.codec.decode(symbols.reshape(-1)).reshape(rows.shape) - rows), 0.0)
        self.least = np.minimum(self.least, np.where(there, rows, np.inf).min(0))
        self.most = np.maximum(self.most, np.where(there, rows, -np.inf).max(0))
        self.count += there.sum(0)
        self.error = np.maximum(self.error, off.max(0))
        plain = np.where(there, rows, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # of values near the ends of float64 no mean is known
            self.squares += (off**2).sum(0)
            self._sum += plain.sum(0)
            self._power += (plain**2).sum(0)
        column = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)[there]
        self._levels[column, symbols[there] % self._levels.shape[1]] = True
        bits = (rows[there] + 0.0).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wrapping around
        self._values[column, (bits >> np.uint64(56)).astype(np.int64)] = True

    def levels(self, codec: SeriesMulaw | None = None) -> NDArray[np.int64]:
        """Return how many levels of a codec lie between the ends of each column, both included."""
        codec = codec or self.codec
        ends = np.where(self.count > 0, [self.least, self.most], 0.0)
        low, high = codec.encode(ends.reshape(-1)).symbols.astype(np.int64).reshape(ends.shape)
        return np.asarray(high - low + 1)

    def used(self) -> NDArray[np.int64]:
        """Return how many levels the values of each column fall on."""
        return np.asarray(self._levels.sum(1))

    def sound(self, levels: NDArray[np.int64], used: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Return which columns are kept, where so many levels lie between their ends and so many are used."""
        size = np.maximum(np.abs(self.least), np.abs(self.most))
        nothing = min(_ROUNDING * (self.codec.high / 2 - self.codec.low / 2), _NOTHING)
        with np.errstate(invalid="ignore", over="ignore"):
            one = ~(self.most - self.least > np.maximum(_ONE * size, nothing))
            close = (self.error <= _CLOSE * size) | (self.error <= nothing)
        needed = np.minimum(LEAST, -(-self._values.sum(1) // 4))
        enough = (levels >= LEAST) & (used >= needed)
        return np.asarray((self.count == 0) | np.where(one, close, enough))

    def lost(self) -> Floats:
        """Return the share of its spread that each column lost: the error's deviation by the values' own."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            variance = self._power / self.count - (self._sum / self.count) ** 2
            spread = np.sqrt(np.maximum(variance, 0.0))
            constant = ~(self.most - self.least > _ONE * np.maximum(np.abs(self.least), np.abs(self.most)))
            size = np.where(constant, np.maximum(np.abs(self.least), np.abs(self.most)), spread)
            return np.asarray(np.where(size > 0, np.sqrt(self.squares / self.count) / size, 0.0))

"""Check how well `series/mulaw`, which has one range for all values, or `series/levels` keeps each column of a file.

Without this check a column whose values fall on few levels is lost silently: sodium between 136.7 and 144.3 beside
platelets of 250,000 comes back as one number. A column is refused unless its minimum and maximum are at least `LEAST`
levels apart and its values use at least `LEAST` levels, or a quarter as many levels as it has distinct values. A
constant column is kept if it comes back within 5 %. Where records have no named columns, value k of every record is
column k. `series/levels` has exactly as many levels as a column needs: one is refused if its values use fewer than
`LEAST`, than were asked for, and than it has distinct values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.levels import SeriesLevels
from ult.codecs.placing import LEVELS
from ult.codecs.series import SeriesMulaw, check_values
from ult.errors import InvalidConfig, InvalidRecord

Floats = NDArray[np.float64]
WithLevels = SeriesMulaw | SeriesLevels
LEAST = 16  # levels that a column must keep
_ROWS = 256  # records measured together
_MAX_COLUMNS = 2**16  # longer series are measured as a whole only
_FEW = 16  # with fewer records than this, single positions of a series are not judged
_SHORT = 8  # values: a record of at most so many is a row of a file rather than a series
_BUCKETS = 4096  # hash buckets that count distinct levels (256 for distinct values); more counts as this many
_CONSTANT = 1e-9  # a column whose spread is below this share of its largest magnitude is constant
_ROUNDING = 1e-14  # share of the range below which a difference is rounding error
_NOTHING = 1e-6  # absolute cap on `_ROUNDING`: beside numbers of 16 digits, 0 and 1 are still different values
_CLOSE = 0.05  # relative error within which a constant column counts as kept


def kept(records: Iterable[Any], codec: object, fields: Sequence[str]) -> Iterable[Any]:
    """Return what yields the records, then raises `InvalidConfig` if a codec of series loses one of their columns.

    `fields` are the columns' names, empty if they have none.
    """
    return _kept(records, codec, fields) if isinstance(codec, WithLevels) else records


def _kept(records: Iterable[Any], codec: WithLevels, fields: Sequence[str]) -> Iterator[Any]:
    columns = Columns(codec, fields)
    for record in records:
        with suppress(InvalidRecord):  # the encoder raises it again, with the record's number
            columns.add(record)
        yield record
    columns.check()


class Columns:
    """Measures how a codec keeps the columns `fields`; without names, all values together and each position.

    Positions are measured only while all series have the same length. `clipped` of the `values` seen so far lie outside
    the codec's range.
    """

    def __init__(self, codec: WithLevels, fields: Sequence[str] = ()) -> None:
        self.codec, self.fields = codec, tuple(fields)
        self.by_place = bool(fields) or (isinstance(codec, SeriesLevels) and codec.places > 0)
        self.values = self.clipped = self._records = 0
        self._whole = _Kept(codec, 1)
        self._columns: _Kept | None = None
        self._same_length = True
        self._pending: list[NDArray[Any]] = []

    def add(self, record: NDArray[Any]) -> None:
        """Measure a record, (n,) floats or integers; raise `InvalidRecord` if it is no series."""
        check_values(record)
        if self._pending and len(record) != len(self._pending[0]):
            self._flush()
        self._pending.append(record)
        if len(self._pending) == _ROWS or len(record) > _MAX_COLUMNS:
            self._flush()

    def check(self) -> None:
        """Raise `InvalidConfig` if a column is lost, naming the one that keeps the fewest levels."""
        self._flush()
        kept, names = self._kept()
        if not self.fields and self._records < _FEW and len(kept.least) > _SHORT:
            kept, names = self._whole, ["the series"]
        measured = [kept, self._whole] if kept is not self._whole and not self.by_place else [kept]
        for columns in measured:
            levels = columns.levels()
            lost = np.flatnonzero(~columns.sound(levels, columns.used()))
            if len(lost):
                worst = int(lost[np.argmin(np.minimum(levels, columns.used())[lost])])
                raise self._refused(columns, worst, names[worst] if columns is kept else "the series", len(lost))

    def worst(self) -> str:
        """Return a sentence on the column that lost the largest share of its spread; empty without values."""
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
        """Return the measurements that are judged, and what to call each of their columns."""
        if self.fields and self._columns is not None:
            return self._columns, [f"column {name!r}" for name in self.fields]
        if self._same_length and self._columns is not None and (self._records > 1 or self.by_place):
            return self._columns, [f"value {k + 1} of each record" for k in range(len(self._columns.least))]
        return self._whole, ["the series"]

    def _flush(self) -> None:
        if not self._pending:
            return
        rows = np.stack(self._pending).astype(np.float64, copy=False)
        self._pending = []
        self._records += len(rows)
        if not rows.size:
            self._same_length = False
            return
        self.values += rows.size
        low, high = self.codec.ends(rows.shape[1])
        self.clipped += int(np.count_nonzero((rows < low) | (rows > high)))
        if not self.by_place:
            self._whole.add(rows.reshape(-1, 1))
        if rows.shape[1] > _MAX_COLUMNS and not self.by_place:
            self._same_length = False
        if self._columns is None and self._same_length:
            self._columns = _Kept(self.codec, rows.shape[1])
        if self._columns is not None and len(self._columns.least) == rows.shape[1]:
            self._columns.add(rows)
        else:
            self._same_length = False

    def _refused(self, kept: _Kept, k: int, name: str, lost: int) -> InvalidConfig:
        n, (low, high) = self.codec.levels, self.codec.ends(len(kept.least))
        own = ", whose levels for it are few"
        if isinstance(self.codec, SeriesMulaw):
            own = f", whose range for all columns is {low:.6g} to {high:.6g}"
        levels = min(int(kept.levels()[k]), int(kept.used()[k]))
        others = f", and {lost - 1} more are too coarse" if lost > 1 else ""
        span = f"{kept.least[k]:.6g} to {kept.most[k]:.6g}" if kept.most[k] > kept.least[k] else f"{kept.least[k]:.6g}"
        return InvalidConfig(
            f"{name} ({span}) keeps {levels} of the {n} levels of {self.codec.id}{own}{others}; expected at least "
            f"{LEAST}: different values would come back as one",
            hint=self._remedy(kept, k),
        )

    def _remedy(self, kept: _Kept, k: int) -> str:
        """Return what to type: options under which all columns keep enough levels, if there are any."""
        if isinstance(self.codec, SeriesLevels):
            return f"--option levels={LEVELS}, or a codec without columns of levels, which a fit then chooses"
        own = f"--codec {SeriesLevels.id}, whose levels fit {'each column' if len(kept.least) > 1 else 'the values'}"
        if int(kept.levels()[k]) >= LEAST:  # the range is wide enough, but a few outliers take most of the levels
            share = max(0.01, np.ceil(200 / max(int(kept.count.max()), 1)) / 100)
            return f"{own}; or --option clip={share:g} leaves the farthest values outside the range"
        for mu in (self.codec.mu, 1.0):
            for levels in (512, 1024, 2048, 4096):
                if levels > self.codec.levels:
                    other = SeriesMulaw(**{**self.codec.config(), "levels": levels, "mu": mu})
                    if kept.sound(kept.levels(other), LEAST).all():
                        law = "" if mu == self.codec.mu else f" --option mu={mu:g}"
                        return f"{own}; or --option levels={levels}{law}"
        return f"{own}; or columns of one scale (scale each to 0..1 first), or fewer of them"


class _Kept:
    """Statistics per column: minimum and maximum, how many levels it uses, and the error of its decoded values."""

    def __init__(self, codec: WithLevels, columns: int) -> None:
        self.codec = codec
        self.least, self.most = np.full(columns, np.inf), np.full(columns, -np.inf)
        self.count, self.error = np.zeros(columns, np.int64), np.zeros(columns)
        self.squares, self._sum, self._power = np.zeros(columns), np.zeros(columns), np.zeros(columns)
        self._levels = np.zeros((columns, min(codec.levels, _BUCKETS)), bool)
        self._values = np.zeros((columns, 256), bool)

    def add(self, rows: Floats) -> None:
        """Add rows, (n, columns) float64."""
        symbols = self.codec.levels_of(rows)
        present = ~np.isnan(rows)
        error = np.where(present, np.abs(self.codec.values_of(symbols) - rows), 0.0)
        self.least = np.minimum(self.least, np.where(present, rows, np.inf).min(0))
        self.most = np.maximum(self.most, np.where(present, rows, -np.inf).max(0))
        self.count += present.sum(0)
        self.error = np.maximum(self.error, error.max(0))
        values = np.where(present, rows, 0.0)
        with np.errstate(over="ignore", invalid="ignore"):  # sums of values near the limits of float64 overflow
            self.squares += (error**2).sum(0)
            self._sum += values.sum(0)
            self._power += (values**2).sum(0)
        column = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)[present]
        self._levels[column, symbols[present] % self._levels.shape[1]] = True
        bits = (rows[present] + 0.0).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, wraps around
        self._values[column, (bits >> np.uint64(56)).astype(np.int64)] = True

    def levels(self, codec: WithLevels | None = None) -> NDArray[np.int64]:
        """Return how many levels of a codec lie from the minimum to the maximum of each column, both included."""
        codec = codec or self.codec
        ends = np.where(self.count > 0, [self.least, self.most], 0.0)
        low, high = codec.levels_of(ends)
        return np.asarray(high - low + 1)

    def used(self) -> NDArray[np.int64]:
        """Return how many distinct levels the values of each column use."""
        return np.asarray(self._levels.sum(1))

    def sound(self, levels: NDArray[np.int64], used: NDArray[np.int64] | int) -> NDArray[np.bool_]:
        """Return (columns,) bool: which are kept well enough, given the levels of `levels()` and of `used()`."""
        size = np.maximum(np.abs(self.least), np.abs(self.most))
        low, high = self.codec.ends(len(size))
        nothing = np.minimum(_ROUNDING * (high / 2 - low / 2), _NOTHING)
        with np.errstate(invalid="ignore", over="ignore"):
            constant = ~(self.most - self.least > np.maximum(_CONSTANT * size, nothing))
            close = (self.error <= _CLOSE * size) | (self.error <= nothing)
        distinct = self._values.sum(1)
        if isinstance(self.codec, SeriesLevels):
            enough = used >= np.minimum(min(LEAST, self.codec.levels), distinct)
        else:
            enough = (levels >= LEAST) & (used >= np.minimum(LEAST, -(-distinct // 4)))
        return np.asarray((self.count == 0) | np.where(constant, close, enough))

    def lost(self) -> Floats:
        """Return the share of its spread that each column lost: RMS error / standard deviation.

        For a constant column it is RMS error / largest magnitude.
        """
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            variance = self._power / self.count - (self._sum / self.count) ** 2
            spread = np.sqrt(np.maximum(variance, 0.0))
            constant = ~(self.most - self.least > _CONSTANT * np.maximum(np.abs(self.least), np.abs(self.most)))
            size = np.where(constant, np.maximum(np.abs(self.least), np.abs(self.most)), spread)
            return np.asarray(np.where(size > 0, np.sqrt(self.squares / self.count) / size, 0.0))

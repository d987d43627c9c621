"""`series/mulaw`: 1-D float arrays, one symbol per value, by the mu-law of G.711 over a range chosen from data.

With c the point of [low, high] nearest to zero, s = max(c - low, high - c) and F(u) = ln(1 + mu u) / ln(1 + mu), the
levels are spaced evenly in F(|x - c| / s) on either side of c: fine near c, coarse far from it. c, low and high are
levels themselves. A value becomes the nearest level; a value outside [low, high] becomes the nearer end of the range.
With n levels on the longer side of c, bins are about ln(1 + mu) / n (|x - c| + s / mu) wide, and a value changes by at
most half of that; `error_bound` is exact.

NaN is the last symbol. There is no header: any sequence of symbols is a series.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option, check_unmasked
from ult.codecs.grammar import Count
from ult.codecs.nearest import Floats, Nearest
from ult.codecs.patches import Ends, Patches, Symbols, cut
from ult.errors import InvalidConfig, InvalidRecord
from ult.host.kernel import njit

_MAX = sys.float_info.max
_EXACT_INT = 2**53  # float64 holds every integer up to this one exactly
_CHUNK = 2**17  # values joined at a time: they stay in the cache, and a call is shared by many
_HISTOGRAM_BITS = 20  # of a float64: sign, exponent and 8 bits of mantissa, so bins of 0.4 % and 8 MB of counts


class SeriesMulaw(Codec[NDArray[Any]]):
    """Lossy codec of 1-D arrays (n,) of floats or integers, NaN included; decodes to the nearest levels, float64.

    `levels` is the number of values between `low` and `high` that a decoded number can have; `patch_size` is in values;
    `max_length` is the most values in a record.

    >>> codec = SeriesMulaw(low=0.0, high=20.0)
    >>> codec.decode(codec.encode(np.array([0.0, 0.5, np.nan, 20.0])).symbols).round(3)
    array([ 0.   ,  0.501,    nan, 20.   ])
    """

    id: ClassVar[str] = "series/mulaw"
    modality: ClassVar[str] = "series"
    lossless: ClassVar[bool] = False
    calibrates: ClassVar[bool] = True

    def __init__(
        self,
        *,
        low: float = -1.0,
        high: float = 1.0,
        mu: float = 255.0,
        levels: int = 256,
        patch_size: int = 10,
        max_length: int = 2**26,
    ) -> None:
        check_option("low", low, -_MAX, _MAX, kind=float)
        check_option("high", high, -_MAX, _MAX, kind=float)
        check_option("mu", mu, 1e-3, 1e6, kind=float)
        check_option("levels", levels, 3, 2**16)
        check_option("patch_size", patch_size, 1, 2**10)
        check_option("max_length", max_length, 1, 2**40)
        if low > high:
            raise InvalidConfig(f"low is {low!r} and high is {high!r}; expected low <= high")
        self.low, self.high, self.mu, self.levels = float(low), float(high), float(mu), levels
        self.alphabet = levels + 1
        self.max_length = self.max_symbols = max_length
        self.max_patch = self.patch_size = patch_size
        self._values: Floats = np.append(_levels(self.low, self.high, self.mu, levels), np.nan)
        self._nearest = Nearest(self._values[:-1], min(max(self.low, 0.0), self.high), self.mu)

    def encode(self, record: NDArray[Any]) -> Patches:
        """Return one symbol per value; raise `InvalidRecord` unless `record` is 1-D, real, and without infinities."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[NDArray[Any]]) -> Patches:
        """Return one symbol per value of several records, joined in chunks: touching new memory takes longest."""
        for record in records:
            _check_record(record, self.max_length)
        stops = np.cumsum([0] + [len(record) for record in records], dtype=np.int64)
        symbols = np.empty(stops[-1], np.uint32)
        first = 0
        kind = np.float32 if all(record.dtype.char in "ef" for record in records) else np.float64
        values = np.empty(min(_CHUNK, stops[-1]), kind)
        while first < len(records):
            last = max(first + 1, int(np.searchsorted(stops, stops[first] + _CHUNK, side="right")) - 1)
            n = int(stops[last] - stops[first])
            values = values if n <= len(values) else np.empty(n, kind)
            np.concatenate(records[first:last], out=values[:n])
            try:
                self._quantise(values[:n], symbols[stops[first] : stops[last]])
            except InvalidRecord:
                for record in records if len(records) > 1 else ():
                    self.encode_batch([record])  # raises with the value's position in its own record
                raise
            first = last
        return Patches(symbols, *cut_values(np.diff(stops), self.patch_size))

    def decode(self, symbols: Symbols) -> Floats:
        """Return the level of each symbol, (n,) float64; raise `CorruptSymbols` outside the alphabet or over length."""
        return self._decoded(self._check(symbols))

    def decode_batch(self, symbols: Symbols, ends: Ends) -> list[Floats]:
        """Return the levels of several records, parts of one array (n,) float64; raise as `decode`."""
        for record in cut(symbols, ends):
            if len(record) > self.max_symbols:
                self._check(record)
        return cut(self._decoded(self._in_alphabet(symbols)), ends)

    def _decoded(self, symbols: Symbols) -> Floats:
        found = np.empty(len(symbols))  # of NumPy, which asks for large pages: touching new memory takes longest
        _fill_values(self._values, symbols, found)
        return found

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k, because any sequence of symbols is a series."""
        return np.arange(len(self._check(symbols)) + 1)

    def nbytes(self, record: NDArray[Any]) -> int:
        """Return the bytes of the array in its own dtype."""
        return int(record.nbytes)

    def config(self) -> dict[str, Any]:
        """Return `low`, `high`, `mu`, `levels`, `patch_size` and `max_length`."""
        return {
            "low": self.low,
            "high": self.high,
            "mu": self.mu,
            "levels": self.levels,
            "patch_size": self.patch_size,
            "max_length": self.max_length,
        }

    def grammar(self, values: int = 0) -> Count:
        """Return the grammar of exactly `values` symbols, or of any number if `values` is 0."""
        return Count(values, values or self.max_length)

    def clipped(self, record: NDArray[Any]) -> int:
        """Return how many values of `record` lie outside [low, high] and so decode to `low` or `high`."""
        values = _floats(record, self.max_length)
        return int(np.count_nonzero((values < self.low) | (values > self.high)))

    def ends(self, places: int) -> tuple[float, float]:
        """Return the first and the last level of each of so many places, here the same for all."""
        return self.low, self.high

    def levels_of(self, rows: Floats) -> NDArray[np.int64]:
        """Return which level each value of `rows` (r, places) becomes, (r, places); of NaN the number of levels."""
        flat = np.ascontiguousarray(rows).reshape(-1)
        symbols = np.empty(len(flat), np.uint32)
        self._quantise(flat, symbols)
        return symbols.astype(np.int64).reshape(rows.shape)

    def values_of(self, levels: NDArray[np.int64]) -> Floats:
        """Return the value of each level of `levels_of`, (r, places)."""
        found: Floats = self._values[levels]
        return found

    def error_bound(self, record: NDArray[Any]) -> Floats:
        """Return the most that each value can change, (n,) float64: the distance from its level to the farther edge.

        It is inf for a clipped value and 0 for NaN.
        """
        values = _floats(record, self.max_length)
        symbols = np.empty(len(values), np.uint32)
        self._quantise(values, symbols)
        symbols = np.minimum(symbols, self.levels - 1)
        level = self._values[symbols]
        bins = np.clip(self._nearest.edges, self.low, self.high)
        bound: Floats = np.maximum(level - bins[symbols], bins[symbols + 1] - level)
        bound[(values < self.low) | (values > self.high)] = np.inf
        bound[np.isnan(values)] = 0.0
        return bound

    @classmethod
    def calibrated(cls, records: Iterable[NDArray[Any]], *, clip: float = 0.001, **options: Any) -> Self:
        """Return a codec whose range leaves at most the share `clip` of the finite values outside, half on each side.

        Values are counted in bins of 0.4 %, so memory is bounded and their order does not matter. A given `low` or
        `high` is kept. Without a finite value the range is the default. Clipping 1 % instead of 0.1 % costs 10 dB of
        signal-to-noise ratio on unseen gene expression, 5 to 7 dB on breast tumours and heartbeats.
        """
        check_option("clip", clip, 0.0, 0.5, kind=float)
        counts = np.zeros(2**_HISTOGRAM_BITS, np.int64)
        least, most = np.inf, -np.inf
        max_length = cls(**options).max_length
        for number, record in enumerate(records):
            try:
                values = check_values(record, max_length)
            except InvalidRecord as error:
                raise InvalidRecord(f"records[{number}]: {error.what}", hint=error.hint, value=error.value) from None
            values = values[~np.isnan(values)] + 0.0  # turns -0.0 into 0.0
            if len(values):
                least, most = min(least, values.min()), max(most, values.max())
                np.add.at(counts, _bin(values), 1)
        if least > most:
            return cls(**options)
        below = np.cumsum(counts)
        drop = math.floor(int(below[-1]) * clip / 2)
        first = int(np.searchsorted(below, drop, side="right"))  # the bin of the (drop + 1)-th value
        last = int(np.searchsorted(below, below[-1] - drop, side="left"))  # of the (drop + 1)-th largest
        chosen = {"low": max(_bin_start(first), float(least)), "high": min(_bin_start(last + 1), float(most))}
        return cls(**{**chosen, **options})

    def _quantise(self, values: NDArray[np.floating], symbols: Symbols) -> None:
        """Fill `symbols` with the bin of each value (NaN: the last symbol); raise `InvalidRecord` for an infinity."""
        if not self._nearest.find(values, symbols):
            raise _infinite(values)


def _floats(record: NDArray[Any], max_length: int) -> Floats:
    """Return `record` as float64; raise `InvalidRecord` unless float64 holds it exactly."""
    _check_record(record, max_length)
    return np.ascontiguousarray(record, np.float64)


def check_values(record: NDArray[Any], max_length: int = sys.maxsize) -> Floats:
    """Return `record` as (n,) float64; raise `InvalidRecord` unless that is exact and without infinities."""
    values = _floats(record, max_length)
    if np.isinf(values).any():
        raise _infinite(values)
    return values


def _check_record(record: NDArray[Any], max_length: int) -> None:
    """Raise `InvalidRecord` unless `record` is a series that float64 holds exactly."""
    if type(record) is np.ndarray and record.ndim == 1 and record.dtype.char in "efd" and len(record) <= max_length:
        return  # nearly every record
    if not isinstance(record, np.ndarray):
        raise InvalidRecord(f"record is {type(record).__name__}; expected a NumPy array")
    check_unmasked(record)
    if record.ndim != 1 or record.dtype.kind not in "fiu" or record.dtype.itemsize > 8:
        raise InvalidRecord(f"record is {record.dtype} {record.shape}; expected floats or integers (n,)")
    if len(record) > max_length:
        raise InvalidRecord(f"record has {len(record)} values; expected at most {max_length}")
    if record.dtype.kind in "iu" and len(record) and max(-int(record.min()), int(record.max())) > _EXACT_INT:
        far = int(np.argmax((record > _EXACT_INT) | (record < -_EXACT_INT)))
        raise InvalidRecord(f"value {far + 1} is an integer beyond 2**53, which float64 may not hold", value=far)


def _infinite(values: NDArray[np.floating]) -> InvalidRecord:
    first = int(np.argmax(np.isinf(values)))
    return InvalidRecord(f"value {first + 1} is infinite; expected finite values or NaN", value=first)


def _levels(low: float, high: float, mu: float, levels: int) -> Floats:
    """Return the levels (levels,), increasing; `low`, `high` and the point nearest to zero are among them."""
    center = min(max(low, 0.0), high)
    below, above = center - low, high - center
    scale = max(below, above) or 1.0
    span_below, span_above = (math.log1p(mu * (side / scale)) for side in (below, above))
    n_below = round((levels - 1) * span_below / (span_below + span_above)) if span_below else 0
    n_below = min(max(n_below, below > 0), levels - 1 - (above > 0))

    def offsets(span: float, count: int) -> list[float]:
        # Twelve digits: further digits differ between mathematics libraries.
        exact = (math.expm1(span * k / count) / mu * scale for k in range(1, count + 1))
        return [float(f"{offset:.12g}") for offset in exact]

    down = [center - offset for offset in offsets(span_below, n_below)]
    up = [center + offset for offset in offsets(span_above, levels - 1 - n_below)]
    values = np.clip([*down[::-1], center, *up], low, high)
    values[0], values[-1] = low, high
    return values


def _bin(values: Floats) -> NDArray[np.int64]:
    """Return the histogram bin of each value, in range(2**_HISTOGRAM_BITS); larger values have larger bins."""
    bits = values.view(np.int64) >> (64 - _HISTOGRAM_BITS)
    half = 1 << (_HISTOGRAM_BITS - 1)
    return np.where(bits < 0, -1 - bits - half, bits) + half  # the bits of negative floats decrease as they increase


def _bin_start(number: int) -> float:
    """Return the bound between bin `number` - 1 and bin `number` of `_bin`."""
    half = 1 << (_HISTOGRAM_BITS - 1)
    top = abs(number - half)  # the bits of the bound, without its sign
    value = float(np.int64(top << (64 - _HISTOGRAM_BITS)).view(np.float64)) if top < half else math.inf
    return value if number >= half else -value


@njit(cache=True)
def _fill_values(values: Floats, symbols: Symbols, found: Floats) -> None:
    """Fill `found` with the value of each symbol, all of which are below the number of values."""
    for i in range(len(symbols)):
        found[i] = values[np.uint64(symbols[i])]


@njit(cache=True)
def cut_values(sizes: Ends, patch_size: int) -> tuple[Ends, Ends]:
    """Return `ends` and `records` of `Patches`, for records of `sizes` values."""
    ends = np.empty(np.sum((sizes + patch_size - 1) // patch_size), np.int64)
    records = np.empty(len(sizes), np.int64)
    n = start = 0
    for record in range(len(sizes)):
        stop = start + sizes[record]
        while start < stop:
            start = min(start + patch_size, stop)
            ends[n] = start
            n += 1
        records[record] = n
    return ends, records

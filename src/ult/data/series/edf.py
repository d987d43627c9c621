"""Read signals of EDF, EDF+, BDF and BDF+ files: digital samples become physical values by the header's two ranges.

A digital sample d of a channel is (d - dmin) * (pmax - pmin) / (dmax - dmin) + pmin, in float64. Who the patient is,
the date, the filters and the annotations are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ult.data import files
from ult.data.rows import changed, existing
from ult.data.series.signals import NUMBER, Channel, Floats, SignalRows, told_apart
from ult.errors import SourceError

SUFFIXES = (".edf", ".bdf")
_FIXED, _EACH = 256, 256  # bytes of the header, and of each signal in it
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # label, transducer, unit, pmin, pmax, dmin, dmax, filter, samples, free
_NOTES = ("EDF Annotations", "BDF Annotations")
_BLOCK = 2**22  # bytes that are read at once, or one data record
_LARGEST = 2**28  # bytes of a data record


@dataclass(frozen=True, slots=True)
class _Signal:
    """Where a channel stands in a data record, and the line from digital to physical values."""

    at: int  # samples of the data record before those of the channel
    count: int  # samples in a data record
    low: int
    high: int
    bottom: float
    top: float


class EdfRows(SignalRows):
    """The channels of one EDF or BDF file."""

    def __init__(self, name: str, window: float | None = None) -> None:
        self.name = existing(name)
        with files.open_file(name) as file:
            records, seconds, labels, signals = self._read_header(file)
        self._signals = {label: one for label, one in zip(labels, signals, strict=True) if label not in _NOTES}
        self._records, self._notes = records, sum(label in _NOTES for label in labels)
        rates = {label: Fraction(one.count) / seconds if seconds else None for label, one in self._signals.items()}
        channels = {k: Channel(rates[k], one.count * records) for k, one in self._signals.items()}
        if not channels:
            raise SourceError(f"{name} holds annotations alone; expected signals")
        self.told = (f"{name}: its annotations are not read",) if self._notes else ()
        self.opened(name, channels, window)

    def samples(self, channel: str) -> Iterator[Floats]:
        """Yield the samples of a channel in physical units, some data records at a time."""
        signal = self._signals[channel]
        span, units = float(signal.high - signal.low), signal.top - signal.bottom
        if span <= 0 or not units:
            raise SourceError(f"{self.name}: channel {channel!r} has an empty range of values, digital or physical")
        step = max(1, _BLOCK // self._bytes)
        with files.open_file(self.name) as file:
            file.seek(self._start)
            for first in range(0, self._records, step):
                count = min(step, self._records - first)
                data = file.read(count * self._bytes)
                if len(data) != count * self._bytes:
                    raise changed(self.name)
                raw = np.frombuffer(data, np.uint8).reshape(count, self._bytes)
                part = raw[:, signal.at * self._width : (signal.at + signal.count) * self._width]
                digital = self._digital(np.ascontiguousarray(part)).reshape(-1)
                yield (digital - float(signal.low)) * units / span + signal.bottom

    def _digital(self, raw: NDArray[np.uint8]) -> Floats:
        if self._width == 2:
            return raw.view("<i2").astype(np.float64)
        wide = np.zeros((raw.size // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return (wide.view("<i4").reshape(-1) >> 8).astype(np.float64)

    def _read_header(self, file: IO[bytes]) -> tuple[int, Fraction, list[str], list[_Signal]]:
        head = file.read(_FIXED)
        self._width = 3 if head.startswith(b"\xffBIOSEMI") else 2
        if len(head) < _FIXED or not (self._width == 3 or head[:8].rstrip() == b"0"):
            raise SourceError(f"{self.name} is not an EDF or BDF file, or it is cut short")
        if head[192:197] in (b"EDF+D", b"BDF+D"):
            raise SourceError(
                f"{self.name} has gaps between its data records (EDF+D); expected one without, whose samples follow "
                "each other in time"
            )
        size, records, count = (self._whole(head[a:b]) for a, b in ((184, 192), (236, 244), (252, 256)))
        seconds = self._number(head[244:252])
        if count < 1 or size != _FIXED + _EACH * count or seconds < 0 or records < -1:
            raise SourceError(f"{self.name} has a header that contradicts itself")
        each = file.read(_EACH * count)
        if len(each) != _EACH * count:
            raise SourceError(f"{self.name} is cut short in its header")
        columns, at = [], 0
        for width in _WIDTHS:
            columns.append([each[at + k * width : at + (k + 1) * width] for k in range(count)])
            at += width * count
        labels = told_apart([label.decode("latin-1").strip() for label in columns[0]], _NOTES)
        signals, before = [], 0
        for k in range(count):
            samples = self._whole(columns[8][k])
            signals.append(self._signal(labels[k], [columns[i][k] for i in (3, 4, 5, 6)], before, samples))
            before += samples
        self._start, self._bytes = size, before * self._width
        return self._count(records), seconds, labels, signals

    def _signal(self, label: str, cells: list[bytes], at: int, count: int) -> _Signal:
        if count < 0:
            raise SourceError(f"{self.name}: channel {label!r} has {count} samples in a data record; expected some")
        if label in _NOTES:
            return _Signal(at, count, 0, 1, 0.0, 1.0)
        bottom, top = float(self._number(cells[0])), float(self._number(cells[1]))
        return _Signal(at, count, self._whole(cells[2]), self._whole(cells[3]), bottom, top)

    def _count(self, records: int) -> int:
        """Return the number of data records, which the file's size must agree with."""
        if not 0 < self._bytes <= _LARGEST:
            raise SourceError(f"{self.name} has data records of {self._bytes:,} bytes; expected 1 to {_LARGEST:,}")
        found, rest = divmod(files.size(self.name) - self._start, self._bytes)
        if records not in (-1, found) or rest:
            said = f"{records:,}" if records >= 0 else "whole ones"
            raise SourceError(
                f"{self.name} holds {found:,} data records and {rest:,} bytes more; its header says {said}: it is cut "
                "short or damaged"
            )
        return found

    def _whole(self, cell: bytes) -> int:
        number = self._number(cell)
        if number.denominator != 1:
            raise SourceError(f"{self.name} has a fraction in its header where a whole number is expected")
        return int(number)

    def _number(self, cell: bytes) -> Fraction:
        text = cell.decode("latin-1").strip()
        if not NUMBER.fullmatch(text):
            raise SourceError(f"{self.name} has a header in which a number is missing or misspelt")
        return Fraction(text)

"""Read signals of WFDB records, `NAME.hea` with its data files: samples become physical values by gain and baseline.

A sample d of a channel is (d - baseline) / gain, in float64, and NaN where the format marks that there was none. The
formats 16, 24, 32, 61, 80, 160, 212, 310 and 311 are read. Annotations, comments, times and skews are not.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ult.data import files
from ult.data.rows import changed, existing
from ult.data.series.signals import NUMBER, Channel, Floats, SignalRows, told_apart
from ult.errors import SourceError

SUFFIX = ".hea"
_HEADER = 2**20  # bytes of a header, at most
_BLOCK = 2**22  # bytes that are read at once
_DEFAULT_GAIN = 200.0  # the format's rule for a header that names none, or 0

Raw = NDArray[np.uint8]
Samples = NDArray[np.int64]


def _bits12(raw: Raw) -> Samples:
    a, b, c = raw.reshape(-1, 3).astype(np.int64).T
    return _signed(np.stack([a | (b & 0x0F) << 8, c | (b & 0xF0) << 4], 1).reshape(-1), 12)


def _bits10(raw: Raw) -> Samples:
    a, b = raw.reshape(-1, 4).view("<u2").astype(np.int64).T
    third = (a >> 11) | (b >> 11) << 5
    return _signed(np.stack([a >> 1 & 0x3FF, b >> 1 & 0x3FF, third], 1).reshape(-1), 10)


def _bits10_dense(raw: Raw) -> Samples:
    word = raw.view("<u4").astype(np.int64)
    return _signed(np.stack([word & 0x3FF, word >> 10 & 0x3FF, word >> 20 & 0x3FF], 1).reshape(-1), 10)


def _bits24(raw: Raw) -> Samples:
    a, b, c = raw.reshape(-1, 3).astype(np.int64).T
    return _signed(a | b << 8 | c << 16, 24)


def _signed(values: Samples, bits: int) -> Samples:
    return np.where(values >= 1 << (bits - 1), values - (1 << bits), values)


@dataclass(frozen=True, slots=True)
class _Format:
    """`samples` are stored in `size` bytes, fewer at the end of a file in `short` of the same index.

    `none` is the sample that stands for a missing one.
    """

    samples: int
    size: int
    none: int
    read: Callable[[Raw], Samples]
    short: tuple[int, ...] = (0,)

    def stored(self, samples: int) -> int:
        """Return the bytes that hold so many samples."""
        return samples // self.samples * self.size + self.short[samples % self.samples]

    def held(self, size: int) -> int:
        """Return how many samples so many bytes hold."""
        whole, rest = divmod(max(size, 0), self.size)
        return whole * self.samples + sum(rest >= one for one in self.short[1:])


_FORMATS = {
    "16": _Format(1, 2, -(2**15), lambda raw: raw.view("<i2").astype(np.int64)),
    "24": _Format(1, 3, -(2**23), _bits24),
    "32": _Format(1, 4, -(2**31), lambda raw: raw.view("<i4").astype(np.int64)),
    "61": _Format(1, 2, -(2**15), lambda raw: raw.view(">i2").astype(np.int64)),
    "80": _Format(1, 1, -(2**7), lambda raw: raw.astype(np.int64) - 128),
    "160": _Format(1, 2, -(2**15), lambda raw: raw.view("<u2").astype(np.int64) - 2**15),
    "212": _Format(2, 3, -(2**11), _bits12, (0, 2)),
    "310": _Format(3, 4, -(2**9), _bits10, (0, 2, 4)),
    "311": _Format(3, 4, -(2**9), _bits10_dense, (0, 2, 3)),
}
_RECORD = re.compile(r"([^\s/]+)\s+(\d{1,4})(?:\s+([^\s/(]+)\S*(?:\s+(\d{1,15}))?.*)?")
_SIGNAL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d+)(?:x(?P<each>\d{1,6}))?(?::\d{1,9})?(?:\+(?P<skip>\d{1,15}))?"
    r"(?:\s+(?P<gain>[^\s(/]+)(?:\((?P<baseline>[+-]?\d{1,12})\))?(?:/\S*)?"
    r"(?:\s+[+-]?\d+(?:\s+(?P<zero>[+-]?\d{1,12})(?:\s+[+-]?\d+(?:\s+(?P<sum>[+-]?\d{1,12})(?:\s+\S+(?:\s+(?P<label>.*))?)?)?)?)?)?)?"
)


@dataclass(frozen=True, slots=True)
class _Signal:
    """One channel: where its samples stand in a frame of its file, and the line to physical values."""

    file: str
    format: str
    at: int  # samples of the frame before those of the channel
    each: int  # samples in a frame
    skip: int  # bytes before the first frame
    gain: float
    baseline: int
    checksum: int  # of its samples, by 2**16; 0 if the header does not say


class WfdbRows(SignalRows):
    """The channels of one WFDB record."""

    def __init__(self, name: str, window: float | None = None) -> None:
        self.name = existing(name)
        lines = self._lines()
        found = _RECORD.fullmatch(lines[0]) if lines else None
        if found is None:
            many = bool(lines) and re.match(r"\S+/\d+\s", lines[0]) is not None
            raise SourceError(
                f"{name} is the header of a record of several segments; expected one of a single segment"
                if many
                else f"{name} is not the header of a WFDB record",
                hint="name the headers of its segments instead" if many else "",
            )
        count, rate, frames = int(found[2]), found[3], found[4]
        if rate is not None and not (NUMBER.fullmatch(rate) and Fraction(rate) > 0):
            raise SourceError(f"{name} does not say how many samples a second there are; expected a number above 0")
        if len(lines) - 1 < count or not count:
            raise SourceError(f"{name} describes {len(lines) - 1} channels and names {count}; expected as many")
        self._read_signals(lines[1 : count + 1], int(frames) if frames else None)
        a_second = Fraction(rate) if rate else None
        channels = {
            label: Channel(a_second and a_second * one.each, one.each * self._frames[one.file])
            for label, one in self._signals.items()
        }
        self.opened(name, channels, window)

    def samples(self, channel: str) -> Iterator[Floats]:
        """Yield the samples of a channel in physical units; raise `SourceError` at a checksum that is not right."""
        signal, form = self._signals[channel], _FORMATS[self._signals[channel].format]
        wide, frames, total = self._wide[signal.file], self._frames[signal.file], 0
        step = max(1, _BLOCK // (wide * 6)) * 6  # frames; so many fill whole groups of 1, 2 and 3 samples
        with files.open_file(self._path(signal.file)) as file:
            file.seek(signal.skip)
            for first in range(0, frames, step):
                count = min(step, frames - first) * wide
                size = -(-count // form.samples) * form.size
                data = file.read(size)
                if len(data) < form.stored(count):
                    raise changed(self._path(signal.file))
                raw = np.frombuffer(data.ljust(size, b"\0"), np.uint8)
                digital = form.read(raw)[:count].reshape(-1, wide)[:, signal.at : signal.at + signal.each].reshape(-1)
                total += int(digital.sum())
                values = (digital - signal.baseline) / signal.gain
                values[digital == form.none] = np.nan
                yield values
        if signal.checksum and (total - signal.checksum) % 2**16:
            raise SourceError(
                f"{self._path(signal.file)} is damaged: channel {channel!r} has not the checksum of {self.name}"
            )

    def _lines(self) -> list[str]:
        with files.open_file(self.name) as file:
            data = file.read(_HEADER + 1)
        if len(data) > _HEADER:
            raise SourceError(f"{self.name} has more than {_HEADER:,} bytes; expected the header of a WFDB record")
        lines = [line.strip() for line in data.decode("latin-1").splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    def _read_signals(self, lines: list[str], frames: int | None) -> None:
        """Read the lines of channels, and count the frames of each data file."""
        signals: list[_Signal] = []
        labels: list[str] = []
        self._wide: dict[str, int] = {}  # samples in a frame, by file
        uncalibrated = []
        for k, line in enumerate(lines):
            found = _SIGNAL.fullmatch(line)
            if found is None:
                raise SourceError(f"{self.name} has a line for channel {k} that is not as WFDB has it")
            signals.append(self._signal(found, k))
            labels.append((found["label"] or "").strip() or f"signal {k}")
            self._wide[found["file"]] = signals[-1].at + signals[-1].each
            if not found["gain"] or not float(found["gain"]):
                uncalibrated.append(labels[-1])
        self._signals = dict(zip(told_apart(labels), signals, strict=True))
        self._frames = {one.file: self._count(one, frames) for one in signals}
        self.beside = [self._path(file) for file in self._frames]
        names = ", ".join(uncalibrated)
        told = [f"{self.name}: not calibrated, so values are samples / {_DEFAULT_GAIN:g}: {names}"] * bool(names)
        left = ", ".join(self._annotations())
        self.told = [*told, *[f"{self.name}: the annotations beside it are not read: {left}"] * bool(left)]

    def _signal(self, found: re.Match[str], k: int) -> _Signal:
        file, kind, gain = found["file"], found["format"], found["gain"]
        if kind not in _FORMATS:
            raise SourceError(
                f"{self.name} stores channel {k} in format {kind}; expected one of {', '.join(_FORMATS)}",
                hint="wfdb.rdrecord and wfdb.wrsamp, of the package wfdb, write it in format 16",
            )
        if PurePosixPath(file).name != file or "\\" in file or file in ("-", "~", ".", ".."):
            raise SourceError(f"{self.name} names a data file that is not beside it; expected the name of one")
        if gain and not NUMBER.fullmatch(gain):
            raise SourceError(f"{self.name} has a gain of channel {k} that is no number")
        baseline = found["baseline"] if found["baseline"] is not None else found["zero"]
        return _Signal(
            file=file,
            format=kind,
            at=self._wide.get(file, 0),
            each=int(found["each"] or 1) or 1,
            skip=int(found["skip"] or 0),
            gain=float(gain or 0) or _DEFAULT_GAIN,
            baseline=int(baseline or 0),
            checksum=int(found["sum"] or 0),
        )

    def _count(self, signal: _Signal, said: int | None) -> int:
        """Return how many frames a data file holds, which must be what the header says."""
        path, form, wide = self._path(signal.file), _FORMATS[signal.format], self._wide[signal.file]
        if not files.is_file(path):
            raise SourceError(f"{self.name} names the data file {signal.file}, which is not beside it")
        size = files.size(path) - signal.skip
        frames = form.held(size) // wide
        if said and (frames < said or size >= form.stored(said * wide) + form.size):
            raise SourceError(
                f"{path} holds {frames:,} samples a channel; {self.name} says {said:,}: it is cut short or another file"
            )
        return said or frames

    def _annotations(self) -> list[str]:
        """Return the names of files beside a local header that have its name, and neither header nor data."""
        path = Path(self.name)
        if files.is_url(self.name):
            return []
        beside = (one.name for one in path.parent.glob(f"{glob.escape(path.stem)}.*"))
        return sorted(name for name in beside if name != path.name and name not in self._frames)

    def _path(self, file: str) -> str:
        folder = self.name[: len(self.name) - len(PurePosixPath(self.name).name)]
        return folder + file

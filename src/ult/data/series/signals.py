"""The common part of files of signals: channels of samples, each in physical units as float64.

A record is one channel of one file, or, if a window is asked for, each stretch of so many seconds of it; the last one
is shorter if the channel ends inside it, so that no sample is lost.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data.rows import CHUNK_BYTES, ROWS, Chunk, Rows, listed
from ult.errors import EmptySource, InvalidConfig, SourceError

Floats = NDArray[np.float64]
NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,2})?")  # as headers write them


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: samples a second (None if the file does not say), and how many samples there are."""

    rate: Fraction | None
    length: int


class SignalRows(Rows):
    """The channels of one file; each column is a channel."""

    channels: Mapping[str, Channel]

    @abstractmethod
    def samples(self, channel: str) -> Iterator[Floats]:
        """Yield the samples of a channel, in blocks (n,) float64; NaN where there was none."""

    def opened(self, name: str, channels: Mapping[str, Channel], window: float | None) -> None:
        """Set what all such rows have; raise `EmptySource` if there is no sample."""
        self.name, self.channels = name, channels
        self._window = None if window is None else Fraction(str(window))
        if not any(channel.length for channel in channels.values()):
            raise EmptySource(f"{name} has no samples; expected some")
        self.types = dict.fromkeys(channels, pa.list_(pa.float64()))

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the channel as one row, or its windows; raise `SourceError` if the file is damaged."""
        name, *others = columns
        if others:
            raise SourceError(f"{self.name}: a record is of one channel, so {listed(others)} cannot be kept with it")
        if self._window is None:
            series = np.concatenate([np.empty(0), *self.samples(name)])
            yield Chunk(self.name, 1, {name: [series]}, 1, names=(f"{self.name}, channel {name!r}",))
            return
        step = self._step(name)
        most, first = max(1, min(ROWS, CHUNK_BYTES // (8 * step))), 1
        windows: list[Floats] = []
        for window in _cut(self.samples(name), step):
            windows.append(window)
            if len(windows) == most:
                yield Chunk(self.name, first, {name: windows}, most, "window")
                first, windows = first + most, []
        if windows:
            yield Chunk(self.name, first, {name: windows}, len(windows), "window")

    def _step(self, name: str) -> int:
        """Return how many samples of a channel are in a window; raise `InvalidConfig` if that is no whole number."""
        rate = self.channels[name].rate
        if rate is None:
            raise SourceError(f"{self.name} does not say how many samples a second it has; expected that for --window")
        step = (self._window or 0) * rate
        if step.denominator != 1 or step < 1:
            near = max(1, round(step)) / rate
            raise InvalidConfig(
                f"a window of {float(self._window or 0):g} s is {float(step):g} samples of {name!r} in {self.name}, at "
                f"{float(rate):g} a second; expected a whole number",
                hint=f"--window {float(near):.10g}",
            )
        return int(step)


def _cut(blocks: Iterator[Floats], step: int) -> Iterator[Floats]:
    """Yield stretches of `step` samples of consecutive blocks, and what is left at the end."""
    pending: list[Floats] = []
    size = 0
    for block in blocks:
        pending.append(block)
        size += len(block)
        if size >= step:
            whole = np.concatenate(pending)
            last = size - size % step
            yield from (whole[i : i + step] for i in range(0, last, step))
            pending, size = [whole[last:]], size - last
    if size:
        yield np.concatenate(pending)


def told_apart(labels: Sequence[str], but: Sequence[str] = ()) -> list[str]:
    """Return labels, each once: a second "EEG" is called "EEG (2)"; those in `but` may repeat."""
    found: list[str] = []
    for label in labels:
        name, k = label, 1
        while name in found and label not in but:
            k += 1
            name = f"{label} ({k})"
        found.append(name)
    return found

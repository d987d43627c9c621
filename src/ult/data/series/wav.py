"""Read sound of WAV files of whole-number samples: each channel from -1 to 1, which is exact in float64.

A sample of b bits is divided by 2**(b - 1); those of 8 bits have no sign, so 128 is taken away first.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np

from ult.data import files
from ult.data.rows import existing
from ult.data.series.signals import Channel, Floats, SignalRows
from ult.errors import SourceError, UltError

SUFFIX = ".wav"
_HEADER = 44  # bytes of the shortest
_BLOCK = 2**20  # frames that are read at once


class WavRows(SignalRows):
    """The channels of one sound file: `channel 1`, `channel 2` and so on."""

    def __init__(self, name: str, window: float | None = None) -> None:
        self.name = existing(name)
        with self._open() as sound:
            count, self._width, rate, self._frames = sound.getparams()[:4]
        if not 1 <= self._width <= 4 or rate < 1:
            raise SourceError(f"{name} has samples of {self._width} bytes, {rate} a second; expected 1 to 4 bytes")
        if _HEADER + count * self._width * self._frames > files.size(name):
            raise SourceError(f"{name} is cut short: its header says {self._frames:,} samples a channel")
        self._labels = [f"channel {k}" for k in range(1, count + 1)]
        self.opened(name, {label: Channel(Fraction(rate), self._frames) for label in self._labels}, window)

    def samples(self, channel: str) -> Iterator[Floats]:
        """Yield the samples of a channel, from -1 to 1."""
        k, count, width = self._labels.index(channel), len(self._labels), self._width
        with self._open() as sound:
            for first in range(0, self._frames, _BLOCK):
                frames = min(_BLOCK, self._frames - first)
                data = sound.readframes(frames)
                if len(data) != frames * count * width:
                    raise SourceError(f"{self.name} is cut short, or changed: its header says {self._frames:,} samples")
                part = np.frombuffer(data, np.uint8).reshape(frames, count, width)[:, k]
                if width == 1:
                    yield (part[:, 0].astype(np.float64) - 128) / 128
                    continue
                wide = np.zeros((frames, 4), np.uint8)
                wide[:, 4 - width :] = part
                yield wide.view("<i4")[:, 0] / 2.0**31

    @contextmanager
    def _open(self) -> Iterator[wave.Wave_read]:
        try:
            with files.open_file(self.name) as file, wave.open(file, "rb") as sound:
                yield sound
        except UltError:
            raise
        except (wave.Error, EOFError, OSError, ValueError, RuntimeError, OverflowError) as error:
            what = "is no WAV file of whole-number samples, or it is cut short"
            raise SourceError(f"{self.name} {what}") from error

"""Sound of WAV files that the tests write: exact values of each width and channel, and damaged files."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ult.data import open_source
from ult.errors import EmptySource, MissingColumn, SourceError


def sound(values: Any, width: int) -> bytes:
    """Return a file of samples (n, channels), 100 a second."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(width)
        file.setframerate(100)
        file.writeframes(b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in values.reshape(-1)))
    return out.getvalue()


def read(path: Path, data: bytes, **options: Any) -> list[Any]:
    path.write_bytes(data)
    return list(open_source([path], modality="series", **options))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_each_channel_is_exact(width, tmp_path):
    top = 2 ** (8 * width - 1)
    values = np.random.default_rng(0).integers(-top, top, (500, 2))
    values[:2, 0] = -top, top - 1
    data = sound(values + 128 * (width == 1), width)
    for k in range(2):
        (series,) = read(tmp_path / "a.wav", data, column=f"channel {k + 1}")
        assert np.array_equal(series, values[:, k] / top)
    assert len(read(tmp_path / "a.wav", data, column="channel 1", reading={"window": 0.5})) == 10
    with pytest.raises(MissingColumn, match="'channel 1', 'channel 2'"):
        read(tmp_path / "a.wav", data)
    assert len(read(tmp_path / "a.wav", sound(values[:, :1] % 100, width))[0]) == 500


def test_what_is_damaged_is_refused(tmp_path):
    whole = sound(np.zeros((500, 1), int), 2)
    at = whole.index(b"data") + 4
    for data, error, message in (
        (whole[:-9], SourceError, "cut short"),
        (whole[:30], SourceError, "is no WAV file"),
        (b"RIFF" * 99, SourceError, "is no WAV file"),
        (whole[:at] + struct.pack("<I", 2**31) + whole[at + 4 :], SourceError, "cut short: its header says"),
        (whole[:20] + struct.pack("<H", 3) + whole[22:], SourceError, "is no WAV file"),
        (sound(np.zeros((0, 1), int), 2), EmptySource, "has no samples"),
    ):
        with pytest.raises(error, match=message):
            read(tmp_path / "a.wav", data)

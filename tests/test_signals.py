"""Signals of WFDB and EDF files that the tests write: exact values, windows, damaged files and headers that lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ult.cli import app
from ult.data import open_source
from ult.errors import InvalidConfig, MissingColumn, SourceError

PACKED = {  # format -> bytes of the samples, written as the format's page describes it
    "16": lambda d: d.astype("<i2").tobytes(),
    "24": lambda d: b"".join(int(v).to_bytes(3, "little", signed=True) for v in d),
    "32": lambda d: d.astype("<i4").tobytes(),
    "61": lambda d: d.astype(">i2").tobytes(),
    "80": lambda d: bytes(int(v) + 128 for v in d),
    "160": lambda d: (d + 2**15).astype("<u2").tobytes(),
    "212": lambda d: b"".join(_three(int(a) & 0xFFF, int(b) & 0xFFF) for a, b in zip(d[::2], d[1::2], strict=True)),
    "310": lambda d: b"".join(_words(*(int(v) & 0x3FF for v in d[i : i + 3])) for i in range(0, len(d), 3)),
    "311": lambda d: b"".join(
        sum((int(v) & 0x3FF) << 10 * k for k, v in enumerate(d[i : i + 3])).to_bytes(4, "little")
        for i in range(0, len(d), 3)
    ),
}
BITS = {"16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10, "311": 10}


def _three(a: int, b: int) -> bytes:
    return bytes([a & 0xFF, a >> 8 | b >> 8 << 4, b & 0xFF])


def _words(a: int, b: int, c: int) -> bytes:
    return (a << 1 | (c & 31) << 11).to_bytes(2, "little") + (b << 1 | c >> 5 << 11).to_bytes(2, "little")


def wfdb(folder: Path, digital: NDArray[Any], kind: str = "16", head: str = "r 2 250 {n}") -> Path:
    """Write a record of two channels, (n, 2) digital samples, gains 200 and 17.5."""
    (folder / "r.dat").write_bytes(PACKED[kind](digital.reshape(-1)))
    sums = [int(column.sum()) % 2**16 for column in digital.T]
    lines = [
        head.format(n=len(digital)),
        f"r.dat {kind} 200(3)/mV 12 0 {digital[0, 0]} {sums[0] - 2**16 * (sums[0] >= 2**15)} 0 MLII",
        f"r.dat {kind} 17.5/mV 12 -7 {digital[0, 1]} {sums[1]} 0 V 5",
        "# a patient, who is not read",
    ]
    (folder / "r.hea").write_text("\n".join(lines) + "\n")
    return folder / "r.hea"


def read(path: Path, **options: Any) -> list[NDArray[Any]]:
    return list(open_source([path], modality="series", **options))


@pytest.mark.parametrize("kind", PACKED)
def test_each_format_of_wfdb_gives_physical_values(kind, tmp_path):
    top = 2 ** (BITS[kind] - 1)
    digital = np.random.default_rng(0).integers(-top + 1, top, (3000, 2))
    digital[5, 1] = -top
    path = wfdb(tmp_path, digital, kind)
    (first,), (second,) = read(path, column="MLII"), read(path, column="V 5")
    assert np.array_equal(first, (digital[:, 0] - 3) / 200)
    expected = (digital[:, 1] + 7) / 17.5
    expected[5] = np.nan
    assert np.array_equal(second, expected, equal_nan=True)
    assert second.dtype == np.float64


def test_a_window_is_asked_for_and_no_sample_is_lost(tmp_path):
    digital = np.arange(2000).reshape(1000, 2)
    path = wfdb(tmp_path, digital)
    windows = read(path, column="MLII", reading={"window": 1.2})
    assert [len(one) for one in windows] == [300, 300, 300, 100]
    assert np.array_equal(np.concatenate(windows), (digital[:, 0] - 3) / 200)
    with pytest.raises(
        InvalidConfig,
        match=r"window of 0.001 s is 0.25 samples.*hint: --window 0.004; in Python reading={'window': 0.004}",
    ):
        read(path, column="MLII", reading={"window": 0.001})
    with pytest.raises(MissingColumn, match=r"2 columns .*'MLII', 'V 5'.*hint: --column MLII"):
        read(path)
    with pytest.raises(SourceError, match="one channel, so 'V 5' cannot be kept"):
        read(path, column="MLII", keep=["V 5"])
    for wrong in (0, -1, float("nan"), True, "1"):
        with pytest.raises(InvalidConfig, match="expected seconds"):
            read(path, column="MLII", reading={"window": wrong})


def test_several_samples_a_frame_and_an_uncalibrated_channel(tmp_path):
    digital = np.arange(60, dtype="<i2").reshape(12, 5)
    (tmp_path / "m.dat").write_bytes(b"head" + digital.tobytes())
    (tmp_path / "m.hea").write_text("m 2 100\nm.dat 16x4+4 0 12 1 0 0 0 A\nm.dat 16+4\n")
    source = open_source([tmp_path / "m.hea"], modality="series", column="A", reading={"window": 0.04})
    assert np.array_equal(np.concatenate(list(source)), (digital[:, :4].reshape(-1) - 1) / 200)
    assert [len(one) for one in source] == [16, 16, 16]
    assert source.told == [f"{tmp_path}/m.hea: not calibrated, so values are samples / 200: A, signal 1"]
    (tmp_path / "m.atr").write_bytes(b"")
    source = open_source([tmp_path / "m.hea"], modality="series", column="A")
    assert source.told[1] == f"{tmp_path}/m.hea: the annotations beside it are not read: m.atr"


HEADERS = [
    ("", "is not the header of a WFDB record|is empty"),
    ("r/3 2 250 900\n", "several segments"),
    ("r 2 250 900\nr.dat 16 200\n", "describes 1 channels and names 2"),
    ("r 1 250 900\n../r.dat 16 200\n", "not beside it"),
    ("r 1 250 900\n/etc/passwd 16 200\n", "not beside it"),
    ("r 1 250 900\nother.dat 16 200\n", "which is not beside it"),
    ("r 1 250 900\nr.dat 516 200\n", "format 516; expected one of 16, 24.*hint: wfdb"),
    ("r 1 250 99999999999\nr.dat 16 200\n", "says 99,999,999,999: it is cut short"),
    ("r 1 250 900\nr.dat 16 200\n", "holds 2,000 samples a channel; .* says 900"),
    ("r 1 0 900\nr.dat 16 200\n", "how many samples a second"),
    ("r 1 250 2000\nr.dat 16 1e999 12 0 0 0\n", "no number"),
    ("r 1 250 2000\nr.dat 16 200 12 0 0 77 0 A\n", "damaged: channel 'A' has not the checksum"),
    ("r 1 250 2000\nr.dat sixteen 200\n", "not as WFDB has it"),
    ("r 1 250 2000\nr.dat 16x999999 200\n", "it is cut short"),
    ("r 1 250 2000\n" + "r.dat 16 " + "9" * 2**20, "more than 1,048,576 bytes"),
]


@pytest.mark.parametrize(("text", "message"), HEADERS, ids=range(len(HEADERS)))
def test_a_header_of_wfdb_that_lies(text, message, tmp_path):
    wfdb(tmp_path, np.zeros((1000, 2), int)).write_text(text)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "r.hea")


def test_data_that_changes_while_it_is_read(tmp_path):
    path = wfdb(tmp_path, np.zeros((1000, 2), int))
    source = open_source([path], modality="series", column="MLII")
    (tmp_path / "r.dat").write_bytes(bytes(4001))
    with pytest.raises(SourceError, match="changed"):
        list(source)


def edf(path: Path, digital: list[NDArray[Any]], **fields: Any) -> Path:
    """Write an EDF or BDF file of signals (records, samples in a record), physical -200 to 187.5, and annotations."""
    records = len(digital[0])
    width = 3 if path.suffix == ".bdf" else 2
    top = 2 ** (8 * width - 1)
    notes = f"{'BDF' if width == 3 else 'EDF'} Annotations"
    shapes = [*(one.shape[1] for one in digital), 8]
    labels = ["EEG", "Resp", "EEG"][: len(digital)]
    count = len(shapes)
    head = {
        "version": "\xffBIOSEMI" if width == 3 else "0       ",
        "patient": f"{'Mrs Example 1957':80}",
        "recording": f"{'somewhere':80}",
        "start": "01.01.0100.00.00",
        "size": f"{256 * (count + 1):<8}",
        "kind": f"{'EDF+C':44}",
        "records": f"{records:<8}",
        "seconds": f"{'2':8}",
        "count": f"{count:<4}",
    } | fields
    each = [
        [f"{one:16}" for one in [*labels, notes]],
        [" " * 80] * count,
        [f"{'uV':8}"] * count,
        [f"{'-200':8}"] * count,
        [f"{'187.5':8}"] * count,
        [f"{-top:<8}"] * count,
        [f"{top - 1:<8}"] * count,
        [" " * 80] * count,
        [f"{one:<8}" for one in shapes],
        [" " * 32] * count,
    ]
    text = "".join([*head.values(), *("".join(column) for column in each)])
    data = bytearray(text.encode("latin-1"))
    for k in range(records):
        for one in digital:
            data += b"".join(int(v).to_bytes(width, "little", signed=True) for v in one[k])
        data += b"+0\x14\x14".ljust(8 * width, b"\0")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_edf_gives_physical_values_and_skips_annotations(suffix, tmp_path):
    top = 2 ** (15 if suffix == ".edf" else 23)
    rng = np.random.default_rng(0)
    digital = [rng.integers(-top, top, (7, n)) for n in (512, 2, 100)]
    digital[0][0, :2] = -top, top - 1
    path = edf(tmp_path / f"x{suffix}", digital)
    for name, raw in zip(("EEG", "Resp", "EEG (2)"), digital, strict=True):
        source = open_source([path], modality="series", column=name)
        (values,) = source
        assert np.array_equal(values, (raw.reshape(-1) + float(top)) * 387.5 / (2.0 * top - 1) - 200)
        assert source.told == [f"{path}: its annotations are not read"]
    assert read(path, column="EEG")[0][:2].tolist() == [-200, 187.5]
    assert [len(one) for one in read(path, column="EEG (2)", reading={"window": 4})] == [200, 200, 200, 100]


EDFS = [
    ({"version": "1       "}, "is not an EDF or BDF file"),
    ({"kind": f"{'EDF+D':44}"}, "has gaps"),
    ({"records": f"{9:<8}"}, "holds 7 data records and 0 bytes more; its header says 9"),
    ({"records": "99999999"}, "its header says 99,999,999"),
    ({"size": f"{512:<8}"}, "contradicts itself"),
    ({"count": "9999"}, "contradicts itself"),
    ({"size": f"{256 * 10000:<8}", "count": "9999"}, "cut short in its header"),
    ({"seconds": "Mrs Exam"}, "a number is missing or misspelt$"),
    ({"seconds": "1e999   "}, "a number is missing or misspelt$"),
    ({"seconds": f"{'0':8}"}, "does not say how many samples a second"),
]


@pytest.mark.parametrize(("fields", "message"), EDFS, ids=range(len(EDFS)))
def test_a_header_of_edf_that_lies(fields, message, tmp_path):
    path = edf(tmp_path / "x.edf", [np.zeros((7, 4), int)], **fields)
    with pytest.raises(SourceError, match=message):
        read(path, column="EEG", reading={"window": 1})


def test_a_cut_edf_and_one_of_unknown_length(tmp_path):
    path = edf(tmp_path / "x.edf", [np.ones((7, 4), int)], records=f"{-1:<8}")
    assert len(read(path, column="EEG")[0]) == 28
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(SourceError, match="it is cut short or damaged"):
        read(path, column="EEG")


def test_from_a_signal_to_ids_and_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wave = np.rint(np.stack([900 * np.sin(np.arange(4000) / 9), np.arange(4000) % 50], 1)).astype(int)
    wfdb(tmp_path, wave, "212")
    of = "-c MLII --window 2 -w 1"
    for line in (
        f"fit r.hea --codec series/mulaw {of} -o t.ult --no-encryption --vocabulary-size 400",
        f"encode r.hea {of} -t t.ult -o s",
        "decode s -t t.ult -o back.npz",
    ):
        app(line.split(), standalone_mode=False)
    with np.load("back.npz") as back:
        assert back["MLII"].shape == (8, 500)
        assert np.abs(back["MLII"].reshape(-1) - (wave[:, 0] - 3) / 200).max() < 0.1
    with pytest.raises(InvalidConfig, match="--window is for"):
        app(["encode", "back.npz", "--window", "2", "-t", "t.ult", "-o", "s2"], standalone_mode=False)


def test_a_file_of_other_records_is_refused_with_the_codec_that_reads_it(tmp_path):
    path = wfdb(tmp_path, np.zeros((9, 2), int))
    with pytest.raises(SourceError, match=r"'\.hea'; expected .txt, .*for text records .hint: .*--codec series/mulaw"):
        open_source([path], modality="text")
    with pytest.raises(SourceError, match=r"ends in '\.dat'.*hint: .*r\.hea, its header"):
        open_source([tmp_path / "r.dat"], modality="series")

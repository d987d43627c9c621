"""Output appears whole or not at all, never overwrites, and refuses what its format cannot hold."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ult.data import open_sink, open_source, text
from ult.data.images.image_writer import _file_name
from ult.errors import OutputError, OutputExists

LABEL = pa.schema([("label", pa.string())])
RECORDS: Any = {"text": ["a"], "molecule": ["CCO"], "image": [np.zeros((2, 2), np.uint8)], "series": [np.zeros(3)]}
OUTPUTS = [
    ("text", "a.txt"),
    ("text", "a.jsonl"),
    ("text", "a.csv"),
    ("molecule", "a.parquet"),
    ("series", "a.npz"),
    ("series", "a.csv"),
    ("series", "a.parquet"),
    ("image", "a.npz"),
    ("image", "a.parquet"),
    ("image", "folder"),
]


def write(path: Path, modality: str, records: list[Any], **options: Any) -> None:
    kept = options.pop("kept", None)
    with open_sink(path, modality=modality, column="x", **options) as opened:
        opened.write(records, kept)


@pytest.mark.parametrize(("modality", "name"), OUTPUTS)
def test_whole_or_not_at_all(tmp_path: Path, modality: str, name: str) -> None:
    path = tmp_path / "new" / "parents" / name
    for stop in (KeyboardInterrupt, ValueError):
        with pytest.raises(stop), open_sink(path, modality=modality, column="x") as opened:  # noqa: PT012
            opened.write(RECORDS[modality])
            assert not path.exists()
            raise stop
        assert list(tmp_path.iterdir()) == []
    write(path, modality, RECORDS[modality])
    assert list(path.parent.iterdir()) == [path]
    column = "x" if name == "a.csv" else None
    np.testing.assert_array_equal(list(open_source([path], modality=modality, column=column)), RECORDS[modality])


@pytest.mark.parametrize(("modality", "name"), OUTPUTS)
def test_never_overwritten_without_force(tmp_path: Path, modality: str, name: str) -> None:
    path = tmp_path / name
    write(path, modality, RECORDS[modality])
    before = sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    with pytest.raises(OutputExists, match=r"exists already .hint: another --out, or --force"):
        open_sink(path, modality=modality, column="x")
    with pytest.raises(KeyError), open_sink(path, modality=modality, column="x", force=True):
        raise KeyError
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before
    write(path, modality, RECORDS[modality] * 0, force=True)
    assert list(tmp_path.iterdir()) == [path]
    assert sorted((p, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) != before


def test_what_appeared_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(OutputExists), open_sink(path, modality="text", column="x") as opened:  # noqa: PT012
        opened.write(["mine"])
        path.write_text("theirs\n")
    assert path.read_text() == "theirs\n"
    assert list(tmp_path.iterdir()) == [path]


def test_force_replaces_no_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.doc").write_text("x")
    with pytest.raises(OutputExists, match=r"holds thesis\.doc, which is no part of a folder of images"):
        open_sink(tmp_path / "home", modality="image", column="x", force=True)
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(OutputExists, match="is a folder"):
        open_sink(tmp_path / "a.csv", modality="text", column="x", force=True)


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.parametrize(("modality", "name"), OUTPUTS)
def test_mode_is_by_umask(tmp_path: Path, umask: int, modality: str, name: str) -> None:
    write(tmp_path / name, modality, RECORDS[modality])
    for path in [tmp_path / name, *(tmp_path / name).rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(text.TxtWriter, "write", full)
    with pytest.raises(OutputError, match=r"cannot write .*a\.txt: No space left on device"):
        write(tmp_path / "a.txt", "text", ["a"])
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write(tmp_path / "a.csv", "text", ["a"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("modality", "name", "records", "options", "message"),
    [
        ("text", "a.txt", ["a\nb"], {}, "line break, which .txt cannot .hint: .jsonl"),
        ("text", "a.txt", ["\ud800"], {}, "lone surrogate, which .txt cannot .hint: .jsonl"),
        ("text", "a.csv", ["\ud800"], {}, "lone surrogate, which .csv cannot"),
        ("text", "a.parquet", ["\ud800"], {}, "lone surrogate, which .parquet cannot"),
        ("text", "a.jsonl", ["\ud800\udc00"], {}, "two lone surrogates in a row"),
        ("text", "a.txt", ["a"], {"kept_schema": LABEL}, "cannot hold the kept columns 'label' .hint: .jsonl, .csv"),
        ("text", "a.npz", ["a"], {}, "holds no text records .hint: .txt, .jsonl, .csv, .parquet"),
        ("text", "a", ["a"], {}, "holds no text records"),
        ("image", "a.csv", [], {}, "holds no image records .hint: a folder, .parquet, .npz"),
        ("series", "a.jsonl", [], {}, "holds no series records"),
        ("image", "a.npz", [np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8)], {}, "several sizes"),
        ("series", "a.csv", [np.zeros(2), np.zeros(3)], {}, "one series as a column; there are more .hint: .npz"),
        (
            "series",
            "a.csv",
            [np.zeros(2)],
            {"fields": ("p", "q", "r")},
            "not of 3 values, one for each column .hint: .npz",
        ),
        ("series", "a.parquet", [np.zeros(4)], {"fields": ("p", "q", "r")}, "not of 3 values"),
        ("text", "a.csv", ["a"], {"kept_schema": pa.schema([("t", pa.list_(pa.int8()))])}, "'t', which is list"),
        ("text", "a.jsonl", ["a"], {"kept_schema": pa.schema([("x", pa.string())])}, "'x' would be there twice"),
        ("series", "a.csv", [], {"kept_schema": pa.schema([("q", pa.string())]), "fields": ("q",)}, "'q' would be"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, modality: str, name: str, records: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OutputError, match=message):
        write(tmp_path / name, modality, records, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("modality", "name", "value", "kind", "message"),
    [
        ("text", "a.csv", None, pa.string(), "null"),
        ("text", "a.jsonl", float("nan"), pa.float64(), "NaN or an infinity"),
        ("series", "a.npz", None, pa.int64(), "null"),
        ("series", "a.npz", "a\0", pa.string(), "ends in NUL"),
        ("image", "folder", None, pa.string(), "null"),
    ],
)
def test_kept_values_that_a_format_cannot_hold(
    tmp_path: Path, modality: str, name: str, value: Any, kind: pa.DataType, message: str
) -> None:
    kept = pa.table({"label": pa.array([value], kind)})
    with pytest.raises(OutputError, match=message):
        write(tmp_path / name, modality, RECORDS[modality], kept_schema=kept.schema, kept=kept)
    assert list(tmp_path.iterdir()) == []


def test_kept_rows_match_the_records(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="2 records came with 1 rows"):
        write(tmp_path / "a.csv", "text", ["a", "b"], kept_schema=LABEL, kept=pa.table({"label": ["x"]}))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (7, "00000007.png"),
        ("cat/a.JPG", "cat/a.png"),
        ("../../etc/passwd", "__/__/etc/passwd.png"),
        ("/abs\\b.png", "abs/b.png"),
        (".hidden.gif", "_hidden.png"),
        ("a.b:c?.png.jpg", "a.b_c_.png.png"),
        (".png", "_png.png"),
    ],
)
def test_names_are_made_safe(name: Any, file: str) -> None:
    assert _file_name(name, ".png") == file


@pytest.mark.parametrize(
    ("names", "message"), [(["a.png", "A.jpg"], "two images have one name"), (["/", "a"], "empty")]
)
def test_names_that_no_file_can_have(tmp_path: Path, names: list[str], message: str) -> None:
    kept = pa.table({"name": names})
    with pytest.raises(OutputError, match=message):
        write(tmp_path / "out", "image", RECORDS["image"] * 2, kept_schema=kept.schema, kept=kept)
    assert list(tmp_path.iterdir()) == []

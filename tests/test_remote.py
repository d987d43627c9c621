"""Inputs that are globs or lie behind URLs: the records of local files, from a real S3 server on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from ult.__main__ import main
from ult.data import files, open_sink, open_source
from ult.data.rows import CHUNK_BYTES
from ult.errors import MissingColumn, MissingSource, OutputError, SourceError

pytestmark = pytest.mark.usefixtures("server")


def read(name: str | Path, modality: str, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return the records, as lists where they are arrays, and the kept rows."""
    source = open_source([name], modality=modality, **options)
    batches = list(source.batches())
    records = [r.tolist() if isinstance(r, np.ndarray) else r for batch in batches for r in batch.records]
    return records, [row for batch in batches for row in batch.kept.to_pylist()]


@pytest.mark.parametrize(
    ("name", "modality", "options"),
    [
        ("a.txt", "text", {}),
        ("a.jsonl", "text", {"keep": ["n"]}),
        ("a.csv", "text", {"column": "text", "keep": ["n"]}),
        ("a.parquet", "text", {"keep": ["n"]}),
        ("a.npy", "series", {}),
        ("a.npz", "series", {"keep": ["label"]}),
        ("a.fa.gz", "text", {"keep": ["header"]}),
        ("*.hea", "series", {"reading": {"window": 0.1}}),
        ("a.h5ad", "series", {"keep": ["_index"]}),
        ("images", "image", {"keep": ["label", "name"]}),
        ("images/", "image", {}),
        ("images/cat/1.png", "image", {}),
        ("images/dog/[[]0].png", "image", {}),
        ("images/dog/[0].png", "image", {}),
    ],
)
def test_records_are_those_of_the_local_file(local: Path, name: str, modality: str, options: dict[str, Any]) -> None:
    expected = read(f"{local}/{name}", modality, **options)
    assert len(expected[0]) > 0
    assert read(f"s3://bucket/in/{name}", modality, **options) == expected


def test_labels_lie_beside_the_images(local: Path) -> None:
    sheet = "name,kind\n" + "".join(f"{name},{i}\n" for i, name in enumerate(("cat/0.png", "cat/1.png", "dog/[0].png")))
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key="in/images/labels.csv", Body=sheet.encode())
    try:
        _, kept = read("s3://bucket/in/images", "image", keep=["kind"])
        assert kept == [{"kind": "0"}, {"kind": "1"}, {"kind": "2"}]
        with pytest.raises(MissingColumn, match="no column 'label'"):
            read("s3://bucket/in/images", "image", keep=["label"])
    finally:
        client.delete_object(Bucket="bucket", Key="in/images/labels.csv")
        client.close()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("notes-*.csv", ["notes-10.csv", "notes-2.csv"]),
        ("notes-?.csv", ["notes-2.csv"]),
        ("notes-[0-9].csv", ["notes-2.csv"]),
        ("**/*.csv", ["deep/er/notes-1.csv", "deep/notes-[0].csv", "notes-10.csv", "notes-2.csv"]),
        ("*/**/notes-1.csv", ["deep/er/notes-1.csv"]),
        ("deep/notes-[0].csv", ["deep/notes-[0].csv"]),
        (".notes-*", [".notes-0.csv"]),
    ],
)
def test_globs_are_sorted_and_a_name_that_is_there_is_none(local: Path, pattern: str, names: list[str]) -> None:
    for root in (f"{local}/globs", "s3://bucket/in/globs"):
        assert files.expand(f"{root}/{pattern}") == [f"{root}/{name}" for name in names]
        assert read(f"{root}/{pattern}", "text")[0] == names


def test_a_glob_that_matches_nothing_is_refused(local: Path) -> None:
    for root in (str(local), "s3://bucket/in", "s3://bucket/nothing", "s3://none/at/all"):
        with pytest.raises(MissingSource, match=r"\*\.txtx (matches no file|is not there)"):
            open_source([f"{root}/*.txtx"], modality="text")
    with pytest.raises(SourceError, match="several kinds"):
        open_source(["s3://bucket/in/a.[cj]s*"], modality="text")


@pytest.mark.parametrize("suffix", ["txt", "csv", "parquet"])
def test_large_files_are_read_in_blocks_and_again(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{i:07d} " + "x" * 80 for i in range(CHUNK_BYTES // 64)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        plain = {"compression": "none", "use_dictionary": False}
        pq.write_table(pa.table({"text": lines}), path, row_group_size=len(lines) // 2, **plain)
    else:
        path.write_text("\n".join((["text"] if suffix == "csv" else []) + lines))
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key=f"large/{path.name}", Body=path.read_bytes())
    client.close()
    asked = []
    fetch = s3fs.S3File._fetch_range

    def fetched(file, *at):
        asked.append(at)
        return fetch(file, *at)

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", fetched)
    source = open_source([f"s3://bucket/large/{path.name}"], modality="text")
    asked.clear()
    assert list(source) == lines
    spans = [stop - start for start, stop in asked]
    assert max(spans) == files.BLOCK < path.stat().st_size // 4
    assert len(spans) < path.stat().st_size / files.BLOCK + 4
    asked.clear()
    assert next(iter(source)) == lines[0]
    assert sum(stop - start for start, stop in asked) < path.stat().st_size // 2


# ---- the command line


def ult(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ult", *words])
    with pytest.raises(SystemExit) as done:
        main()
    return (int(done.value.code or 0), *capsys.readouterr())


def test_from_a_bucket_to_shards_and_back(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for root, name in (("s3://bucket/in", "far"), (str(local), "near")):
        inputs = [f"{root}/globs/**/*.csv", f"{root}/globs/.notes-0.csv"]
        options = ["--no-encryption", "--min-records", "1", "--vocabulary-size", "512"]
        assert ult(capsys, monkeypatch, "fit", *inputs, "-o", f"{name}.ult", *options)[0] == 0
        status, out, _ = ult(capsys, monkeypatch, "encode", *inputs, "-t", f"{name}.ult", "-o", f"{name}.shards")
        assert status == 0
        assert "5 records" in out
        assert ult(capsys, monkeypatch, "decode", f"{name}.shards", "-t", f"{name}.ult", "-o", f"{name}.csv")[0] == 0
    assert Path("far.ult").read_bytes() == Path("near.ult").read_bytes()
    assert Path("far.csv").read_bytes() == Path("near.csv").read_bytes()
    assert Path("far.csv").read_text().split() == [
        "text",
        *("deep/er/notes-1.csv", "deep/notes-[0].csv", "notes-10.csv", "notes-2.csv", ".notes-0.csv"),
    ]


def test_errors_are_one_line_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ("fit", "--no-encryption", "-o", "t.ult")
    status, out, err = ult(capsys, monkeypatch, *fit, "s3://none/a.txt")
    assert (status, out) == (1, "")
    assert err == "error: s3://none/a.txt is not there; expected a file\nhint: check the bucket and the key\n"
    status, _, err = ult(capsys, monkeypatch, *fit, "s3://bucket/in/*.none")
    assert (status, err.splitlines()[0]) == (1, "error: s3://bucket/in/*.none matches no file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "fit a.txt -o s3://bucket/t.ult",
        "encode a.txt -t t.ult -o s3://bucket/shards",
        "decode shards -t t.ult -o gs://bucket/a.txt",
        "generate run -o s3://bucket/shards",
        "keygen -o s3://bucket/key",
    ],
)
def test_outputs_are_local(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = ult(capsys, monkeypatch, *command.split())
    assert (status, out) == (1, "")
    assert "written to a local folder\nhint: copy them from there" in err
    assert not list(tmp_path.iterdir())


def test_tables_and_shards_are_read_locally(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        "encode a.txt -t s3://bucket/t.ult -o x",
        "decode s3://bucket/shards -t t.ult -o x",
        "inspect s3://bucket/t",
    ):
        status, _, err = ult(capsys, monkeypatch, *command.split())
        assert (status, "expected a local path" in err) == (1, True)


def test_sinks_are_local(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="local folder"):
        open_sink("s3://bucket/a.txt", modality="text", column="text")

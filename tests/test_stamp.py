"""An input that changed since a command was killed is noticed, whether named directly, by a glob or by a URL."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ult.__main__ import main
from ult.data.stamp import stamp
from ult.errors import MissingSource
from ult.owner.pipeline.resume import Partial

LINES = "".join(f"line {n} of a small file\n" for n in range(200))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three small files, one of them hidden, that changed long ago."""
    for name in ("a-1.txt", "a-2.txt", "deep/.hidden.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LINES)
        os.utime(path, (1, 1))
    return tmp_path / "in"


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    """What puts objects below `s3://bucket/stamp/`, where the same files lie."""
    client = boto3.client("s3")

    def put(name: str, text: str) -> None:
        client.put_object(Bucket="bucket", Key=f"stamp/{name}", Body=text.encode())

    for name in ("a-1.txt", "a-2.txt", "b/1.txt"):
        put(name, LINES)
    yield put
    for found in client.list_objects_v2(Bucket="bucket", Prefix="stamp/")["Contents"]:
        client.delete_object(Bucket="bucket", Key=found["Key"])
    client.close()


@pytest.mark.parametrize("pattern", ["a-2.txt", "a-*.txt", "**/*.txt", "", "a-[2].txt"])
def test_local_files(folder: Path, pattern: str) -> None:
    name = f"{folder}/{pattern}"
    before = stamp([name])
    assert stamp([name]) == json.loads(json.dumps(before)) == before
    os.utime(folder / "a-2.txt", ns=(1, 2))
    touched = stamp([name])
    (folder / "a-2.txt").write_text(LINES + "x")
    os.utime(folder / "a-2.txt", ns=(1, 2))
    grown = stamp([name])
    shutil.copy2(folder / "a-1.txt", folder / "a-22.txt")
    assert before != touched != grown != before
    assert (stamp([name]) != grown) == (pattern not in ("a-2.txt", "a-[2].txt"))


@pytest.mark.parametrize("pattern", ["a-2.txt", "a-*.txt", "**/*.txt", "", "a-[2].txt"])
def test_objects(bucket: Any, pattern: str) -> None:
    name = f"s3://bucket/stamp/{pattern}"
    before = stamp([name])
    assert stamp([name]) == json.loads(json.dumps(before)) == before
    bucket("a-2.txt", LINES)  # the same bytes again
    assert stamp([name]) == before
    bucket("a-2.txt", LINES[::-1])  # the same size
    changed = stamp([name])
    assert changed != before
    bucket("a-22.txt", "new")
    assert (stamp([name]) != changed) == (pattern not in ("a-2.txt", "a-[2].txt"))


def test_what_is_no_file_is_its_name(tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["sample:topics", "hf:org/name?split=train"]
    assert stamp(names) == [[name] for name in names]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "a.parquet").write_bytes(b"")
    assert [len(one) for one in stamp(names)] == [1, 3]
    with pytest.raises(MissingSource, match="is not there"):
        stamp(["s3://bucket/stamp/none.txt"])


def ult(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["ult", *words])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("name", ["a-*.txt", "a-2.txt"])
@pytest.mark.parametrize("place", ["local", "bucket"])
def test_a_killed_command_does_not_go_on_with_other_inputs(
    place: str,
    name: str,
    folder: Path,
    bucket: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = f"{folder}/{name}" if place == "local" else f"s3://bucket/stamp/{name}"
    assert ult(capsys, monkeypatch, "fit", given, "-o", "t.ult", "--no-encryption")[0] == 0
    encode = ("encode", given, "-t", "t.ult", "-o", "out", "-w", "1")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Partial, "publish", interrupt)
        assert ult(capsys, patch, *encode)[0] == 130
    with monkeypatch.context() as patch:
        patch.setattr(Partial, "publish", interrupt)
        status, said = ult(capsys, patch, *encode)
        assert (status, "going on: 1 part of out finished already" in said) == (130, True)
    if place == "local":
        os.utime(folder / "a-2.txt", (2, 2))
    else:
        bucket("a-2.txt", LINES[::-1])
    status, said = ult(capsys, monkeypatch, *encode)
    assert (status, said) == (
        1,
        "error: .out.partial holds the finished parts of another command: other inputs\n"
        "hint: that command goes on, or --force to start anew\n",
    )
    assert ult(capsys, monkeypatch, *encode, "--force")[0] == 0

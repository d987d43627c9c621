"""Inputs that change while they are read: the file is named, and nothing appears."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ult.__main__ import main
from ult.data import files, open_source, stamp
from ult.errors import SourceError
from ult.owner.pipeline import pieces

LINES = [f"line {n} of a file that someone is still writing" for n in range(3000)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, lines: list[str]) -> None:
    """Write in place, so that the file keeps its number."""
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": lines}), "new.parquet", row_group_size=500)
        Path(name).write_bytes(Path("new.parquet").read_bytes())
    elif name.endswith(".jsonl"):
        Path(name).write_text("".join(f'{{"text": "{line}"}}\n' for line in lines))
    else:
        Path(name).write_text("".join(f"{line}\n" for line in (["text"] if name.endswith(".csv") else []) + lines))


def truncate(name: str) -> None:
    os.truncate(name, Path(name).stat().st_size * 2 // 3)


def edit(name: str) -> None:
    write(name, [line.replace("someone", "nobody!") for line in LINES])


def grow(name: str) -> None:
    write(name, [*LINES, "and one more"])


def replace(name: str) -> None:
    """Put another file of the same size and time in its place, as `cp -p` and `rsync -t` do."""
    before = Path(name).stat()
    write(name, [line[::-1] for line in LINES])
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))


NAMES = ["in.txt", "in.jsonl", "in.csv", "in.parquet"]
CHANGES: list[Callable[[str], None]] = [truncate, edit, grow, replace, lambda name: Path(name).unlink()]


@pytest.mark.parametrize("change", CHANGES, ids=["truncate", "edit", "grow", "replace", "unlink"])
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_over_a_changing_input_fails(name: str, change: Callable[[str], None]) -> None:
    write(name, LINES)
    source = open_source([name], modality="text", column="text")
    batches = source.batches()
    next(batches)
    change(name)
    with pytest.raises(SourceError, match=name):
        list(batches)
    fresh = open_source([name], modality="text", column="text") if Path(name).exists() and change != truncate else None
    assert fresh is None or len(list(fresh)) >= 3000


def ult(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["ult", *words, "--workers", "1"])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("change", CHANGES, ids=["truncate", "edit", "grow", "replace", "unlink"])
def test_encode_and_fit_publish_nothing(
    change: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = ("fit", "in.txt", "--no-encryption", "--vocabulary-size", "512", "-o")
    encode = ("encode", "in.txt", "-t", "t.ult", "--part-bytes", "20000", "-o", "s")
    write("in.txt", LINES)
    assert ult(capsys, monkeypatch, *fit, "t.ult")[0] == 0
    encoder, counter = pieces._encoder, pieces._counter

    def late(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*state: Any) -> Callable[..., Any]:
            work, calls = make(*state), 0

            def first_then_changed(*task: Any) -> Any:
                nonlocal calls
                calls += 1
                done = work(*task)
                if calls == 1:
                    change("in.txt")
                return done

            return first_then_changed

        return made

    for name, make, command, out in (
        ("_encoder", encoder, encode, "s"),
        ("_counter", counter, (*fit, "u.ult"), "u.ult"),
    ):
        write("in.txt", LINES)
        with monkeypatch.context() as patch:
            patch.setattr(pieces, name, late(make))
            status, said = ult(capsys, patch, *command)
        assert (status, "in.txt" in said) == (1, True), said
        assert "Traceback" not in said
        assert not Path(out).exists()


def test_what_small_inputs_hold_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk whose times are coarse nothing but the content tells."""
    monkeypatch.setattr(files, "_state", lambda path: [Path(path).stat().st_size])
    write("in.txt", LINES)
    before = stamp.stamp(["in.txt"])
    shutil.copy("in.txt", "same.txt")
    Path("in.txt").write_bytes(Path("same.txt").read_bytes())
    assert stamp.stamp(["in.txt"]) == before
    replace("in.txt")
    assert stamp.stamp(["in.txt"]) != before

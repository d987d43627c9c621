"""The command line, as transcripts: commands, what they print, what they leave behind.

A transcript is a text file in the manner of age's testscripts:

    # a comment
    $ ult fit notes.txt -o t.ult --no-encryption      a command, run in an empty folder
    status 1                                          its exit status (0 if not stated)
    out  REGULAR EXPRESSION                           found in stdout
    err  REGULAR EXPRESSION                           found in stderr
    no   REGULAR EXPRESSION                           found in neither
    exists PATH         ! exists PATH
    same PATH PATH                                    two files of equal bytes
    -- notes.txt --                                   from here to the next such line: a file that is there at first

A name starting with `@` in a file's place is a small binary input, made by `_MADE` below.
"""

import io
import re
import shlex
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ult.__main__ import main
from ult.errors import ValuesClipped

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cheap_passphrases")]

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 8


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: p.stem)
def test_transcript(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ULT_PASSPHRASE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    script, *files = re.split(r"^-- (.+) --\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name, content in zip(files[::2], files[1::2], strict=True):
        if name in _MADE:
            _MADE[name]()
        else:
            Path(name).write_text(content, encoding="utf-8", newline="")
    commands = 0
    for command, checks in _steps(script):
        commands += 1
        done = _run(command, monkeypatch)
        where = f"{path.name}: {command}\nstatus {done.status}\n{done.out}\n{done.err}"
        status = next((int(argument) for word, argument in checks if word == "status"), 0)
        assert done.status == status, where
        for word, argument in checks:
            assert _holds(word, argument, done), f"{where}\nfails: {word} {argument}"
    assert commands > 0


def _steps(script: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    command, checks = None, []
    for line in script.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("$ "):
            if command is not None:
                yield command, checks
            command, checks = line[2:], []
        else:
            word, _, argument = line.partition(" ") if not line.startswith("! ") else line[2:].partition(" ")
            checks.append(("! " + word if line.startswith("! ") else word, argument.strip()))
    assert command is not None
    yield command, checks


def _run(command: str, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    words = shlex.split(command)
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        monkeypatch.setenv(name, value)
        return SimpleNamespace(status=0, out="", err="")
    assert words[0] == "ult"
    out, err = io.StringIO(), io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", words)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit) as done:
            main()
    return SimpleNamespace(status=int(done.value.code or 0), out=out.getvalue(), err=err.getvalue())


def _holds(word: str, argument: str, done: SimpleNamespace) -> bool:
    if word == "out":
        return re.search(argument, done.out) is not None
    if word == "err":
        return re.search(argument, done.err) is not None
    if word == "no":
        return re.search(argument, done.out + done.err) is None
    if word == "exists":
        return Path(argument).exists()
    if word == "! exists":
        return not Path(argument).exists()
    if word == "same":
        one, other = argument.split()
        return Path(one).read_bytes() == Path(other).read_bytes()
    return word == "status"


def _images() -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        folder = Path("images") / label
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = np.kron(rng.integers(0, 256, (2, 3, 3)), np.ones((8, 6, 1))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")


def _genes() -> None:
    rng = np.random.default_rng(0)
    columns = {f"gene{i}": rng.normal(8, 2, 20).astype(np.float32) for i in range(30)}
    pq.write_table(pa.table({"label": ["a", "b"] * 10, **columns}), "genes.parquet")


def _broken_parquet() -> None:
    _genes()
    Path("cut.parquet").write_bytes(Path("genes.parquet").read_bytes()[:-20])


def _broken_image() -> None:
    _images()
    Path("images/dog/9.png").write_bytes(Path("images/dog/0.png").read_bytes()[:60])


_MADE = {"@images": _images, "@genes": _genes, "@broken-parquet": _broken_parquet, "@broken-image": _broken_image}


def test_a_warning_of_ours_is_a_note(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def app(**_: object) -> None:
        warnings.warn("3 of 5 values lie outside", ValuesClipped, stacklevel=1)
        warnings.warn("what a library says", UserWarning, stacklevel=1)

    monkeypatch.setattr("ult.cli.app", app)
    monkeypatch.setattr("sys.argv", ["ult"])
    with pytest.warns(UserWarning, match="what a library says"), pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "note: 3 of 5 values lie outside\n"

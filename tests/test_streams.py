"""Streams that are closed, lose their reader or have few letters; names that are long or no UTF-8; signs of life."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ult.__main__ import main
from ult.cli import console, report
from ult.errors import EngineError
from ult.host import pulse, streams

NOT_UTF8 = os.fsdecode(b"b\xe9\xff")
Run = Callable[[str], tuple[int, str]]
LINES = "the cat sat\nthe dog ran\na cat ran\n" * 5
FIT = "fit n.txt -o t.ult --vocabulary-size 512 --no-encryption"


def ult(folder: Path, command: str, *, behind: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder that holds `n.txt`; `behind` is what stands behind it in a line for the shell."""
    (folder / "n.txt").write_text(LINES)
    line = f"set -o pipefail; {sys.executable} -m ult {command} {behind}"
    env = {**os.environ, **environment}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=env, capture_output=True, check=False)


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    done = ult(folder, FIT)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(
    owned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], tuple[int, str]]:
    """What runs a command in this process, in the folder of `n.txt`; gives its status and what it said on stderr."""
    monkeypatch.chdir(owned)

    def run(command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ult", *command.split()])
        with pytest.raises(SystemExit) as done:
            main()
        return int(done.value.code or 0), capsys.readouterr().err

    return run


def beside_pulse(said: bytes) -> list[bytes]:
    """What a command said besides that it is at work, which it says every ten seconds on a slow machine."""
    return [line for line in said.splitlines() if not line.startswith(b"encoding, ")]


def test_closed_streams(owned: Path) -> None:
    """What is done ends with 0, and nothing that would have been printed gets into a file of the command's."""
    done = ult(owned, "encode n.txt -t t.ult -o s --workers 2", behind=">&-")
    assert (done.returncode, done.stdout, beside_pulse(done.stderr)) == (0, b"", [])
    assert ult(owned, "decode s -t t.ult -o d.txt", behind="<&- >&- 2>&-").returncode == 0
    assert (owned / "d.txt").read_text() == LINES
    done = ult(owned, "decode s -t t.ult -o d.txt", behind=">&-")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, b"error: d.txt exists already")


def test_a_file_does_not_take_the_number_of_a_closed_stream() -> None:
    code = "import os; from ult.host.streams import open_all; open_all(); print('x'); os.write(2, b'%d' % os.dup(0))"
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" <&- >&-'], capture_output=True, check=True)
    assert int(done.stderr) > 2


def test_few_letters(owned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = ult(owned, "inspect t\u00e4\u6f22.ult 2>&1", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stdout[:22]) == (1, b"error: t\xe4\\u6f22.ult is")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    streams.open_all()
    console.facts([("table", "t\u00e4\u6f22.ult")])
    console.say(f"{NOT_UTF8} \u2500")
    sys.stdout.flush()
    assert written.getvalue().split() == [b"table", rb"t\xe4\u6f22.ult", rb"b\udce9\udcff", rb"\u2500"]


@pytest.mark.parametrize("command", ["inspect t.ult", "--help", "--version", "nonsense 2>&1"])
def test_nobody_reads_on(owned: Path, command: str) -> None:
    done = ult(owned, command, behind="| true")
    assert done.returncode in (streams.LOST, 0), done.stderr
    assert done.stderr == b""


def test_a_lost_reader_is_no_lost_worker() -> None:
    error = EngineError("a worker ended")
    error.__context__ = BrokenPipeError()
    assert report(error) == 1
    stopped = SystemExit(1)  # as typer and rich make it
    stopped.__context__ = BrokenPipeError()
    assert (report(stopped), report(BrokenPipeError()), report(SystemExit()), report(SystemExit("no"))) == (
        streams.LOST,
        streams.LOST,
        0,
        1,
    )


def test_names_that_are_no_utf8(owned: Path, here: Run) -> None:
    """Tables, shards and records may have any name; Arrow takes every name for UTF-8, but not ours."""
    folder = owned / NOT_UTF8
    folder.mkdir()
    (folder / f"{NOT_UTF8}.csv").write_text("a,text\n1,the cat\n2,a dog\n")
    at = f"{NOT_UTF8}/{NOT_UTF8}"
    for command in (
        f"encode {at}.csv --column text --keep a -t t.ult -o {at}.shards --workers 1",
        f"decode {at}.shards -t t.ult -o {at}.parquet",
        f"encode {at}.parquet --column text --keep a -t t.ult -o {at}.again --workers 1",
        f"decode {at}.again -t t.ult -o {at}.2.csv",
    ):
        status, said = here(command)
        assert status == 0, said
    assert (folder / f"{NOT_UTF8}.2.csv").read_bytes() == (folder / f"{NOT_UTF8}.csv").read_bytes()
    status, said = here(f"train {at}.shards -o {at}.run --steps 1")
    assert (status, said[:16]) == (1, "error: the path ")
    assert "run is not UTF-8, and models" in said
    assert not (folder / f"{NOT_UTF8}.run").exists()


def test_long_names(owned: Path, here: Run) -> None:
    """A name that is allowed can be written; of one that is too long, one line is said."""
    assert here(f"encode n.txt -t t.ult -o {'x' * 250} --workers 1")[0] == 0
    assert here(f"decode {'x' * 250} -t t.ult -o long.txt")[0] == 0
    assert (owned / "long.txt").read_text() == LINES
    for command in (f"encode n.txt -t t.ult -o {'y' * 300} --workers 1", f"inspect {'y' * 300}"):
        status, said = here(command)
        assert (status, said[:7], said.count("\n")) == (1, "error: ", 1)
        assert "y" * 20 in said
        assert "name too long" in said.lower()
    assert not [path for path in owned.iterdir() if "yyy" in path.name]


def test_what_a_terminal_would_act_on_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(OSError(2, "not there", "a\x1b[2Jb")) == 1
    assert capsys.readouterr().err == "error: not there: a\\x1b[2Jb\n"


def test_long_work_says_that_it_lives_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "FIRST", 0.05)
    monkeypatch.setattr(pulse, "MOST", 0.05)
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    with console.counting("reading") as advance:
        time.sleep(0.2)
        advance(1200)
        time.sleep(0.2)
    lines = said.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ("reading, 0 s", "reading: 1,200 records, 0 s")
    time.sleep(0.1)
    assert said.getvalue().splitlines() == lines
    with pytest.raises(EngineError), console.counting("failing"):
        raise EngineError("at once")


def test_short_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    with console.counting("reading") as advance:
        advance(5)
    assert said.getvalue() == ""
    assert pulse.FIRST >= 5


def test_a_terminal_has_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setenv("TERM", "xterm")
    with console.counting("reading", "ids") as advance:
        advance(1200)
    assert "1,200 ids" in said.getvalue()


def test_what_is_said_is_there_at_once_for_whoever_reads_a_pipe() -> None:
    code = "import os; from ult.cli.console import say; say('listening'); os._exit(0)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout == "listening\n"

"""Commands that are interrupted, or run out of disk, leave nothing half-written and say so.

What `ult encode` has finished by then it keeps for the same command; `test_restart.py` kills it.
"""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import ult

pytestmark = pytest.mark.slow

ULT = [sys.executable, "-m", "ult"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f"record {i} of a long file, with words {i % 97} and {i % 89}" for i in range(400_000)]
    (tmp_path / "long.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = ult.Table.fit(lines[:1000], vocabulary=ult.Vocabulary(512), min_records=1)
    table.save(tmp_path / "t.ult", encrypt=False)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


COMMANDS = {
    "fit": ["fit", "long.txt", "-o", "new.ult", "--no-encryption", "--min-records", "1"],
    "encode": ["encode", "long.txt", "-t", "t.ult", "-o", "new.shards", "--part-bytes", "200000"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_ctrl_c(verb: str, folder: Path) -> None:
    before = names(folder)
    process = subprocess.Popen(
        [*ULT, *COMMANDS[verb]], cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=heeds_interrupts
    )
    if verb == "encode":
        _wait(lambda: (folder / ".new.shards.partial/shards/part-00002.parquet").exists(), process)
    else:
        _wait(lambda: _works(process), process)
        for _ in range(100):  # or Python complains for those that it is about to start
            _signal_children(process, signal.SIGSTOP)  # or they are done before it is interrupted
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _signal_children(process, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    # A shell says 130 of either. Python ends by the signal itself if that came while an import ran `exec`.
    assert process.returncode in (130, -signal.SIGINT), err
    if verb == "fit":
        assert err == "error: interrupted\n"
        assert names(folder) == before
        return
    kept = r"finished parts? stays? in \.new\.shards\.partial; the same command goes on from there"
    assert re.fullmatch(rf"(encoding, \d+ s\n)*error: interrupted\nhint: \d+ {kept}\n", err), err
    assert names(folder) == sorted([*before, ".new.shards.partial"])
    done = subprocess.run([*ULT, *COMMANDS[verb]], cwd=folder, capture_output=True, text=True, check=True)
    assert "finished already" in done.stderr
    assert names(folder) == sorted([*before, "new.shards"])


def heeds_interrupts() -> None:
    """Undo what a shell does to commands in the background, from which the tests may have been started."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _works(process: subprocess.Popen[str]) -> bool:
    """Return whether `ult fit` has begun to share its work out; True where the system does not tell."""
    return os.cpu_count() == 1 or not _children(process).exists() or bool(_children(process).read_text("ascii"))


def _children(process: subprocess.Popen[str]) -> Path:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children")


def _signal_children(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(OSError):  # where the system does not tell, or one is gone
        for pid in _children(process).read_text("ascii").split():
            os.kill(int(pid), number)


def _wait(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "long.txt", "-o", "new.ult", "--no-encryption"],
        ["encode", "long.txt", "-t", "t.ult", "-o", "new.shards"],
        ["decode", "some.shards", "-t", "t.ult", "-o", "new.txt"],
        ["decode", "some.shards", "-t", "t.ult", "-o", "new.parquet"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_no_room(command: list[str], folder: Path) -> None:
    """A file may have no more than 4,000 bytes: every write beyond fails, as on a full disk."""
    if "some.shards" in command:
        subprocess.run([*ULT, "encode", "long.txt", "-t", "t.ult", "-o", "some.shards"], cwd=folder, check=True)
    before = names(folder)
    subprocess.run([*ULT, *command], cwd=folder, check=True)  # so that all is compiled: that is cached on disk too
    made = folder / command[command.index("-o") + 1]
    shutil.rmtree(made) if made.is_dir() else made.unlink()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    done = subprocess.run(
        [*ULT, *command], cwd=folder, preexec_fn=limit, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")  # after signs of life, on a busy machine
    assert "Traceback" not in done.stderr
    assert names(folder) == before


def test_read_only_folder(folder: Path) -> None:
    """Root may write anywhere, so the folder that cannot be written to is a file."""
    (folder / "file").write_text("", encoding="utf-8")
    for command in (
        ["fit", "long.txt", "-o", "file/new.ult", "--no-encryption"],
        ["encode", "long.txt", "-t", "t.ult", "-o", "file/new.shards"],
        ["decode", "t.ult", "-t", "t.ult", "-o", "file/new.txt"],
        ["keygen", "-o", "file/key"],
    ):
        done = subprocess.run([*ULT, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr

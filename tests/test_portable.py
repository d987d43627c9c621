"""What the platform may lack is taken away, and the other way works; `host/portable.py` alone asks which it is."""

import ast
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import taken_away
from taken_away import LACKING, MODULES
from ult.errors import OutputError, OutputExists
from ult.host import disk, kernel, lock, portable, regular
from ult.host.atomic import Claim, hidden, whole, write_text

SOURCE = Path(portable.__file__).parent.parent
ONLY_SOME = {module.__name__: names.split() for module, names in LACKING.items()}


def asks(text: str) -> set[str]:
    """What a source asks of some systems alone: `os.fork`, `import fcntl`, `/proc`."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ONLY_SOME.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & set(MODULES)
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} & set(MODULES)
            found |= {f"{node.module}.{one.name}" for one in node.names if one.name in ONLY_SOME.get(node.module, ())}
    return found


def test_no_other_module_asks_what_only_some_systems_have():
    assert asks("import fcntl\nos.link(a, b)\nfrom signal import SIGHUP") == {"fcntl", "os.link", "signal.SIGHUP"}
    found = {path: asks(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}
    assert found.pop(SOURCE / "host" / "portable.py")
    assert not {str(path): names for path, names in found.items() if names}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to threads are POSIX's")
def test_a_signal_that_another_thread_takes_waits_for_the_end_of_a_block():
    """It interrupted the start of a worker, which then complained that its Python ran out of input."""
    done, ended, before = threading.Event(), [], signal.signal(signal.SIGINT, signal.default_int_handler)
    other = threading.Thread(target=done.wait)
    other.start()

    def interrupted():
        with portable.blocked([signal.SIGINT]):
            signal.pthread_kill(other.ident, signal.SIGINT)
            time.sleep(0.05)  # Python would have raised it here
            ended.append(True)

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        done.set()
        other.join()
        found = signal.signal(signal.SIGINT, before)
    assert ended
    assert found is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def without(folder: Path, locks: str) -> subprocess.CompletedProcess[str]:
    (folder / "a.csv").write_text("note\n" + "no pain today\n" * 40)
    command = [sys.executable, taken_away.__file__, locks]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(kernel.folder().parent)}  # what was compiled for other tests
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_everything_works_with_all_of_it_taken_away(tmp_path):
    """Every module that needs no extra is imported, and a CSV goes to ids and back, and once more with `--force`."""
    done = without(tmp_path, "locks")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.csv").read_text().split() == (tmp_path / "a.csv").read_text().split()
    assert {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"} == {"a.csv", "t.ult", "shards", "b.csv"}


def test_without_any_locks_a_command_says_so_and_writes_nothing(tmp_path):
    done = without(tmp_path, "none")
    assert done.returncode == 1
    assert "\nerror: this system has no file locks" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("t.ult"))


def test_cores_are_counted_where_no_affinity_is_told(monkeypatch):
    assert portable.cpus() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert portable.cpus() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert portable.cpus() == 1


def test_signals_that_are_not_there_are_not_waited_for(monkeypatch):
    assert portable.ending_signals() == (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    monkeypatch.delattr(signal, "SIGHUP")
    assert portable.ending_signals() == (signal.SIGINT, signal.SIGTERM)
    monkeypatch.delattr(signal, "pthread_sigmask")
    with portable.blocked(portable.ending_signals()):
        portable.unblock(portable.ending_signals())


def test_signals_are_blocked_for_the_block_alone():
    with portable.blocked([signal.SIGTERM]):
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_file_gets_a_new_name_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    for take_away in (lambda: monkeypatch.setattr(os, "link", refuse), lambda: monkeypatch.delattr(os, "link")):
        take_away()
        out = tmp_path / "out"
        with whole(out, exclusive=True) as new:
            new.write_text("first")
        with pytest.raises(OutputExists), whole(out, exclusive=True) as new:
            new.write_text("second")
        assert out.read_text() == "first"
        out.unlink()


def test_a_disk_that_fails_is_no_file_system_without_links(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(OutputError), whole(tmp_path / "out", exclusive=True) as new:
        new.write_text("first")
    assert not (tmp_path / "out").exists()


def test_files_are_synced_one_by_one_where_not_all_can_be(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sync")
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    files = [tmp_path / str(n) for n in range(70)]
    for path in files:
        path.write_text("x")
    disk.settle(tmp_path)
    assert {path.stat().st_ino for path in files} <= set(synced)


def test_folders_are_not_synced_where_none_can_be_opened(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(handle))
    synced: list[int] = []
    portable.sync(tmp_path)
    assert not synced
    (tmp_path / "file").write_text("x")
    portable.sync(tmp_path / "file")
    assert len(synced) == 1


def test_a_pipe_is_read_where_it_cannot_be_asked(tmp_path, monkeypatch):
    ours, theirs = os.pipe()
    os.write(theirs, b"a passphrase\nmore")
    os.close(theirs)
    monkeypatch.delattr(select, "poll")
    assert regular.first_line(f"/dev/fd/{ours}", 100) == b"a passphrase"
    os.close(ours)


def test_only_the_users_profile_is_trusted_where_files_have_no_owners(tmp_path, monkeypatch):
    assert portable.user() == str(os.geteuid())
    monkeypatch.delattr(os, "geteuid")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert portable.only_trusted_can_write((tmp_path / "me" / "kernels").resolve(), 0)
    assert not portable.only_trusted_can_write((tmp_path / "all").resolve(), 0)
    assert portable.user()


def test_a_library_that_cannot_be_named_has_no_functions(monkeypatch):
    import ctypes

    def refuse(_name):
        raise TypeError("a name is expected")

    assert portable.c_function("malloc")
    assert portable.c_function("no_such_function") is None
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert portable.c_function("malloc") is None


# ---- locks of files, for there are none of folders


@pytest.fixture
def windows(monkeypatch):
    import msvcrt_played

    monkeypatch.setattr(portable, "fcntl", None)
    monkeypatch.setattr(portable, "msvcrt", msvcrt_played)


def test_a_file_beside_is_locked_where_no_folder_can_be(tmp_path, windows):
    out = tmp_path / "out"
    with Claim(out) as claim:
        assert claim.folder.is_dir()
        with pytest.raises(OutputExists, match="being written by another process"), Claim(out):
            pass
    write_text(out, "done")
    assert out.read_text() == "done"
    assert not hidden(out).exists()


def test_what_is_in_the_way_is_refused_with_such_a_lock_too(tmp_path, windows):
    out = tmp_path / "out"
    hidden(out).write_text("mine")
    with pytest.raises(OutputExists, match="none of ours"):
        write_text(out, "done")
    assert hidden(out).read_text() == "mine"
    with pytest.raises(FileNotFoundError):
        lock.hold(tmp_path / ".other.partial", tmp_path / "other", make=False)


def test_without_any_lock_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(portable, "fcntl", None)
    monkeypatch.setattr(portable, "msvcrt", None)
    with pytest.raises(OutputError, match="no file locks"):
        write_text(tmp_path / "out", "done")
    assert not (tmp_path / "out").exists()


def test_a_signal_that_arrives_in_a_destructor_ends_the_command_all_the_same():
    """Python drops what a destructor raises: a Ctrl-C while libraries were imported did nothing."""
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ended by 2\n", "")


DROPPED = """
import signal, time
from ult.cli.signals import Terminated, heed

class Dropped:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it
heed()
try:
    Dropped()
    for _ in range(1000):
        time.sleep(0.01)
except Terminated as ended:
    print("ended by", ended.number)
"""

"""Calls that only some systems have, each with a replacement for the others. Only this file depends on the system.

Linux has all of them. macOS has no processor affinity. Windows has no POSIX locks or signals and no owners or modes of
files, and cannot open a folder. `tests/test_portable.py` removes each call and checks its replacement.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import select
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ult.errors import OutputError

fcntl: Any = None  # on POSIX systems
msvcrt: Any = None  # on Windows
with contextlib.suppress(ImportError):
    fcntl = importlib.import_module("fcntl")
with contextlib.suppress(ImportError):
    msvcrt = importlib.import_module("msvcrt")


def cpus() -> int:
    """Return the number of cores that this process may use, or where that is unknown, that the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals by which systemd, Slurm, `docker stop`, Ctrl-C or a closed terminal ask a process to end."""
    return tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Block signals while the block runs, for this process and those that it starts; only the former on Windows.

    A mask is of one thread: what another one takes, such as that of a progress line, Python hands to the main thread
    all the same. So handlers only note a signal, and it is raised again at the end.
    """
    mask, noted, handlers = getattr(signal, "pthread_sigmask", None), list[int](), dict[signal.Signals, Any]()
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in numbers}
    before = None if mask is None else mask(signal.SIG_BLOCK, set(numbers))
    try:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, lambda number, _frame: noted.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        if mask is not None:
            mask(signal.SIG_SETMASK, before)
        for taken in dict.fromkeys(noted):
            signal.raise_signal(taken)


def unblock(numbers: Iterable[signal.Signals]) -> None:
    """Unblock signals that were blocked when this process was started; do nothing on Windows."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(signal.SIG_UNBLOCK, set(numbers))


# ---- files


def open_to_read(path: str | Path) -> int:
    """Open a path to read and return its file descriptor, without waiting for the writer of a pipe."""
    return os.open(path, os.O_RDONLY | _flags("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))


def await_word(number: int, seconds: float) -> bool:
    """Wait for the first byte of a pipe and return whether it came in time; return True at once without `poll`."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def set_blocking(number: int) -> None:
    """Make reads of a file descriptor wait for bytes, where `open_to_read` opened it not to wait."""
    if _flags("O_NONBLOCK"):
        os.set_blocking(number, True)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk; Windows syncs that list itself."""
    if not _opens_folders():
        if path.is_dir():
            return
        handle = os.open(path, os.O_RDWR | _flags("O_BINARY"))  # Windows syncs only a file opened to write
    else:
        handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all() -> bool:
    """Sync all file systems and return True; return False on a system that has no such call."""
    if not hasattr(os, "sync"):
        return False
    os.sync()
    return True


def name_new(new: Path, out: Path) -> None:
    """Rename `new` to `out` unless `out` exists. Raises `FileExistsError`.

    A hard link never replaces a file. On a file system without hard links `out` is checked before the renaming, and
    another program could make it in between; no command of ours does, because the output is locked.
    """
    if hasattr(os, "link"):
        try:
            os.link(new, out)
            return
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    if os.path.lexists(out):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(out))
    new.rename(out)


# ---- who else can write


def user() -> str:
    """Return a name for this user, to name a folder of the user in a folder that users share."""
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "user")


def only_trusted_can_write(real: Path, owner: int) -> bool:
    """Return whether only this user, root and `owner` can add files to a folder or move one of its parents.

    Windows has no modes that tell; there only folders in the user's profile count, which is closed to other users.
    """
    if not hasattr(os, "geteuid"):
        return real.is_relative_to(Path.home().resolve())
    trusted = {0, os.geteuid(), owner}
    for place in (real, *real.parents):
        found = place.stat()
        others = found.st_mode & stat.S_IWOTH and (place == real or not found.st_mode & stat.S_ISVTX)
        if found.st_uid not in trusted or others:
            return False
    return True


# ---- locks, which end with the process that holds them


def locks_folders() -> bool:
    """Return whether a folder can be locked; where it cannot, a file beside it is locked."""
    return fcntl is not None and _opens_folders()


def open_folder(path: Path) -> int:
    """Open a folder to lock it and return its file descriptor; a link is not followed."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def open_lock_file(path: Path) -> int:
    """Make a file to lock and return its file descriptor; Windows removes the file when nobody has it open."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _flags("O_TEMPORARY", "O_NOINHERIT", "O_CLOEXEC"), 0o600)


def lock(number: int) -> None:
    """Lock a file descriptor without waiting.

    Raises `BlockingIOError` if another process has the lock, `OutputError` on a system without file locks.
    """
    if fcntl is not None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                raise
            raise BlockingIOError(error.errno, error.strerror) from None
    else:
        raise OutputError("this system has no file locks, without which two commands could write one output")


# ---- this process


def leave_no_core() -> None:
    """Forbid core dumps of this process and of those that it starts, so that their memory is never on a disk."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def c_function(name: str) -> Any:
    """Return the function of this name in the C library of this process, or None if there is none."""
    import ctypes

    with contextlib.suppress(OSError, TypeError):  # on Windows None does not name a library
        return getattr(ctypes.CDLL(None), name, None)
    return None


def _opens_folders() -> bool:
    return hasattr(os, "O_DIRECTORY")


def _flags(*names: str) -> int:
    """Return the union of flags of `os.open`, without those that this system does not have."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found

"""What only some systems can do, each with the way that the others take: the one file that asks which system this is.

Linux has all of it. macOS has no affinity of processes; Windows has neither POSIX locks nor signals, owners or modes
of files, and lets no folder be opened. `tests/test_portable.py` takes each call away and sees the other way work.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import select
import signal
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ult.errors import OutputError

fcntl: Any = None  # POSIX
msvcrt: Any = None  # Windows
with contextlib.suppress(ImportError):
    fcntl = importlib.import_module("fcntl")
with contextlib.suppress(ImportError):
    msvcrt = importlib.import_module("msvcrt")


def cpus() -> int:
    """Return how many cores this process may use; where that is not told, how many there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def ending_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that ask a process to end: of systemd, Slurm, `docker stop`, a terminal that is closed."""
    return tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Let signals wait until the block ends, for this process and those that it starts, where that can be said."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, set(numbers))
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def unblock(numbers: Iterable[signal.Signals]) -> None:
    """Let signals that were blocked where this process was started come through."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(signal.SIG_UNBLOCK, set(numbers))


# ---- files


def open_to_read(path: str | Path) -> int:
    """Return a handle of what is at a path, without waiting for whoever would write to a pipe."""
    return os.open(path, os.O_RDONLY | _flags("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))


def await_word(number: int, seconds: float) -> bool:
    """Wait for the first byte of a pipe and return whether it came; where pipes cannot be asked, return at once."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


def set_blocking(number: int) -> None:
    """Let reads of a handle wait for bytes, as they do by themselves where no handle is opened otherwise."""
    if _flags("O_NONBLOCK"):
        os.set_blocking(number, True)


def sync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk; Windows keeps that list by itself."""
    if not _opens_folders():
        if path.is_dir():
            return
        handle = os.open(path, os.O_RDWR | _flags("O_BINARY"))  # it syncs what can be written to alone
    else:
        handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all() -> bool:
    """Have the system write all that it holds to its disks; return False where it cannot be asked to."""
    if not hasattr(os, "sync"):
        return False
    os.sync()
    return True


def name_new(new: Path, out: Path) -> None:
    """Give a file a name that nothing has. Raises `FileExistsError`.

    A link never replaces. A file system without links is asked first, which another program may use to be quicker; no
    other command of ours does, for the output is locked.
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
    """Return what tells the folders of this user in a shared one from those of others."""
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "user")


def only_trusted_can_write(real: Path, owner: int) -> bool:
    """Return whether only this user, root and `owner` can put a file in a folder or move one that it is in.

    Windows has no modes that say so; there it is what lies in the user's profile, which is closed to other users.
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


# ---- locks, which end with the process that has them


def locks_folders() -> bool:
    """Return whether a folder itself can be locked; elsewhere a file beside it is."""
    return fcntl is not None and _opens_folders()


def open_folder(path: Path) -> int:
    """Return a handle of a folder, to lock it; a link is not followed."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def open_lock_file(path: Path) -> int:
    """Return a handle of a file that is made to be locked, and that Windows removes once nobody has it open."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _flags("O_TEMPORARY", "O_NOINHERIT", "O_CLOEXEC"), 0o600)


def lock(number: int) -> None:
    """Take the lock of a handle. Raises `BlockingIOError` if another has it, `OutputError` where there are no locks."""
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
    """Keep the memory of this process, and of those that it starts, off the disk if one of them dies."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def c_function(name: str) -> Any:
    """Return a function of the C library that this process runs on, `None` where it has none of that name."""
    import ctypes

    with contextlib.suppress(OSError, TypeError):  # Windows names no library by None
        return getattr(ctypes.CDLL(None), name, None)
    return None


def _opens_folders() -> bool:
    return hasattr(os, "O_DIRECTORY")


def _flags(*names: str) -> int:
    """Return flags of `os.open` together, without those that this system does not have."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found

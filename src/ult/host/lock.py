"""A folder held by one process at a time, by a lock that ends with it, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from ult.errors import OutputExists

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def hold(folder: Path, out: Path, *, make: bool = True) -> int:
    """Return a handle of the hidden folder of `out`, made if need be, whose lock no other process has: close it.

    Raises `OutputExists` if another process has it, or something else is in the way.
    """
    while True:
        made = False
        if make:
            with suppress(FileExistsError):
                folder.mkdir(0o700)
                made = True
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise OutputExists(f"{folder} is in the way and is none of ours", hint="another --out") from None
            if error.errno == errno.ENOENT and make:
                continue  # who had it was just done with it
            raise
        try:
            _take(lock, folder, out, made=made)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), folder.stat()):
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # it was removed, and maybe made anew, before the lock was had


def _take(lock: int, folder: Path, out: Path, *, made: bool) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputExists(f"{out} is being written by another process", hint="wait for it") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        if not made:  # who made it may live
            raise OutputExists(
                f"{folder} is there, and this file system has no locks to tell whether its maker still works",
                hint="remove it if no command writes there",
            ) from None

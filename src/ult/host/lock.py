"""A folder held by one process at a time, by a lock that ends with it, however it ends."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from ult.errors import OutputExists
from ult.host import portable

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def hold(folder: Path, out: Path, *, make: bool = True) -> int:
    """Return a handle of the hidden folder of `out`, made if need be, whose lock no other process has: close it.

    Raises `OutputExists` if another process has it, or something else is in the way.
    """
    if not portable.locks_folders():
        return _hold_beside(folder, out, make=make)
    while True:
        made = False
        if make:
            with suppress(FileExistsError):
                folder.mkdir(0o700)
                made = True
        try:
            lock = portable.open_folder(folder)
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


def _hold_beside(folder: Path, out: Path, *, make: bool) -> int:
    """Do the same where no folder can be locked: a file beside it is, before the folder is made."""
    lock = portable.open_lock_file(folder.with_name(f"{folder.name}.lock"))
    try:
        _take(lock, folder, out, made=True)
        if make and not os.path.lexists(folder):
            folder.mkdir(0o700)
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise OutputExists(f"{folder} is in the way and is none of ours", hint="another --out")
    except BaseException:
        os.close(lock)
        raise
    return lock


def _take(lock: int, folder: Path, out: Path, *, made: bool) -> None:
    try:
        portable.lock(lock)
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

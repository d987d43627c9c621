"""Hold a folder for one process at a time, by a lock that ends with the process, however it ends."""

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
    """Lock `folder`, the hidden folder of `out`, and return a file descriptor; closing it releases the lock.

    With `make`, the folder is made if it does not exist. Raises `OutputExists` if another process has the lock or
    something else is at `folder`, and `OSError`.
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
                continue  # another process has just removed it
            raise
        try:
            _take(lock, folder, out, made=made)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), folder.stat()):
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)  # the folder was removed, and perhaps made again, before the lock was taken


def _hold_beside(folder: Path, out: Path, *, make: bool) -> int:
    """Do the same where folders cannot be locked: lock a file beside the folder before the folder is made."""
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
        if not made:  # the process that made it may still run
            raise OutputExists(
                f"{folder} is there, and this file system has no locks to tell whether its maker still works",
                hint="remove it if no command writes there",
            ) from None

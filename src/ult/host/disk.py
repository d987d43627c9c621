"""Set modes, sync, overwrite and remove files and folders."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ult.host.portable import sync as sync
from ult.host.portable import sync_all

_MANY = 64  # up to so many files are synced one by one


def settle(path: Path, *, private: bool = False, modes: bool = True, owners: Collection[str] = ()) -> None:
    """Give a new file or folder the modes that the umask gives, or with `private` 0600, and sync it to the disk.

    Files whose names are in `owners` get 0600 in any case. Without `modes` all files keep their modes, which a folder
    needs if some of its files are secret.
    """
    mask = 0o077 if private else umask()
    files = [path] if not path.is_dir() else [found for found in path.rglob("*") if not found.is_symlink()]
    folders = [found for found in files if found.is_dir()] + [path] * path.is_dir()
    files = [found for found in files if not found.is_dir()]
    for found in (*files, *folders) if modes else ():
        _give_mode(
            found, (0o777 if found.is_dir() else 0o666) & ~(0o077 if found.name in owners else mask), private=private
        )
    if len(files) > _MANY and sync_all():  # a thousand images take 0.1 s together, and 4 s one by one
        files = []
    for found in (*files, *folders):
        sync(found)


def _give_mode(path: Path, mode: int, *, private: bool) -> None:
    now = path.stat().st_mode
    mode |= now & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
    if stat.S_IMODE(now) != mode:
        try:
            path.chmod(mode)
        except OSError:  # the file system has no modes
            if private:
                raise


def umask() -> int:
    """Return the file mode creation mask of this process."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)  # elsewhere it can be read only by setting it
    os.umask(mask)
    return mask


def overwrite(path: Path, first: bytes = b"") -> None:
    """Overwrite a file in place with `first` and then random bytes, in the same blocks if the file system allows it."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.write(first)
        while (left := size - file.tell()) > 0:
            file.write(os.urandom(min(left, 2**20)))
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with its contents."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def strangers(folder: Path, ours: re.Pattern[str]) -> list[str]:
    """Return the relative paths of all files in a folder, at any depth, that `ours` does not fully match; sorted."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not is_folder(path))
    return sorted(str(path) for path in found if not ours.fullmatch(path.as_posix()))

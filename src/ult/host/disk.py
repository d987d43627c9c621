"""What the disk is told: modes that the umask says, and what must be on it before a name is given or taken away."""

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

_MANY = 64  # files that are synced one by one


def settle(path: Path, *, private: bool = False, modes: bool = True, owners: Collection[str] = ()) -> None:
    """Give what is new the modes that the umask says, or 0600, and wait until it is on the disk.

    Files that are called as one of `owners` get 0600 in any case. Without `modes` all keep theirs: of a folder in which
    secret files are among others.
    """
    mask = 0o077 if private else umask()
    files = [path] if not path.is_dir() else [found for found in path.rglob("*") if not found.is_symlink()]
    folders = [found for found in files if found.is_dir()] + [path] * path.is_dir()
    files = [found for found in files if not found.is_dir()]
    for found in (*files, *folders) if modes else ():
        _give_mode(
            found, (0o777 if found.is_dir() else 0o666) & ~(0o077 if found.name in owners else mask), private=private
        )
    if len(files) > _MANY and sync_all():  # a thousand images at once take 0.1 s, one by one 4 s
        files = []
    for found in (*files, *folders):
        sync(found)


def _give_mode(path: Path, mode: int, *, private: bool) -> None:
    now = path.stat().st_mode
    mode |= now & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX)
    if stat.S_IMODE(now) != mode:
        try:
            path.chmod(mode)
        except OSError:  # a file system that has no modes
            if private:
                raise


def umask() -> int:
    """Return the mask of this process."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)  # there is no other way to ask
    os.umask(mask)
    return mask


def overwrite(path: Path, first: bytes = b"") -> None:
    """Put `first` and then random bytes in the place of what a file holds, in its blocks as far as these are kept."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.write(first)
        while (left := size - file.tell()) > 0:
            file.write(os.urandom(min(left, 2**20)))
        file.flush()
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that it holds."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink()


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder itself, not a link to one."""
    return path.is_dir() and not path.is_symlink()


def strangers(folder: Path, ours: re.Pattern[str]) -> list[str]:
    """Return what a folder holds, deep down too, whose path in it `ours` does not match as a whole."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not is_folder(path))
    return sorted(str(path) for path in found if not ours.fullmatch(path.as_posix()))

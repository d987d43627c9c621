"""Files that strangers name, opened so that none of them waits for ever or never ends: pipes, devices, sockets.

A named pipe that nobody writes to holds whoever opens it, and `/dev/zero` has no end.
"""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from ult.errors import FormatError

PATIENCE = 60  # seconds that a pipe may stay silent, where one is allowed
_KINDS = {
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
    stat.S_IFDIR: "folder",
}


def kind(path: str | Path) -> str:
    """Return what is at a path that is no regular file: "named pipe", "device", "socket" or "folder"."""
    return _kind(Path(path).stat().st_mode)


def read(path: str | Path, most: int, *, pipe: bool = False) -> bytes:
    """Return the bytes of a regular file, at most `most`; with `pipe` also of a pipe or a terminal, to its end.

    Raises `FormatError` for anything else and for more, `OSError` if it cannot be opened or read.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(number, "rb") as file:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            if not (pipe and (stat.S_ISFIFO(about.st_mode) or os.isatty(number))):
                raise FormatError(f"{path} is a {_kind(about.st_mode)}; expected a file")
            _await(number, path)
        elif about.st_size > most:
            raise FormatError(f"{path} has {about.st_size} bytes; expected at most {most}")
        data = file.read(most + 1)
    if len(data) > most:
        raise FormatError(f"{path} has more than {most} bytes")
    return data


def check(path: str | Path) -> None:
    """Raise `FormatError` if what is at `path` is neither a file nor a folder; what is not there passes."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(f"{path} is a {_kind(mode)}; expected a file")


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "file of a strange kind")


def _await(number: int, path: str | Path) -> None:
    """Wait for the first word of a pipe, then let reads wait for the others."""
    if not os.isatty(number):
        poll = select.poll()
        poll.register(number, select.POLLIN)
        if not poll.poll(1000 * PATIENCE):
            raise FormatError(f"{path} is a pipe to which nobody wrote within {PATIENCE} seconds")
    os.set_blocking(number, True)

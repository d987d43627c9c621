"""Open files that strangers provide, so that none of them can block for ever or be endless.

Whoever opens a named pipe waits for a writer, and `/dev/zero` never ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ult.errors import FormatError
from ult.host import portable

PATIENCE = 60  # seconds to wait for the first byte of a pipe, where pipes are allowed
_KINDS = {
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
    stat.S_IFDIR: "folder",
}


def kind(path: str | Path) -> str:
    """Return the kind of a path that is no regular file: "named pipe", "device", "socket" or "folder"."""
    return _kind(Path(path).stat().st_mode)


def read(path: str | Path, most: int, *, pipe: bool = False) -> bytes:
    """Return the bytes of a regular file, or with `pipe` also of a pipe or a terminal, to its end.

    Raises `FormatError` for another kind of file or for more than `most` bytes, `OSError` if it cannot be read.
    """
    with _opened(path, pipe=pipe) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise FormatError(f"{path} has {size} bytes; expected at most {most}")
        data = file.read(most + 1)
    if len(data) > most:
        raise FormatError(f"{path} has more than {most} bytes")
    return data


def first_line(path: str | Path, most: int) -> bytes:
    """Return the first line of a file, a pipe or a terminal, without its line end. Raises as `read`."""
    with _opened(path, pipe=True) as file:
        line = file.readline(most + 1)
    if len(line) > most:
        raise FormatError(f"{path} has a first line of more than {most} bytes")
    return line.rstrip(b"\r\n")


@contextmanager
def _opened(path: str | Path, *, pipe: bool) -> Iterator[IO[bytes]]:
    number = portable.open_to_read(path)
    with os.fdopen(number, "rb") as file:
        mode = os.fstat(number).st_mode
        if not stat.S_ISREG(mode):
            if not (pipe and (stat.S_ISFIFO(mode) or os.isatty(number))):
                raise FormatError(f"{path} is a {_kind(mode)}; expected a file")
            _await(number, path)
        yield file


def read_text(path: str | Path, most: int) -> str:
    """Return the UTF-8 text of a regular file of at most `most` bytes. Raises as `read`, and `UnicodeDecodeError`."""
    return read(path, most).decode("utf-8")


def check_all(folder: str | Path) -> None:
    """Raise `FormatError` if a folder holds anything but files and folders, such as a pipe that nobody writes to."""
    for path in sorted(Path(folder).glob("*")):
        check(path)


def check(path: str | Path) -> None:
    """Raise `FormatError` if `path` exists and is neither a file nor a folder."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(f"{path} is a {_kind(mode)}; expected a file")


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "file of a strange kind")


def _await(number: int, path: str | Path) -> None:
    """Wait for the first byte of a pipe, then let reads block. Raises `FormatError` after `PATIENCE` seconds."""
    if not os.isatty(number) and not portable.await_word(number, PATIENCE):
        raise FormatError(f"{path} is a pipe to which nobody wrote within {PATIENCE} seconds")
    portable.set_blocking(number)

"""What a target is made of: inputs to start from, and what reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ult.errors import SourceError, UltError

Read = Callable[[bytes], object]
Made = tuple[list[bytes], Read]


def file(folder: Path, name: str, read: Callable[[Path], object]) -> Read:
    """Return what puts an input into a file and reads that."""
    path = folder / name

    def wrapped(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return wrapped


def either(*reads: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return what reads a file in several ways, one after the other; it is refused if none of them takes it."""

    def read(path: Path) -> None:
        refused = 0
        for one in reads:
            try:
                one(path)
            except UltError:
                refused += 1
        if refused == len(reads):
            raise SourceError("no way of reading takes it")

    return read

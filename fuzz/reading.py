"""What a target is made of: inputs to start from, and what reads one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Read = Callable[[bytes], object]
Made = tuple[list[bytes], Read]


def file(folder: Path, name: str, read: Callable[[Path], object]) -> Read:
    """Return what puts an input into a file and reads that."""
    path = folder / name

    def wrapped(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return wrapped

"""What tells whether inputs are still those of an earlier run: names, sizes and times of change."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def stamp(inputs: Sequence[str | Path]) -> list[list[Any]]:
    """Return a list an input, JSON values: of a file or folder what tells its state, of anything else its name."""
    return [[str(one), *_state(Path(str(one).removeprefix("hf:").partition("?")[0]))] for one in inputs]


def _state(path: Path) -> list[Any]:
    if path.is_file():
        return [path.stat().st_size, path.stat().st_mtime_ns]
    if not path.is_dir():
        return []
    found = []
    for parent, _, names in os.walk(path):
        for name in names:
            file = Path(parent) / name
            found.append((file.relative_to(path).as_posix(), file.stat().st_size, file.stat().st_mtime_ns))
    return [len(found), hashlib.sha256(repr(sorted(found)).encode("utf-8", "surrogatepass")).hexdigest()]

"""Write a folder of records: a table that names files, and the images and series of its cells as files beside it.

The name of a file is the number of its row, so that it says nobody's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ult.data.images.image import filed
from ult.host.disk import strangers
from ult.host.free import Kind

CSV, JSONL = "records.csv", "records.jsonl"
_OURS = re.compile(r"records\.(csv|jsonl)|[^/]+/\d{8,}\.(png|tif|npy)")
FOLDER = Kind("a folder of records", Path.is_dir, partial(strangers, ours=_OURS))


class Beside:
    """Writes the arrays of some columns, a sub-folder for each, and tells their names."""

    def __init__(self, folder: Path, columns: Sequence[str]) -> None:
        self._folder, self._counts = folder, dict.fromkeys(columns, 0)
        self._names = _folders(columns)
        self._last: dict[str, tuple[Any, str]] = {}  # of each column, so that an image in several rows is one file
        for name in self._names.values():
            (folder / name).mkdir()

    def named(self, column: str, cells: Sequence[Any]) -> list[str | None]:
        """Write the arrays of a column, and return the name of each file, None for null."""
        found: list[str | None] = []
        for cell in cells:
            self._counts[column] += 1
            if cell is None:
                found.append(None)
                continue
            last, name = self._last.get(column, (None, ""))
            if cell is not last:
                name = self._write(f"{self._names[column]}/{self._counts[column]:08d}", cell)
                self._last[column] = cell, name
            found.append(name)
        return found

    def _write(self, stem: str, array: Any) -> str:
        """Write one array; return its name with a suffix: .npy for what no format of images holds."""
        if array.ndim > 1:
            data, suffix = filed(array)
            (self._folder / f"{stem}{suffix}").write_bytes(data)
            return f"{stem}{suffix}"
        np.save(self._folder / f"{stem}.npy", array, allow_pickle=False)
        return f"{stem}.npy"


def _folders(columns: Sequence[str]) -> dict[str, str]:
    """Return a folder for each column, called like it as far as every file system allows."""
    found: dict[str, str] = {}
    taken = {CSV, JSONL}
    for k, column in enumerate(columns, 1):
        name = re.sub(r"[^\w-]", "_", column)[:60] or "_"
        name = name if name.casefold() not in taken else f"{name}_{k}"
        taken.add(name.casefold())
        found[column] = name
    return found

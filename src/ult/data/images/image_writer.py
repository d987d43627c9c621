"""Write images to a folder: JPEG files as they are, others as PNG, TIFF if negative, .npy in colour of 16 bits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ult.data.images.image import SUFFIXES, Pixels, filed
from ult.data.images.image_sheet import LABELS
from ult.data.tables.tabular import CsvWriter
from ult.errors import OutputError


class FolderWriter:
    """Writes image files named by number, or by the kept column `name`; other kept columns go to `labels.csv`."""

    def __init__(self, path: Path, kept: Sequence[str]) -> None:
        self.path = path
        path.mkdir()
        self._named = "name" in kept
        self._others = [name for name in kept if name != "name"]
        self._sheet = CsvWriter(path / LABELS, [*self._others, "name"]) if self._others else None
        self._written: set[str] = set()

    def write(self, records: Sequence[Pixels | bytes], kept: pa.Table) -> None:
        """Write image files; raise `OutputError` if two have the same name, ignoring case."""
        names = (
            kept["name"].to_pylist() if self._named else range(len(self._written), len(self._written) + len(records))
        )
        files = []
        for name, pixels in zip(names, records, strict=True):
            data, suffix = filed(pixels)
            file = _file_name(name, suffix)
            if file.casefold() in self._written:
                raise OutputError("two images have one name", hint=".parquet holds them")
            self._written.add(file.casefold())
            files.append(file)
            path = self.path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        if self._sheet:
            self._sheet.write(files, kept.select(self._others))

    def close(self, *, whole: bool) -> None:
        """Close `labels.csv`."""
        if self._sheet:
            self._sheet.close(whole=whole)


def _file_name(name: str | int | None, end: str) -> str:
    """Return a relative path that ends in `end`, stays in the folder, and is valid on every file system."""
    if isinstance(name, int):
        return f"{name:08d}{end}"
    parts = [
        re.sub(r'^[. ]|[\x00-\x1f\x7f<>:"|?*]|[. ]$', "_", part) for part in re.split(r"[/\\]+", name or "") if part
    ]
    if not parts:
        raise OutputError("an image has an empty name", hint=".parquet holds it")
    stem, dot, suffix = parts[-1].rpartition(".")
    stem = stem if stem and (dot + suffix).lower() in SUFFIXES else parts[-1]
    return "/".join([*parts[:-1], stem + end])

"""What lies in some folders and may hold records: shards, runs, bodies, tables, synthetic records, unfinished work.

Weights, states of optimizers, parts of shards, encrypted rows and archives that lie in none of these are found too, by
their names: they do not say what they were made of.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ult.errors import FormatError, UltError
from ult.host.regular import read_text
from ult.public.manifest import Manifest, is_shards
from ult.public.metrics import read_metrics
from ult.public.published import rejoined
from ult.public.shards import Shards
from ult.public.synthetic import SUFFIX, Synthetic
from ult.trainer.workdir import OURS

GROUP = "group.json"  # in the folder of a federation's body
_MOST = 2**20  # bytes of it
_PART = r"part-\d+\.parquet"
_LOOSE = re.compile(
    rf"{_PART}|.*\.(safetensors|bin|pt|pth|ckpt|gguf|onnx|age|zip|tar|tgz|tbz2?|txz|7z|tar\.\w+)", re.IGNORECASE
)
T = TypeVar("T")


@dataclass(slots=True)
class Artefacts:
    """What lies in some folders, by kind."""

    shards: dict[Path, Manifest | str] = field(default_factory=dict)  # or why it cannot be read
    runs: dict[Path, Mapping[str, Any] | str] = field(default_factory=dict)  # of members too: what metrics.json says
    bodies: dict[Path, Mapping[str, Any] | str] = field(default_factory=dict)  # of federations: what group.json says
    synthetic: dict[Path, Synthetic | str] = field(default_factory=dict)  # by the file that says how they were made
    hidden: list[Path] = field(default_factory=list)  # folders of unfinished work
    tables: list[Path] = field(default_factory=list)
    loose: list[Path] = field(default_factory=list)  # files of weights, ids or archives that are part of nothing else
    links: list[Path] = field(default_factory=list)  # to folders, which are not followed

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Artefacts:
        """Return what lies in these folders and below."""
        found = cls()
        for folder in folders:
            for above, names, files in os.walk(folder):
                names.sort()
                found._add(Path(above), files)
                found.links += [path for name in names if (path := Path(above, name)).is_symlink()]
        return found

    def _add(self, folder: Path, files: Sequence[str]) -> None:
        if is_shards(folder):
            self.shards[folder] = read_or_why(lambda: Shards(folder).manifest)
        if {"metrics.json", "vocabulary.json"} <= set(files):
            self.runs[folder] = read_or_why(lambda: rejoined(read_metrics(folder / "metrics.json"), folder))
        if folder.name.startswith(".") and folder.name.endswith(".partial"):
            self.hidden.append(folder)
        if GROUP in files:
            self.bodies[folder] = read_or_why(lambda: _group(folder / GROUP))
        for path in (folder / name for name in files if name.endswith(SUFFIX)):
            self.synthetic[path] = read_or_why(partial(Synthetic.read, path))
        self.tables += [path for name in files if _is_table(path := folder / name)]
        self.loose += [path for name in sorted(files) if self._is_loose(path := folder / name)]

    def _is_loose(self, path: Path) -> bool:
        """Return whether a file may hold what was learned, and is part of nothing that was found above it."""
        if not _LOOSE.fullmatch(path.name):
            return False
        for above in path.parents:
            if above in self.shards:
                return not re.fullmatch(_PART, path.relative_to(above).as_posix())
            if above in self.runs or above in self.bodies:
                return not OURS.fullmatch(path.relative_to(above).as_posix())
            if above in self.hidden:
                return False
        return True


def read_or_why(work: Callable[[], T]) -> T | str:
    """Return what a call returns, or why it failed."""
    try:
        return work()
    except UltError as error:
        return error.what


def _group(path: Path) -> Mapping[str, Any]:
    try:
        return dict(json.loads(read_text(path, _MOST)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON") from error


def _is_table(path: Path) -> bool:
    """Return whether a file may be a table, by its name; it is a secret that says nothing by itself."""
    return path.suffix == ".ult" and path.is_file()

"""Shards that are being written, so that a command that was killed goes on where it stood.

Beside `OUT` lies the hidden folder `.OUT.partial`:

    progress.jsonl   the command on the first line, then a line a finished part, appended and synced
    shards/          the finished parts; at the end also the manifest, and the folder is renamed to OUT
    tmp.*/           what is being written; a run removes those of runs before it
    old/             what `--force` replaces, while the new folder is put in its place

A part is written to `tmp.*`, synced, read back and renamed; then it is recorded. What is not recorded, or is no longer
what was recorded, is written again. One process at a time holds the folder, by a lock that ends with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ult.errors import FormatError, MissingSource, OutputExists, writing
from ult.manifest import Manifest, Part, part_name
from ult.shards import Shards, check_free, sha256_of

FORMAT = "ult-progress/1"
_JOURNAL = "progress.jsonl"


class Partial:
    """Collects the parts of `path`, in any order; `publish` makes them appear.

    `command` is everything that decides the bytes, as JSON values. `parts` holds the finished ones by number, those of
    an earlier run of the same command included; `lost` names those that were recorded and then deleted or altered.
    Once all is published, maybe by an earlier run that was killed before it could say so, there is a `manifest`.

    Raises `OutputExists` if `path` is there and not `force`, or if the hidden folder is another command's and not
    `force`, or if another process has it.
    """

    def __init__(self, path: str | Path, command: dict[str, Any], *, force: bool = False) -> None:
        self.path, self.force = Path(path), force
        self.folder = self.path.parent / f".{self.path.name}.partial"
        self.command: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **command}))
        self.parts: dict[int, Part] = {}
        self.lost: list[str] = []
        self.published = False
        self.manifest: Manifest  # once published

    def __enter__(self) -> Self:
        if not self.folder.exists():
            check_free(self.path, force=self.force)
        with writing(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            with writing(self.path):
                self._take()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputExists(f"{self.path} is being written by another process", hint="wait for it") from None
        recorded = self._read()
        if (self.folder / "old").exists() and not self.path.exists():
            (self.folder / "old").rename(self.path)  # killed while it was replaced
        if recorded and not self._shards.exists() and self._is_published(recorded):
            return
        try:
            check_free(self.path, force=self.force)
        except OutputExists:
            if not recorded:
                self._discard()
            raise
        self._keep(recorded)

    @property
    def _shards(self) -> Path:
        return self.folder / "shards"

    def _read(self) -> dict[int, Part]:
        """Return what the journal records, nothing if there is none. Raises `OutputExists` if it is not ours."""
        journal = self.folder / _JOURNAL
        if not journal.is_file():
            if {path.name for path in self.folder.iterdir()} - {_JOURNAL + ".tmp"}:
                raise OutputExists(f"{self.folder} is in the way and is no unfinished shards", hint="another --out")
            return {}
        lines = journal.read_bytes().split(b"\n")[:-1]  # what was cut short by a kill or a full disk has no end
        other = self._other(lines[0] if lines else b"")
        if other and not self.force:
            raise OutputExists(
                f"{self.folder} holds the finished parts of another command: {other}",
                hint="that command goes on, or --force to start anew",
            )
        if other:
            self._discard(keep_folder=True)
            return {}
        recorded = {}
        for line in lines[1:]:
            try:
                document = json.loads(line)
                number = document.pop("number")
                part = Part.read(document, journal)
                ours = part.name == part_name(number)
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):  # damaged from here on
                break
            if ours:
                recorded[number] = part
        return recorded

    def _other(self, line: bytes) -> str:
        """Return in what the command of a journal is another one, nothing if it is not."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return "its progress.jsonl is damaged"
        if not isinstance(found, dict):
            return "its progress.jsonl is damaged"
        names = [name for name in self.command if found.get(name) != self.command[name]]
        return "other " + ", ".join(names) if names or len(found) != len(self.command) else ""

    def _is_published(self, recorded: dict[int, Part]) -> bool:
        try:
            manifest = Shards(self.path).manifest
        except (MissingSource, FormatError):
            return False
        if manifest.parts != tuple(part for _, part in sorted(recorded.items())):
            return False
        self.parts, self.manifest, self.published = recorded, manifest, True
        self._discard()
        return True

    def _keep(self, recorded: dict[int, Part]) -> None:
        """Keep the recorded parts that are whole, begin a journal of them, and remove everything else."""
        for number, part in recorded.items():
            path = self._shards / part.name
            if path.is_file() and sha256_of(path) == part.sha256:
                self.parts[number] = part
            else:
                self.lost.append(part.name)
        fresh = self.folder / (_JOURNAL + ".tmp")
        with fresh.open("wb") as file:
            _append(file, self.command, *({"number": n, **asdict(part)} for n, part in self.parts.items()))
        fresh.replace(self.folder / _JOURNAL)
        self._journal = (self.folder / _JOURNAL).open("ab")
        self._shards.mkdir(exist_ok=True)
        kept = {part.name for part in self.parts.values()}
        for path in (*self._shards.iterdir(), *self.folder.glob("tmp.*")):
            if path.name not in kept:
                _remove(path)
        self.scratch = Path(tempfile.mkdtemp(prefix="tmp.", dir=self.folder))

    def commit(self, number: int, part: Part) -> None:
        """Take over a part that was written to `scratch`, and record it."""
        with writing(self.path):
            (self.scratch / part.name).rename(self._shards / part.name)
            _append(self._journal, {"number": number, **asdict(part)})
        self.parts[number] = part

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest and rename the folder to its place; what was there is removed once the new one stands."""
        with writing(self.path):
            with (self._shards / "manifest.json").open("w", encoding="utf-8") as file:
                file.write(manifest.to_json())
                file.flush()
                os.fsync(file.fileno())
            _sync(self._shards)
            check_free(self.path, force=self.force)
            if self.path.exists():
                self.path.rename(self.folder / "old")
            try:
                self._shards.rename(self.path)
            except BaseException:
                if (self.folder / "old").exists():
                    (self.folder / "old").rename(self.path)
                raise
            _sync(self.path.parent)
        self.manifest, self.published = manifest, True
        with writing(self.path):
            self._discard()

    def _discard(self, *, keep_folder: bool = False) -> None:
        """Remove the hidden folder, the journal last, so that at every moment it can be told what the rest is."""
        for path in self.folder.iterdir():
            if path.name != _JOURNAL:
                _remove(path)
        (self.folder / _JOURNAL).unlink(missing_ok=True)
        if not keep_folder:
            self.folder.rmdir()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(OSError):  # the error that led here says more
                if hasattr(self, "_journal"):
                    self._journal.close()
                if error is not None and self.folder.exists():
                    self._leave(error)
        finally:
            os.close(self._lock)

    def _leave(self, error: BaseException) -> None:
        """Leave the finished parts for the same command, unless it must fail again, for its input is wrong."""
        if not self.parts or isinstance(error, ValueError):
            self._discard()
            return
        _remove(self.scratch)
        n = len(self.parts)
        error.add_note(f"{n} finished part{'s'[: n != 1]} stay in {self.folder}; the same command goes on from there")


def _append(file: IO[bytes], *documents: dict[str, Any]) -> None:
    file.write(b"".join(json.dumps(document).encode() + b"\n" for document in documents))
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()

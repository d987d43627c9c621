"""Unfinished shards, kept so that the same command can resume after a kill.

The hidden folder `.OUT.partial` beside `OUT` holds:

    progress.jsonl   the command on the first line, then one line per finished part, appended and synced
    shards/          the finished parts; at the end the manifest is added and the folder is renamed to OUT
    tmp.*/           parts that are being written; each run removes those of earlier runs
    owner.json, old  see `ult.host.atomic`

A part is written to `tmp.*`, synced, read back, renamed and then recorded. A part that is not recorded, or that was
altered later, is written again. One process at a time holds the folder, by a lock that ends with the process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ult.errors import FormatError, MissingSource, OutputExists, writing
from ult.host import atomic
from ult.host.disk import remove
from ult.host.free import check_free
from ult.public.card import write_shards_card
from ult.public.manifest import FILE, Manifest, Part, part_name
from ult.public.shards import SHARDS, Shards, sha256_of

FORMAT = "ult-progress/1"
_JOURNAL = "progress.jsonl"


class Partial:
    """Collects the parts of the shards `path`, in any order; `publish` gives the folder its name.

    `command` holds everything that the bytes of the shards depend on, as JSON values. `parts` holds the finished parts
    by number, including those of an earlier run of the same command. `lost` names parts that were recorded, but then
    deleted or altered. `manifest` is set once `published` is true, which it may be from the beginning: an earlier run
    may have been killed just after it published.

    Raises `OutputExists` if another process holds the hidden folder, or, without `force`, if `path` exists or the
    hidden folder is that of another command.
    """

    def __init__(self, path: str | Path, command: dict[str, Any], *, force: bool = False) -> None:
        self.path, self.force = Path(path), force
        self._claim = atomic.Claim(self.path, journal=_JOURNAL)
        self.folder = self._claim.folder
        self.command: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **command}))
        self.parts: dict[int, Part] = {}
        self.lost: list[str] = []
        self.published = False
        self.manifest: Manifest  # set once `published` is true

    def __enter__(self) -> Self:
        atomic.recover(self.path)
        if not self.folder.exists():
            check_free(self.path, SHARDS, force=self.force)
        self._claim.__enter__()
        self._claim.keep = True  # the code below decides what is removed
        try:
            with writing(self.path):
                self._take()
        except BaseException:
            if hasattr(self, "_journal"):
                self._journal.close()
            self._claim.__exit__(*sys.exc_info())
            raise
        return self

    def _take(self) -> None:
        recorded = self._read()
        if recorded and not self._shards.exists() and self._is_published(recorded):
            return
        try:
            check_free(self.path, SHARDS, force=self.force)
        except OutputExists:
            if not recorded:
                self._claim.discard()
            raise
        self._keep(recorded)

    @property
    def _shards(self) -> Path:
        return self.folder / "shards"

    def _read(self) -> dict[int, Part]:
        """Return the parts that the journal records, none if there is no journal.

        Raises `OutputExists` if the journal is that of another command and `force` is not set.
        """
        journal = self.folder / _JOURNAL
        if not journal.is_file():
            return {}
        lines = journal.read_bytes().split(b"\n")[:-1]  # drops a line cut short by a kill or a full disk
        other = self._difference(lines[0] if lines else b"")
        if other and not self.force:
            raise OutputExists(
                f"{self.folder} holds the finished parts of another command: {other}",
                hint="that command goes on, or --force to start anew",
            )
        if other:
            self._claim.clear()
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

    def _difference(self, line: bytes) -> str:
        """Return how the command of a journal, its first line, differs from this one; "" if it does not."""
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
        self._claim.discard()
        return True

    def _keep(self, recorded: dict[int, Part]) -> None:
        """Keep the recorded parts whose digest is right, write a new journal of them, and remove everything else."""
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
                remove(path)
        self.scratch = Path(tempfile.mkdtemp(prefix="tmp.", dir=self.folder))

    def commit(self, number: int, part: Part) -> None:
        """Move a part from `scratch` to the finished ones and record it. Raises `OutputError`."""
        with writing(self.path):
            (self.scratch / part.name).rename(self._shards / part.name)
            _append(self._journal, {"number": number, **asdict(part)})
        self.parts[number] = part

    def publish(self, manifest: Manifest) -> None:
        """Write the manifest and rename the folder to `path`; an old output is removed after that.

        Raises `OutputExists` or `OutputError`.
        """
        with writing(self.path):
            (self._shards / FILE).write_text(manifest.to_json(), encoding="utf-8")
            write_shards_card(self._shards, manifest)
            check_free(self.path, SHARDS, force=self.force)
            self._claim.publish(self._shards)
        self.manifest, self.published = manifest, True
        with writing(self.path):
            self._claim.discard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with suppress(OSError):  # the first error says more
                if hasattr(self, "_journal"):
                    self._journal.close()
                if error is not None and self.folder.exists():
                    self._leave(error)
        finally:
            self._claim.__exit__(kind, error, trace)

    def _leave(self, error: BaseException) -> None:
        """Keep the finished parts for the same command; remove them after a `ValueError`, which it would meet again."""
        if not self.parts or isinstance(error, ValueError):
            self._claim.discard()
            return
        remove(self.scratch)
        parts = "1 finished part stays" if len(self.parts) == 1 else f"{len(self.parts)} finished parts stay"
        error.add_note(f"{parts} in {self.folder}; the same command goes on from there")


def _append(file: IO[bytes], *documents: dict[str, Any]) -> None:
    file.write(b"".join(json.dumps(document).encode() + b"\n" for document in documents))
    file.flush()
    os.fsync(file.fileno())

"""Detect whether inputs changed: by names, sizes, times of change, and the version marks of servers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.data import files
from ult.data.events.addresses import PREFIXES
from ult.data.rows import changed
from ult.data.tables import postgres, sql
from ult.errors import MissingSource, OutputError, SourceError

_OPENED = time.time_ns()  # stands for the state of a database, which no other command can know to be the same
_SMALL = 2**24  # bytes: inputs up to this size are compared by content too


class Snapshot:
    """The state of inputs at one moment; for an input that is not a file, only its name.

    `beside` are other files that are read, which count as one more input together.

    States are compared where the command runs, not by its workers: the times and inode of a local file may differ
    between nodes.
    """

    def __init__(self, inputs: Sequence[str | Path], beside: Sequence[str] = ()) -> None:
        self._names = [str(one) for one in inputs] + [""] * bool(beside)
        self._beside = tuple(beside)
        self._states = [self._now(name) for name in self._names]
        self._contents = [_content(states) for states in self._states]

    def _now(self, name: str) -> dict[str, list[Any]]:
        """Return the states of an input's files at present; those of the files beside, if its name is empty."""
        if name or not self._beside:
            return _states(name)
        return {one: state for each in self._beside for one, state in _states(each).items()}

    def stamp(self) -> list[list[Any]]:
        """Return the state as JSON values: for each input a list with its name, file states, and digest if small."""
        return [
            [postgres.shown(name), *_short(name, states), *([content] if content else [])]
            for name, states, content in zip(self._names, self._states, self._contents, strict=True)
        ]

    def check_apart(self, out: Path) -> None:
        """Raise `OutputError` if `out` is one of the inputs, or a file in one."""
        every = [name for name, states in zip(self._names, self._states, strict=True) for name in (name, *states)]
        if out.exists() and any(files.mark(name) == files.mark(str(out)) for name in every):
            raise OutputError(f"{out} is one of the inputs, which would be lost", hint="another --out")

    def check(self) -> None:
        """Raise `SourceError`, naming the file, if a file changed, appeared or disappeared since the snapshot."""
        for name, before, content in zip(self._names, self._states, self._contents, strict=True):
            try:
                now = self._now(name)
            except MissingSource:
                now = {}
            for one in (*before, *now):
                if before.get(one) != now.get(one):
                    raise changed(one, "" if one in before and one in now else "it is gone" if one in before else "new")
            if content != _content(now):
                raise changed(name)


def stamp(inputs: Sequence[str | Path]) -> list[list[Any]]:
    """Return the present state of inputs as JSON values; see `Snapshot.stamp`."""
    return Snapshot(inputs).stamp()


def _states(name: str) -> dict[str, list[Any]]:
    if postgres.is_address(name):
        return {postgres.shown(name): [_OPENED]}
    if not files.is_url(name) and name.startswith("hf:"):
        name = name.removeprefix("hf:").partition("?")[0]  # a local folder, or a name on the Hub
    if name.startswith(sql.PREFIX):
        name = sql.path_of(name)
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    try:
        return files.states(name) if name else {}
    except FileNotFoundError:
        if files.is_url(name):
            raise
        return {}  # hf:org/name, sample:topics


def _content(states: dict[str, list[Any]]) -> str:
    """Return a digest of the files' content, or "" if they are remote, large or unreadable."""
    if any(map(files.is_url, states)) or not 0 < sum(state[0] for state in states.values() if state) <= _SMALL:
        return ""
    digest = hashlib.sha256()
    try:
        for name in states:
            digest.update(hashlib.sha256(files.read_bytes(name)).digest())
    except (OSError, SourceError):  # reading the records will report it
        return ""
    return digest.hexdigest()


def _short(name: str, states: dict[str, list[Any]]) -> list[Any]:
    if list(states) == [name]:
        return states[name]
    if not states:
        return []
    return [len(states), hashlib.sha256(repr(sorted(states.items())).encode("utf-8", "surrogatepass")).hexdigest()]

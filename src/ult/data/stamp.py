"""What tells whether inputs are still those of an earlier run: names, sizes, times of change, servers' marks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.data import files
from ult.data.rows import changed
from ult.errors import MissingSource, OutputError, SourceError

_SMALL = 2**24  # bytes of inputs whose content counts too, not only what their file systems say of them


class Snapshot:
    """The state of inputs at one moment; of what is no file its name alone.

    Times and numbers of local files are compared where the command runs, and not by its workers: of one file they may
    differ from node to node.
    """

    def __init__(self, inputs: Sequence[str | Path]) -> None:
        self._names = [str(one) for one in inputs]
        self._states = [_states(name) for name in self._names]
        self._contents = [_content(states) for states in self._states]

    def stamp(self) -> list[list[Any]]:
        """Return a list an input, JSON values: what tells the state of its files, and its content if that is small."""
        return [
            [name, *_short(name, states), *([content] if content else [])]
            for name, states, content in zip(self._names, self._states, self._contents, strict=True)
        ]

    def check_apart(self, out: Path) -> None:
        """Raise `OutputError` if `out` is one of the inputs, or a file of one."""
        every = [name for name, states in zip(self._names, self._states, strict=True) for name in (name, *states)]
        if out.exists() and any(files.mark(name) == files.mark(str(out)) for name in every):
            raise OutputError(f"{out} is one of the inputs, which would be lost", hint="another --out")

    def check(self) -> None:
        """Raise `SourceError`, naming a file, if one changed since, is new or is gone."""
        for name, before, content in zip(self._names, self._states, self._contents, strict=True):
            try:
                now = _states(name)
            except MissingSource:
                now = {}
            for one in (*before, *now):
                if before.get(one) != now.get(one):
                    raise changed(one, "" if one in before and one in now else "it is gone" if one in before else "new")
            if content != _content(now):
                raise changed(name)


def stamp(inputs: Sequence[str | Path]) -> list[list[Any]]:
    """Return a list an input, JSON values: what tells the state of its files, of what is no file its name alone."""
    return Snapshot(inputs).stamp()


def _states(name: str) -> dict[str, list[Any]]:
    if not files.is_url(name) and name.startswith("hf:"):
        name = name.removeprefix("hf:").partition("?")[0]  # a folder of this machine, or a name on the hub
    try:
        return files.states(name) if name else {}
    except FileNotFoundError:
        if files.is_url(name):
            raise
        return {}  # hf:org/name, sample:topics


def _content(states: dict[str, list[Any]]) -> str:
    """Return a digest of what local files hold, nothing if they are large, or cannot be read."""
    if any(map(files.is_url, states)) or not 0 < sum(state[0] for state in states.values() if state) <= _SMALL:
        return ""
    digest = hashlib.sha256()
    try:
        for name in states:
            digest.update(hashlib.sha256(files.read_bytes(name)).digest())
    except (OSError, SourceError):  # reading the records will say why, if it matters
        return ""
    return digest.hexdigest()


def _short(name: str, states: dict[str, list[Any]]) -> list[Any]:
    if list(states) == [name]:
        return states[name]
    if not states:
        return []
    return [len(states), hashlib.sha256(repr(sorted(states.items())).encode("utf-8", "surrogatepass")).hexdigest()]

"""What tells whether inputs are still those of an earlier run: names, sizes, times of change, servers' marks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.data import files


def stamp(inputs: Sequence[str | Path]) -> list[list[Any]]:
    """Return a list an input, JSON values: what tells the state of its files, of what is no file its name alone."""
    return [[str(one), *_state(str(one))] for one in inputs]


def _state(name: str) -> list[Any]:
    if not files.is_url(name) and name.startswith("hf:"):
        name = name.removeprefix("hf:").partition("?")[0]  # a folder of this machine, or a name on the hub
    try:
        found = files.states(name)
    except FileNotFoundError:
        if files.is_url(name):
            raise
        return []  # hf:org/name, sample:topics
    if list(found) == [name]:
        return found[name]
    return [len(found), hashlib.sha256(repr(sorted(found.items())).encode("utf-8", "surrogatepass")).hexdigest()]

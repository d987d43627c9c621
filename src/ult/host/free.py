"""Whether the place of an output is free: every verb asks before it works, and again before it publishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ult.errors import OutputExists, writing
from ult.host import regular
from ult.host.atomic import recover


class Kind(NamedTuple):
    """What a verb writes. `--force` replaces only one of the same kind, and only if nothing else lies in it."""

    name: str  # with its article: "a run"
    is_one: Callable[[Path], bool]
    strangers: Callable[[Path], Sequence[str]] = lambda _: ()  # what a folder holds besides what the verb writes


FILE = Kind("a file", lambda path: path.is_file() or not path.exists())  # or a link that leads nowhere


def check_free(out: str | Path, kind: Kind = FILE, *, force: bool) -> None:
    """Raise `OutputExists` unless nothing is at `out`, or `force` is set and one of the same kind is.

    What a killed command had set aside is put back first. Raises `OutputError` for a path that cannot be.
    """
    out = Path(out)
    recover(out)
    with writing(out):  # a name that is too long is refused before anything is made
        try:
            out.lstat()
        except FileNotFoundError:
            return
    if not kind.is_one(out):
        other = (
            f"is a {regular.kind(out)}; expected a file" if kind is FILE else f"exists already, and is not {kind.name}"
        )
        raise OutputExists(f"{out} {other}", hint="another --out")
    if not force:
        raise OutputExists(f"{out} exists already", hint="another --out, or --force to replace it")
    if others := kind.strangers(out):
        what = f"{out} holds {others[0]}, which is no part of {kind.name}"
        raise OutputExists(what, hint="move it, or another --out")

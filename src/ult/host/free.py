"""Check that an output may be written. Every command checks before it works, and again before it publishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ult.errors import OutputError, OutputExists, writing
from ult.host import regular
from ult.host.atomic import recover


class Kind(NamedTuple):
    """A kind of output. `--force` replaces only an output of the same kind, and only if it holds nothing else."""

    name: str  # with its article, as in "a run"
    is_one: Callable[[Path], bool]
    strangers: Callable[[Path], Sequence[str]] = lambda _: ()  # what else an output holds


FILE = Kind("a file", lambda path: path.is_file() or not path.exists())  # or a link to nothing


def check_free(out: str | Path, kind: Kind = FILE, *, force: bool, option: str = "--out") -> None:
    """Raise `OutputExists` if `out` exists, unless `force` is set and it is an output of the same kind.

    An old output that a killed command had renamed aside is put back first. `option` is what names `out` on the command
    line. Raises `OutputError` for an impossible path.
    """
    out = Path(out)
    if out == Path("-"):
        raise OutputError("nothing is written to standard output (-), which others may see", hint=f"{option} FILE")
    recover(out)
    with writing(out):  # refuses a name that is too long before anything is made
        try:
            out.lstat()
        except FileNotFoundError:
            return
    if not kind.is_one(out):
        other = (
            f"is a {regular.kind(out)}; expected a file" if kind is FILE else f"exists already, and is not {kind.name}"
        )
        raise OutputExists(f"{out} {other}", hint=f"another {option}")
    if not force:
        raise OutputExists(f"{out} exists already", hint=f"another {option}, or --force to replace it")
    if others := kind.strangers(out):
        what = f"{out} holds {others[0]}, which is no part of {kind.name}"
        raise OutputExists(what, hint=f"move it, or another {option}")

"""What a misspelt name may have meant: the question that a hint asks."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

_LOOKED = 10_000  # names in a folder that are looked at, at most


def near(name: str, names: Iterable[str]) -> str:
    """Return a question that names the one most like `name`, whatever the case; the empty string if none is.

    >>> near("Txt", ["label", "text"]), near("Txt", ["label"])
    ("did you mean 'text'?", '')
    """
    found = _nearest(name, names)
    return f"did you mean {found!r}?" if found else ""


def near_file(path: str | Path, otherwise: str = "") -> str:
    """Return a question that names the file most like one that is not there, else `otherwise`, or how to see them."""
    path = Path(path)
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    inside: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        inside = [one.name for one in islice(entries, _LOOKED) if not one.name.startswith(".")]
    alike = difflib.get_close_matches(path.stem, [Path(one).stem for one in inside], 5)  # a suffix is no likeness
    if folder == path.parent and (found := _nearest(path.name, [one for one in inside if Path(one).stem in alike])):
        return f"did you mean {shlex.quote(str(path.with_name(found)))}?"
    return otherwise or f"ls {shlex.quote(str(folder))} shows what is there"


def _nearest(name: str, names: Iterable[str]) -> str:
    folded = {one.casefold(): one for one in names}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    return folded[close[0]] if close else ""

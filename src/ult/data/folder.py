"""What lies in folders of this machine: links are followed, and a folder that may not be listed is an error.

A link to a folder that it lies in is passed over, for all that is behind it is there already.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from ult.errors import SourceError

_Seen = frozenset[tuple[int, int]]  # device and number of the folders that one lies in


def walk(folder: str | Path, *, hidden: bool = False) -> Iterator[str]:
    """Give the path of every file in a folder and its sub-folders, sorted; with `hidden` the hidden ones too.

    What is neither a file nor a folder counts as a file: a link to nothing, a pipe. Raises `SourceError`.
    """
    return (one for one, is_folder in _below(str(folder), hidden, _seen(str(folder))) if not is_folder)


def matches(pattern: str) -> Iterator[str]:
    """Give all files that a glob matches, `**` standing for any folders; wildcards match no hidden names.

    Raises `SourceError` where a folder that it asks for may not be listed.
    """
    root, *parts = Path(pattern).parts
    if Path(pattern).is_absolute():
        start = root
    else:
        start, parts = "", [root, *parts]
    return (one for one in _matches(start, parts) if Path(one).is_file())


def _matches(folder: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield folder
        return
    part, rest = parts[0], parts[1:]
    if folder and not Path(folder).is_dir():
        return
    if part == "**":
        yield from _matches(folder, rest or ["*"])
        for inner, is_folder in _below(folder or ".", False, _seen(folder or ".")):
            if is_folder:
                yield from _matches(inner if folder else inner.removeprefix("./"), rest or ["*"])
    elif glob.has_magic(part):
        for name in _listed(folder or "."):
            if fnmatch.fnmatch(name, part) and (name[0] != "." or part[0] == "."):
                yield from _matches(os.path.join(folder, name), rest)  # noqa: PTH118 - no "./" before the name
    elif os.path.lexists(inner := os.path.join(folder, part)):  # noqa: PTH118
        yield from _matches(inner, rest)


def _below(folder: str, hidden: bool, seen: _Seen) -> Iterator[tuple[str, bool]]:
    """Give each path in a folder and its sub-folders, and whether it is a folder."""
    for name in _listed(folder):
        path = f"{folder.rstrip('/')}/{name}"
        if name[0] == "." and not hidden:
            continue
        if not Path(path).is_dir():
            yield path, False
        elif len(inside := seen | _seen(path)) > len(seen):
            yield path, True
            yield from _below(path, hidden, inside)


def _seen(folder: str) -> _Seen:
    try:
        found = Path(folder).stat()
    except OSError as error:
        raise _refused(folder, error) from error
    return frozenset({(found.st_dev, found.st_ino)})


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - pathlib would make objects of a million names
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: str, error: OSError) -> SourceError:
    return SourceError(
        f"{folder} cannot be listed: {error.strerror}", hint="make it readable, or name the inputs without it"
    )

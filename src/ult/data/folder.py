"""List local folders: links are followed, and a folder that cannot be listed is an error.

A link to a folder that contains it is skipped, because everything behind it is listed already.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from ult.errors import SourceError

_Seen = frozenset[tuple[int, int]]  # device and inode of the enclosing folders


def walk(folder: str | Path, *, hidden: bool = False) -> Iterator[str]:
    """Yield the path of every file in a folder and its sub-folders, sorted; hidden ones only with `hidden`.

    Whatever is not a folder counts as a file, such as a broken link or a pipe. Raises `SourceError`.
    """
    return (one for one, is_folder in _below(str(folder), hidden, _seen(str(folder))) if not is_folder)


def matches(pattern: str) -> Iterator[str]:
    """Yield all files that a glob matches; `**` matches any number of folders, and no wildcard matches hidden names.

    Raises `SourceError` if a folder that must be searched cannot be listed.
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
    """Yield each path in a folder and its sub-folders, and whether it is a folder."""
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
        status = Path(folder).stat()
    except OSError as error:
        raise _refused(folder, error) from error
    return frozenset({(status.st_dev, status.st_ino)})


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - pathlib would create an object for each of a million names
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: str, error: OSError) -> SourceError:
    return SourceError(
        f"{folder} cannot be listed: {error.strerror}", hint="make it readable, or name the inputs without it"
    )

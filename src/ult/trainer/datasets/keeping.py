"""Packed ids kept for later trainings on the same shards, in a folder that only this user may enter.

An entry of the folder `packed` in this user's cache is named by a digest of what was packed, and appears whole. Ids are
no secret, but confidential: they lie there as open as in the shards, until they are the oldest beyond `MOST` bytes or
somebody removes the folder, which is safe at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ult.errors import OutputError, OutputExists
from ult.host import cache
from ult.host.atomic import whole
from ult.host.disk import remove

MOST = 2**36  # bytes of all entries
_FORMAT = "ult-packed/1"
_ENTRY = "entry.json"  # what was packed, the classes, and the size of each file


def keep(what: dict[str, Any], pack: Callable[[Path], list[Any]]) -> tuple[Path, list[Any]] | None:
    """Return the folder in which `what`, JSON values, is packed, and its classes; `pack` writes a new one if need be.

    None if no folder of this user's is safe, or another process packs the same: then pack elsewhere.
    """
    above = cache.kept("packed")
    if above is None:
        return None
    told = {"format": _FORMAT, "byteorder": sys.byteorder, **what}
    entry = above / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    classes = _classes(entry, told)
    if classes is None:
        try:
            with whole(entry) as new:
                if entry.exists():
                    remove(entry)  # it is damaged
                classes = pack(new)
                sizes = {path.relative_to(new).as_posix(): path.stat().st_size for path in _files(new)}
                about = json.dumps({"what": told, "classes": classes, "sizes": sizes})
                (new / _ENTRY).write_text(about + "\n", encoding="utf-8")
        except OutputExists:
            return None
        _bound(above, entry)
    with suppress(OSError):
        os.utime(entry)
    return entry, classes


def _classes(entry: Path, told: dict[str, Any]) -> list[Any] | None:
    """Return the classes of an entry; None if it is not there, or not as it was written."""
    try:
        about = json.loads((entry / _ENTRY).read_text(encoding="utf-8"))
        sizes = {path.relative_to(entry).as_posix(): path.stat().st_size for path in _files(entry)}
        sizes.pop(_ENTRY)
        return list(about["classes"]) if (about["what"], about["sizes"]) == (told, sizes) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _bound(above: Path, newest: Path) -> None:
    """Remove the entries that were used longest ago, until the others fit. A training that reads one goes on."""
    held = []
    for path in above.iterdir():
        if path.name.startswith("."):
            continue  # it is being written
        with suppress(OSError):
            held.append((path == newest, path.stat().st_mtime, sum(one.stat().st_size for one in _files(path)), path))
    total = sum(size for _, _, size, _ in held)
    for latest, _, size, path in sorted(held):
        if total > MOST and not latest:
            with suppress(OSError, OutputError):
                remove(path)
            total -= size

"""Compile functions with Numba, and keep the machine code where nobody else can have put any.

Numba keeps machine code beside the source or below $HOME, and fails where it can write to neither: an installation that
is read-only, run without a home. What it reads again is unpickled, so whoever can write there runs code here; a torn
file fails every later run; and it looks at a function's own file only, so that after an upgrade a function may call the
old code of another. Here the folder is named by a digest of all sources with kernels; it is used only if it, and all
folders above it, belong to this user, to root or to the source's owner; what cannot be read or kept is compiled again;
and where there is no such folder, functions are compiled in memory, which takes some seconds more a process.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import config as _config

from ult.host import portable

config: Any = _config  # whose settings come from the environment, so that its types leave them out
PACKAGE = Path(__file__).resolve().parent.parent  # all of ours: one kernel calls others
_DISUSED = 14 * 24 * 3600.0  # seconds after which the machine code of other sources is thrown away


def njit(*, cache: bool, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return Numba's decorator of that name; `cache` keeps the machine code, where that can be done."""

    def compiled(function: Callable[..., Any]) -> Any:
        where = folder() if cache else None
        if where is None:
            return numba.njit(**options)(function)
        before, config.CACHE_DIR = config.CACHE_DIR, str(where)  # which Numba reads now, and never again
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
        except RuntimeError:  # the disk is full, say
            return numba.njit(**options)(function)
        finally:
            config.CACHE_DIR = before
        _forgive(dispatcher)
        return dispatcher

    return compiled


def _forgive(dispatcher: Any) -> None:
    """Let no trouble with its files keep a function from being compiled."""
    kept = dispatcher._cache
    load, save = kept.load_overload, kept.save_overload

    def loaded(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception:  # of a torn pickle, anything
            with contextlib.suppress(OSError):
                kept.flush()
            return None

    def saved(*args: Any) -> None:
        with contextlib.suppress(OSError):
            save(*args)

    kept.load_overload, kept.save_overload = loaded, saved


@functools.cache
def folder() -> Path | None:
    """Return the folder of the machine code of these sources, made if need be; `None` if there is no safe one."""
    name = f"kernels-{digest()}"
    if config.CACHE_DIR:  # NUMBA_CACHE_DIR: the user's word
        return Path(config.CACHE_DIR) / name
    return next((path for above in _places() if (path := _ready(above, name))), None)


@functools.cache
def digest() -> str:
    """Return a digest of every source whose code may end in a kernel, 16 hex digits."""
    found = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source or b"numba" in source:
            found.update(b"%s\0%d\0%s" % (path.relative_to(PACKAGE).as_posix().encode(), len(source), source))
    return found.hexdigest()[:16]


def _places() -> Iterator[Path]:
    """Give the folders in which machine code may lie, in order of choice."""
    yield PACKAGE / "__pycache__"
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser() if _has_home() else "")
    if Path(home).is_absolute():
        yield Path(home) / "ult"
    with contextlib.suppress(OSError):
        if (shared := Path(tempfile.gettempdir())) != Path.cwd():  # where Python looks last
            yield shared / f"ult-{portable.user()}"


def _has_home() -> bool:
    try:
        return Path.home().is_absolute()
    except RuntimeError:  # neither $HOME nor an entry of the user's
        return False


def _ready(above: Path, name: str) -> Path | None:
    """Make the folder unless it is there, and return it if we can write to it and no stranger can."""
    try:
        above.parent.mkdir(parents=True, exist_ok=True)
        above.mkdir(mode=0o755, exist_ok=True)
        above = above.resolve(strict=True)  # links are followed once, here, whoever may change them later
        place = above / name
        if not _is_safe(above):
            return None
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)  # another process may be as quick
            _sweep(place)
        if place.is_symlink() or not _is_safe(place):
            return None
        tempfile.TemporaryFile(dir=place).close()
        os.utime(place)
    except OSError:
        return None
    return place


def _is_safe(real: Path) -> bool:
    """Return whether only this user, root and the source's owner can put a file there or move a folder above."""
    return portable.only_trusted_can_write(real, PACKAGE.stat().st_uid)


def _sweep(path: Path) -> None:
    """Throw away the machine code of other sources, if nothing has used it for long."""
    for other in path.parent.glob("kernels-*"):
        if other.stat().st_mtime < time.time() - _DISUSED:
            shutil.rmtree(other, ignore_errors=True)

"""Folders for what can be made again, such as machine code: only where no other user can put anything.

A folder is used only if it and all folders above it belong to this user, to root or to the owner of the source.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ult.host import portable

PACKAGE = Path(__file__).resolve().parent.parent


def kept(name: str) -> Path | None:
    """Return the folder `name` of this user's, and make it if necessary; None if none is safe."""
    return next((path for above in places() if (path := ready(above, name))), None)


def places() -> Iterator[Path]:
    """Yield the folders of this user for what can be made again, the preferred one first."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser() if _has_home() else "")
    if Path(home).is_absolute():
        yield Path(home) / "ult"
    with contextlib.suppress(OSError):
        if (shared := Path(tempfile.gettempdir())) != Path.cwd():  # Python's last resort is the current folder
            yield shared / f"ult-{portable.user()}"


def _has_home() -> bool:
    try:
        return Path.home().is_absolute()
    except RuntimeError:  # neither $HOME nor a password entry names one
        return False


def ready(above: Path, name: str) -> Path | None:
    """Make the folder `name` in `above` if necessary; return it if this user can write to it and strangers cannot."""
    try:
        above.parent.mkdir(parents=True, exist_ok=True)
        above.mkdir(mode=0o755, exist_ok=True)
        above = above.resolve(strict=True)  # follows links once, so that later changes do not matter
        place = above / name
        if not _is_safe(above):
            return None
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)  # another process may make it too
        if place.is_symlink() or not _is_safe(place):
            return None
        tempfile.TemporaryFile(dir=place).close()
        os.utime(place)
    except OSError:
        return None
    return place


def _is_safe(real: Path) -> bool:
    """Return whether only this user, root and the owner of the source can add files there or move a parent folder."""
    return portable.only_trusted_can_write(real, PACKAGE.stat().st_uid)

"""The kernels in C, where they were built at install. Each has a twin in Numba, which does the same more slowly.

The library has plain functions and knows nothing of Python. It says of which sources it was made, and is left alone if
they are others than those beside it, as after a pull: `pip install` builds it again.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "native"


@functools.cache
def library() -> ctypes.PyDLL | None:
    """Return the library, whose calls hold Python's lock; None if it was not built, or was built of other sources."""
    for path in sorted(FOLDER.glob("kernels*")):
        try:
            found = ctypes.PyDLL(str(path))
            found.ult_sources.restype = ctypes.c_char_p
            if found.ult_sources() == sources(FOLDER).encode():
                return found
        except (OSError, AttributeError):  # of another system, or torn
            continue
    return None


def sources(folder: Path) -> str:
    """Return a digest of the sources in C in a folder, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for path in sorted([*folder.glob("*.c"), *folder.glob("*.h")]):
        found.update(b"%s\0%s\0" % (path.name.encode(), path.read_bytes()))
    return found.hexdigest()[:16]

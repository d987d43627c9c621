"""How the heap treats large blocks: whatever is freed goes back to the system at once."""

from __future__ import annotations

import os

_LARGE = 2**22  # bytes
_MMAP_THRESHOLD = -3  # of mallopt(3)


def give_back() -> None:
    """Have this process, and those that it starts, give large blocks back once they are freed.

    By itself glibc keeps blocks of up to 32 MiB and mimalloc, which Arrow asks, keeps more: with pieces of 16 MB that
    is 100 MB a process, in holes. Elsewhere than on glibc only Arrow is told, and only if it has not been loaded yet.
    """
    import ctypes

    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(_LARGE))  # for processes to come
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)

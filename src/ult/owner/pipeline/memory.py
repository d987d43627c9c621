"""Make glibc and Arrow return large freed blocks to the operating system, and Python look for circles seldom."""

from __future__ import annotations

import gc
import os

from ult.host import portable

_LARGE = 2**22  # bytes
_KEPT, _MORE = 2**26, 2**24  # bytes of small blocks that are kept, and asked for: the system clears each page it gives
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
_OBJECTS = 50_000  # new ones, after which Python looks for circles; by default 700, which took a fifth of `ult encode`


def return_freed_memory() -> None:
    """Make this process, and those that it starts, return large blocks to the operating system when they are freed.

    By default glibc keeps freed blocks of up to 32 MiB, and mimalloc, the allocator of Arrow, keeps more: with pieces
    of 16 MB these are 100 MB per process. With other C libraries only Arrow is set, and only if it is not loaded yet.
    Small blocks are kept up to a bound, which saves a quarter of the page faults of `ult encode`. Objects that refer to
    one another in a circle, of which there are few, are freed later.
    """
    gc.set_threshold(_OBJECTS)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    for name, value in (("MMAP_THRESHOLD", _LARGE), ("TRIM_THRESHOLD", _KEPT), ("TOP_PAD", _MORE)):
        os.environ.setdefault(f"MALLOC_{name}_", str(value))  # for processes that this one starts
    mallopt = portable.c_function("mallopt")
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_TOP_PAD, _MORE)

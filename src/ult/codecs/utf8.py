"""Whether bytes are UTF-8, and UTF-8 as lines."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends
from ult.host import native

_LINE_FEED = 10


def is_utf8(data: Any) -> bool:
    """Return whether bytes, or an array of uint8 (n,), are UTF-8, in which no surrogate stands."""
    library = native.library()
    if library is not None:
        found = np.frombuffer(data, np.uint8)
        return bool(library.ult_is_utf8(ctypes.c_void_p(found.ctypes.data), ctypes.c_int64(len(found))))
    try:
        return str(data, "utf-8") is not None
    except UnicodeDecodeError:
        return False


def as_lines(data: NDArray[np.uint8], ends: Ends) -> NDArray[np.uint8] | None:
    """Return texts that end at `ends` (r,) in UTF-8 as lines, (n + r,); None if one holds a line feed."""
    library = native.library()
    if library is None:
        return None if (data == _LINE_FEED).any() else np.insert(data, ends, _LINE_FEED)
    data, ends = np.ascontiguousarray(data), np.ascontiguousarray(ends, np.int64)
    out = np.empty(len(data) + len(ends), np.uint8)
    first, stops, to = (ctypes.c_void_p(one.ctypes.data) for one in (data, ends, out))
    return out if library.ult_put_lines(first, stops, ctypes.c_int64(len(ends)), to) else None

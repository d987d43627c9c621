"""Whether bytes are UTF-8."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ult.host import native


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

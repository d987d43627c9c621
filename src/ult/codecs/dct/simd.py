"""The instructions of `vectors` by name: Numba makes them, once a kernel that uses them is compiled."""

from __future__ import annotations

from typing import Any

from ult.host.kernel import Elsewhere

_HOME = "ult.codecs.dct.vectors"

add8: Any = Elsewhere(_HOME, "add8")
add16: Any = Elsewhere(_HOME, "add16")
replace8: Any = Elsewhere(_HOME, "replace8")
move8: Any = Elsewhere(_HOME, "move8")
pointer: Any = Elsewhere(_HOME, "pointer")
lowest: Any = Elsewhere(_HOME, "lowest")
ones: Any = Elsewhere(_HOME, "ones")
carray: Any = Elsewhere("numba", "carray")


def make_times(n: int, pitch: int) -> Any:
    """Return what `vectors.make_times` does."""
    return Elsewhere(_HOME, "make_times", n, pitch)

"""Whether machine code is being compiled: some seconds a command, once after an install or an upgrade."""

from __future__ import annotations

_under_way = 0  # functions, as one may be compiled for another


def begin() -> None:
    """Say that a function is being compiled."""
    global _under_way
    _under_way += 1


def end() -> None:
    """Say that a function has been compiled."""
    global _under_way
    _under_way = max(0, _under_way - 1)


def told(text: str) -> str:
    """Return the text of a line of progress, with a word on compiling while there is any.

    >>> begin(); told("fitting"); end(); told("fitting")
    'fitting (compiling, once after an install)'
    'fitting'
    """
    return f"{text} (compiling, once after an install)".lstrip() if _under_way else text

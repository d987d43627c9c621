"""Prepare the standard streams: open closed ones, escape what they cannot encode, and bear the loss of a reader."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

LOST = 141  # exit status when the reader has gone, as in `ult inspect ... | head`; a shell's status for SIGPIPE


def open_all() -> None:
    """Open closed standard streams (`>&-`) on /dev/null, and escape characters that an encoding does not have.

    Otherwise the next file to be opened would get the number of the closed stream, and prints would go into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(_open_null(number), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def lead_nowhere() -> None:
    """Redirect stdout to /dev/null after its reader has gone; otherwise Python prints an error when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def _open_null(number: int) -> int:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return number

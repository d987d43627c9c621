"""Standard streams that are there, can say anything, and may lose their reader."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

LOST = 141  # the exit status where nobody reads on, as in `ult inspect ... | head`: a shell's for an end by SIGPIPE


def open_all() -> None:
    """Lead streams that were closed (`>&-`) nowhere, and write what a stream's encoding has not as an escape.

    Of a closed stream the next file that is opened would take the number, and what is printed would be written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(_nothing(number), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def lead_nowhere() -> None:
    """Lead stdout nowhere once its reader has gone, or Python complains as it ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())  # type: ignore[union-attr]


def _nothing(number: int) -> int:
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    return number

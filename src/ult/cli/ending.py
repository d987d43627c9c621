"""How a command ends: an error becomes one line on stderr and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import typer

from ult.cli import console, signals
from ult.errors import UltError
from ult.host import streams


def report(error: BaseException) -> int:
    """Print an error as one line on stderr and return the exit status; raise an unexpected error again."""
    if isinstance(error, BrokenPipeError):
        return streams.LOST
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, BrokenPipeError):  # typer and rich turn it into an exit with status 1
            return streams.LOST
        return error.code if isinstance(error.code, int) else error.code is not None
    if isinstance(error, typer.Exit):
        return error.exit_code
    notes = "".join(f"\nhint: {note}" for note in getattr(error, "__notes__", ()))
    if (by := signals.ended_by()) not in (None, signal.SIGINT):
        return _line(f"ended by {by.name}" + notes, 128 + by)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return _line("interrupted" + notes, 130)
    if _is_usage(error):
        return _usage(error)
    if isinstance(error, UltError):
        return _line(error.what + (f"\nhint: {error.hint}" if error.hint else "") + notes, 1)
    if isinstance(error, OSError) and error.errno:
        return _line(f"{error.strerror or os.strerror(error.errno)}: {error.filename or 'while writing'}", 1)
    if isinstance(error, MemoryError):
        return _line("no memory left", 1)
    raise error


def _is_usage(error: BaseException) -> bool:
    """Return whether typer raised `error`, by its attributes: no version exports a base class of all its errors."""
    return callable(getattr(error, "format_message", None)) and isinstance(getattr(error, "exit_code", None), int)


def _usage(error: Any) -> int:
    """Print what is wrong with the command line; return the exit status."""
    if not hasattr(error, "ctx"):  # not a usage error
        return _line(error.format_message(), error.exit_code)
    error.show()
    return int(error.exit_code)


def _line(text: str, status: int) -> int:
    print(f"error: {console.plain(text)}", file=sys.stderr)
    return status

"""Printing by the commands: results on stdout, notes and progress on stderr."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ult.errors import UltWarning
from ult.host import bar
from ult.host.shown import count as count
from ult.host.shown import size as size

_CODES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control codes and surrogates
_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

counting = bar.counting


def plain(text: str) -> str:
    r"""Return lines of text with control codes escaped, because names of files and columns are untrusted.

    >>> plain("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _IN_LINES.sub(lambda code: ascii(code[0])[1:-1], text)


def say(text: str) -> None:
    """Print a line on what was done, on stdout, at once: whoever reads a pipe may wait for it."""
    print(plain(text), flush=True)


def note(text: str) -> None:
    """Print what the user should know, on stderr."""
    tell(f"note: {text}")


def tell(text: str) -> None:
    """Print a line on stderr."""
    print(plain(text), file=sys.stderr)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings of ours as notes meanwhile; others say where they come from, as Python has them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, UltWarning):
                note(str(message))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def watch(batches: Iterable[Any], doing: str) -> Iterator[Any]:
    """Yield the batches while counting their records on stderr."""
    with counting(doing) as advance:
        for batch in batches:
            yield batch
            advance(len(batch.records))


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns; markup and control codes in values have no effect."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid.grid(padding=(0, 2))
    for name, value in rows:
        text = _CODES.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else f"{value:,}"
        grid.add_row(f"[dim]{name}[/dim]", Text(text))
    show(grid)


def show(grid: Any) -> None:
    """Print a table of Rich on stdout."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(grid)

"""A progress bar below a notebook's cell, drawn by the browser; it needs neither widgets nor further packages."""

from __future__ import annotations

import html
import importlib
import sys
import time
from types import TracebackType
from typing import Any, Self

EVERY = 0.2  # seconds between two updates


def in_notebook() -> bool:
    """Return whether this process runs the cells of a notebook, of Jupyter or another program."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar below the running cell while a `with` block runs; it disappears if the block ends without an error."""

    def __init__(self, doing: str) -> None:
        self._doing, self._started, self._drawn = doing, time.perf_counter(), 0.0
        self._handle: Any = None

    def __enter__(self) -> Self:
        display = importlib.import_module("IPython.display")
        self._html = display.HTML
        self._handle = display.display(self._html(self._draw("", None, None)), display_id=True)
        return self

    def show(self, doing: str, text: str, done: int | None = None, total: int | None = None) -> None:
        """Draw the bar with `doing` and `text`, and `done` of `total` steps if these are known."""
        now, self._doing = time.perf_counter(), doing
        if self._handle is not None and (now - self._drawn >= EVERY or done == total is not None):
            self._drawn = now
            self._handle.update(self._html(self._draw(text, done, total)))

    def _draw(self, text: str, done: int | None, total: int | None) -> str:
        known = f' value="{done}" max="{total}"' if total else ""  # without, the bar moves to and fro
        seconds = f"{time.perf_counter() - self._started:,.0f} s"
        said = html.escape(", ".join(filter(None, (text, seconds))))
        return f"{html.escape(self._doing)} <progress{known}></progress> {said}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._handle is not None and error is None:
            self._handle.update(self._html(""))

"""Print a line about long work where no terminal shows a bar: every ten seconds at first, later every minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

FIRST, MOST = 10.0, 60.0  # seconds


class Pulse:
    """Prints the progress of work from time to time while its `with` block runs, after `FIRST` seconds at first."""

    def __init__(self, say: Callable[[str], None], text: Callable[[], str]) -> None:
        self._say, self._text = say, text
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Pulse:
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(pause(time.perf_counter() - self._started)):
            self._say(f"{self._text()}, {time.perf_counter() - self._started:,.0f} s")


def pause(seconds: float) -> float:
    """Return the seconds until the next line, for work that has taken `seconds`: a fifth of it, from `FIRST` to `MOST`.

    >>> pause(0), pause(100), pause(3600)
    (10.0, 20.0, 60.0)
    """
    return min(max(FIRST, seconds / 5), MOST)

"""The signals that end a command from outside end it as Ctrl-C does: what is half done is cleared away first."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

from ult.host.portable import ending_signals

_GRACE = 3.0  # seconds in which more of them, as shells and schedulers send, do not disturb the clearing away
_last = float("-inf")
_numbers: list[int] = []


class Terminated(KeyboardInterrupt):
    """A signal came; raised where the command was at."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def heed() -> None:
    """Let each of these signals raise `Terminated` in the main thread, but for those that are ignored, as by nohup."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ending_signals():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)


def ended_by() -> signal.Signals | None:
    """Return the first signal that came, None if none did; libraries make other errors of `Terminated`, as Ray does."""
    return signal.Signals(_numbers[0]) if _numbers else None


def _end(number: int, _frame: FrameType | None) -> None:
    global _last
    now, before = time.monotonic(), _last
    _numbers.append(number)
    _last = now
    if now - before > _GRACE:
        raise Terminated(number)

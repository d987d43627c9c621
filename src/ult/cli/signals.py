"""Handle the signals that end a command, such as SIGTERM, like Ctrl-C: unfinished output is removed first."""

from __future__ import annotations

import signal
import sys
import threading
import time
from types import FrameType

from ult.host.portable import ending_signals

_GRACE = 3.0  # seconds in which further signals, as shells and schedulers send, do not interrupt the removal
_MOMENT = 0.05  # seconds after which a signal that met deaf ears is raised again
_last = float("-inf")
_numbers: list[int] = []


class Terminated(KeyboardInterrupt):
    """Raised in the main thread when such a signal arrives."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def heed() -> None:
    """Make each of these signals raise `Terminated` in the main thread, except those that are ignored, as by nohup."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ending_signals():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end)
    sys.unraisablehook = _again


def ended_by() -> signal.Signals | None:
    """Return the first signal that arrived, or None; libraries such as Ray turn `Terminated` into other errors."""
    return signal.Signals(_numbers[0]) if _numbers else None


def _again(dropped: sys.UnraisableHookArgs) -> None:
    """Send a signal again that arrived in a destructor, where Python drops whatever is raised."""
    global _last
    if not isinstance(dropped.exc_value, Terminated):
        sys.__unraisablehook__(dropped)
        return
    _last = float("-inf")
    timer = threading.Timer(_MOMENT, signal.raise_signal, (dropped.exc_value.number,))
    timer.daemon = True
    timer.start()


def _end(number: int, _frame: FrameType | None) -> None:
    global _last
    now, before = time.monotonic(), _last
    _numbers.append(number)
    _last = now
    if now - before > _GRACE:
        raise Terminated(number)

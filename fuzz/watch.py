"""What a hostile input may do to a parser: be read, or be one of our errors, soon and in little memory."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from ult.errors import UltError

SECONDS = 2.0  # of processor time an input
MEMORY = 512 * 2**20  # bytes that an input may add to the most that the process ever held
ROOM = 3 * 2**30  # of addresses, beyond which whoever asks for memory gets none
HERE = Path(__file__).resolve().parent.parent


def limit() -> None:
    """Limit the addresses of this process to what it has and `ROOM`."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)


def watch(read: Callable[[bytes], object], data: bytes) -> tuple[bool, str]:
    """Read an input; return whether it was accepted, and what is wrong with how it was met, nothing if nothing is."""
    held, start, fault, accepted = peak(), time.process_time(), "", False
    try:
        read(data)
        accepted = True
    except UltError:
        pass
    except BaseException as error:
        fault = f"{type(error).__name__} at {place(error)}"
    if not fault and (spent := time.process_time() - start) > SECONDS:
        fault = f"{spent:.1f} s"
    if not fault and (grown := peak() - held) > MEMORY:
        fault = f"{grown / 2**20:.0f} MiB"
    return accepted, fault


def peak() -> int:
    """Return the most memory that this process ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def place(error: BaseException) -> str:
    """Return the last line of ours that an error passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/src/ult/" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"

"""One training on several processes, as torchrun and accelerate start them: an error of one ends all, said once."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from ult.host.extras import require

with require("torch", "accelerate", extra="train"):
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list, gather_object, parse_flag_from_env

PATIENCE = timedelta(days=1)  # how long processes wait for the main one, which packs the data; accelerate's is 30 min
_LOST = ("closed by peer", "connection reset", "broken pipe", "timed out waiting")  # what gloo says of a lost process


def join_processes() -> PartialState:
    """Join the other processes of this training, if there are any, and return where this one stands.

    CPUs are used where there is no accelerator, or where ACCELERATE_USE_CPU asks for them.
    """
    cpu = not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU")
    state = PartialState(cpu=cpu, timeout=PATIENCE)
    if state.backend == "gloo":
        atexit.register(_leave)
    return state


def _leave() -> None:
    # A process that ends while gloo's threads run may be aborted, whatever it achieved: 2 of 5 pairs of processes were.
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextmanager
def raise_on_all(state: PartialState) -> Iterator[None]:
    """Run a block on every process, and end all processes if it fails on one.

    The first process that failed raises its error. The others raise `SystemExit` and print nothing. The block must
    not contain a collective operation.
    """
    error: BaseException | None = None
    try:
        yield
    except Exception as caught:
        error = caught
    failed = [error is not None]
    if state.num_processes > 1:
        with collective(state):
            failed = gather_object(failed)
    if not any(failed):
        return
    if error is not None and failed.index(True) == state.process_index:
        raise error
    raise SystemExit(1)


@contextmanager
def collective(state: PartialState) -> Iterator[None]:
    """Run a block of collective operations. A process that has lost another one exits and prints nothing."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, torch.distributed.DistError) or any(sign in str(error).lower() for sign in _LOST)
        if state.num_processes > 1 and lost:
            raise SystemExit(1) from error
        raise


def broadcast(state: PartialState, value: Any) -> Any:
    """Return the main process's value on every process."""
    values = [value]
    if state.num_processes > 1:
        broadcast_object_list(values)
    return values[0]

"""Two processes of a command (CPU, gloo), forked from the tests' own: what a process imports takes longest."""

import multiprocessing
import os
import socket
import sys
import time

from accelerate.state import AcceleratorState

from ult.__main__ import main
from ult.trainer.workdir import partial_folder


def started(words, folder):
    """Start two processes of a command, as torchrun would; what is patched here is patched in them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_one, args=(rank, port, list(map(str, words)), folder)) for rank in "01"]
    for process in processes:
        process.start()
    return processes


def _one(rank, port, words, folder):
    """Be one of the processes."""
    AcceleratorState._reset_state(reset_partial_state=True)  # of trainings in this process before the fork
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank, "LOCAL_RANK": rank}
    sys.argv = ["ult", *words]
    with (folder / f"err{rank}").open("w", buffering=1) as sys.stderr:
        main()


def ended(processes, folder):
    """Wait for both; return their exit statuses and what they printed on stderr."""
    for process in processes:
        process.join(120)
    return [process.exitcode for process in processes], "".join((folder / f"err{rank}").read_text() for rank in "01")


def two(words, folder):
    """Run two processes of a command to their end; return their exit statuses and what they printed on stderr."""
    return ended(started(words, folder), folder)


def wait_for_a_checkpoint(processes, out, folder):
    """Wait until a training to `out` has a checkpoint, while both processes live."""
    while not list(partial_folder(out).glob("checkpoint-*/trainer_state.json")):
        assert all(process.is_alive() for process in processes), ended(processes, folder)
        time.sleep(0.05)

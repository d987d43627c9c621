"""Map a function over pieces: in this process, or in several of this machine; which one changes no answer.

`cluster` has another engine, on the nodes of a Ray cluster.

An engine's `map(prepare, state, pieces)` calls `prepare(*state)` once in every worker and what that returned with the
arguments of each piece; it gives the number of a piece and its answer, as they come. A piece that is done twice, by a
worker that was lost and by another, must give the same answer. `state`, answers and pieces pass between processes of
one owner, through pipes or sealed, and never touch a disk in the clear: a secret among them is handed over as bytes, on
purpose.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import connection, get_context
from typing import Any, Protocol

from ult.errors import EngineError
from ult.host import portable

Work = Callable[..., Any]
Piece = tuple[int, tuple[Any, ...]]  # its number, and the arguments of the work
_LOST = "a worker process ended before its work; perhaps there was no memory left"
_GRACE = 0.2  # seconds
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Engine(Protocol):
    """What runs work on pieces."""

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Give number and answer of each piece, in any order; an error of the work is raised.

        Closing the generator ends the workers.
        """


class Local:
    """The processes of this machine: `workers` of them, all cores by default. One, or one piece, needs no other."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = portable.cpus() if workers is None else workers

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Give number and answer of each piece, as they come. Raises `EngineError` if a worker is lost."""
        pieces = iter(pieces)
        start = list(itertools.islice(pieces, 2 if self.workers > 1 else 1))
        alone, pieces = len(start) < 2, itertools.chain(start, pieces)
        del start  # or two pieces stay in memory
        if not alone:
            yield from _spread(prepare, state, pieces, self.workers)
            return
        work = prepare(*state)
        for number, arguments in pieces:
            yield number, work(*arguments)


def _spread(
    prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece], workers: int
) -> Iterator[tuple[int, Any]]:
    """Give every idle worker a piece; no more than one each and one at hand, so memory stays bounded."""
    processes: list[Any] = []
    idle: list[connection.Connection] = []
    busy: dict[connection.Connection, int] = {}
    try:
        for _ in range(workers):
            process, pipe = _start()
            processes.append(process)
            idle.append(pipe)
        for pipe in idle:
            _send(pipe, (prepare, state))
        for number, arguments in pieces:
            while not idle:
                yield from _collect(busy, idle)
            pipe = idle.pop()
            busy[pipe] = number
            _send(pipe, arguments)
            del arguments  # the next piece is read while this one is worked on
        while busy:
            yield from _collect(busy, idle)
    finally:
        for pipe in (*idle, *busy):
            pipe.close()
        for process in processes:
            process.terminate()
            process.join()
            process.close()


def _start() -> tuple[Any, connection.Connection]:
    """Start a worker: a fresh interpreter that has nothing of ours but its end of a pipe, and ends when it closes."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    # Ctrl-C reaches all processes of a terminal; the worker's part of it is that the pipe closes. The others may end it
    # once it has begun, and Python must not complain before.
    try:
        with portable.blocked(portable.ending_signals()):
            process.start()
    finally:
        theirs.close()
    return process, ours


def _serve(pipe: connection.Connection) -> None:
    portable.unblock(set(portable.ending_signals()) - {signal.SIGINT})
    for name in _ONE_THREAD:  # of each of as many processes as there are cores
        os.environ.setdefault(name, "1")
    try:
        prepare, state = pipe.recv()
        work = None
        while True:
            arguments = pipe.recv()
            answer = error = None
            try:
                work = work or prepare(*state)
                answer = work(*arguments)
            except Exception as met:
                error = met
            pipe.send((answer, error))
    except (EOFError, OSError):  # the owner's process has ended, or wants no more
        return


def _send(pipe: connection.Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        _await_end()
        raise EngineError(_LOST, hint="--workers 1") from None


def _await_end() -> None:
    time.sleep(_GRACE)  # the signal that ended a worker may have been sent to all, and is then to end this process


def _collect(busy: dict[connection.Connection, int], idle: list[connection.Connection]) -> Iterator[tuple[int, Any]]:
    for pipe in connection.wait(list(busy)):
        if pipe not in busy:  # a PipeConnection on Windows
            raise AssertionError("only connections are waited for")
        try:
            answer, error = pipe.recv()
        except (EOFError, OSError):
            _await_end()
            raise EngineError(_LOST, hint="--workers 1") from None
        if error is not None:
            raise error
        idle.append(pipe)
        yield busy.pop(pipe), answer

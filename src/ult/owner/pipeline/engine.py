"""Map a function over pieces, in this process or in several processes of this machine. Both give the same answers.

`ray_engine` has another engine, which runs on the nodes of a Ray cluster.

An engine's `map(prepare, state, pieces)` calls `work = prepare(*state)` once in every worker, and then `work` with the
arguments of each piece. It yields the number and the answer of each piece as soon as it is done. A piece may be done
twice, if a worker is lost; the second answer must be the same. State, pieces and answers pass between processes of one
owner, through pipes or encrypted, and are never on a disk unencrypted. A table cannot be pickled, so that a secret is
in them only if the caller passes it as bytes on purpose.
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
Piece = tuple[int, tuple[Any, ...]]  # the number of the piece, and the arguments of the work
_LOST = "a worker process ended before its work; perhaps there was no memory left"
_GRACE = 0.2  # seconds to wait for a signal
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Engine(Protocol):
    """Runs work on pieces; `spread` says whether perhaps on several machines."""

    spread: bool

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield the number and the answer of each piece, in any order. Raises any error that the work raises.

        Closing the generator ends the workers.
        """


class Local:
    """Runs work in `workers` processes of this machine, one per core by default.

    With one worker or a single piece, the work runs in this process. No piece begins that is more than `ahead` after
    the first one that is not done, so that a caller who needs them in order holds few answers.
    """

    spread = False

    def __init__(self, workers: int | None = None, *, ahead: int | None = None) -> None:
        self.workers = portable.cpus() if workers is None else workers
        self._ahead = ahead

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield the number and the answer of each piece as it is done. Raises `EngineError` if a worker is lost."""
        pieces = iter(pieces)
        start = list(itertools.islice(pieces, 2 if self.workers > 1 else 1))
        alone, pieces = len(start) < 2, itertools.chain(start, pieces)
        del start  # otherwise two pieces stay in memory
        if not alone:
            yield from _run_in_workers(prepare, state, pieces, self.workers, self._ahead)
            return
        work = prepare(*state)
        for number, arguments in pieces:
            yield number, work(*arguments)


def in_order(answers: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Yield the answers of pieces 0, 1, 2 and so on in this order; those that come early wait in memory."""
    done, wanted = dict[int, Any](), 0
    for number, answer in answers:
        done[number] = answer
        del answer
        while wanted in done:
            yield done.pop(wanted)
            wanted += 1


def _run_in_workers(
    prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece], workers: int, ahead: int | None
) -> Iterator[tuple[int, Any]]:
    """Send a piece to every idle worker. Memory stays bounded: one piece per worker, and one that is read ahead."""
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
            while not idle or (ahead is not None and number - min(busy.values(), default=number) > ahead):
                yield from _collect(busy, idle)
            pipe = idle.pop()
            busy[pipe] = number
            _send(pipe, arguments)
            del arguments  # frees this piece before the next one is read
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
    """Start a worker and return it with our end of a pipe.

    The worker is a new interpreter that inherits nothing but its end of the pipe, and that ends when our end closes.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    # Ctrl-C reaches all processes of a terminal. A worker blocks it and ends when the pipe closes. Other ending
    # signals may end a worker, but only once its Python has started: before, it would print an error.
    try:
        with portable.blocked(portable.ending_signals()):
            process.start()
    finally:
        theirs.close()
    return process, ours


def _serve(pipe: connection.Connection) -> None:
    portable.unblock(set(portable.ending_signals()) - {signal.SIGINT})
    for name in _ONE_THREAD:  # there is a process for each core, so each of them needs only one thread
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
    except (EOFError, OSError):  # the main process has ended or has closed the pipe
        return


def _send(pipe: connection.Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        _wait_for_signal()
        raise EngineError(_LOST, hint="--workers 1") from None


def _wait_for_signal() -> None:
    """Wait, because the signal that ended a worker may have been sent to this process too, and should then end it."""
    time.sleep(_GRACE)


def _collect(busy: dict[connection.Connection, int], idle: list[connection.Connection]) -> Iterator[tuple[int, Any]]:
    for pipe in connection.wait(list(busy)):
        if pipe not in busy:  # never; it narrows the declared type (a PipeConnection on Windows)
            raise AssertionError("only connections are waited for")
        try:
            answer, error = pipe.recv()
        except (EOFError, OSError):
            _wait_for_signal()
            raise EngineError(_LOST, hint="--workers 1") from None
        if error is not None:
            raise error
        idle.append(pipe)
        yield busy.pop(pipe), answer

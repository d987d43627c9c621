"""Map a function over pieces on the nodes of a Ray cluster: one that is there, or one started on this machine.

Ray moves state, pieces and answers over the network, keeps them in shared memory and, when that is full, on the disks
of the nodes. So all of them are sealed before Ray has them, with a key that is made for the job and lives in memory
alone: it travels in each task's arguments, where Ray keeps what is small. Who runs the cluster can read the key, so
nodes must be the owner's (`docs/threats.md`).

A piece whose worker or node is lost is done again elsewhere, by us rather than by Ray, which would not tell a node
that died from a piece that kills its worker each time.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from multiprocessing.reduction import ForkingPickler  # what the pipe of a local worker pickles with
from pathlib import Path
from typing import Any, NamedTuple

from ult.distribution import NAME, __version__, build
from ult.errors import EngineError
from ult.host import portable
from ult.host.extras import require
from ult.owner import keyfile
from ult.owner.pipeline.engine import Piece, Work

TRIES = 8  # a piece that is lost with its worker so many times is likely what ends the workers
_AHEAD = 2  # tasks a CPU: one that runs, and one at hand
_NO_CPU = 600  # seconds without any CPU in the cluster; a cluster that grows on demand needs minutes
_FIRST_WORD = 10  # seconds
_HERE = "local"  # what Ray calls a cluster of its own on this machine
_PREPARED: dict[str, Work] = {}  # in a worker: the work of the job that it serves, by the key of the job


class Ray:
    """The cluster at `address`, or where RAY_ADDRESS points, or one of this machine that ends with the work.

    `workers` bounds the tasks in flight, two a CPU by default, and is the size of a cluster that is started. A
    connection that this process has to Ray already is used and kept.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None) -> None:
        self.address, self.workers = address, workers

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Give number and answer of each piece, as they come.

        Raises `EngineError` if Ray cannot be reached or a piece is lost again and again, `MissingExtra` without Ray.
        """
        with _connected(self.address, self.workers) as ray:
            try:
                yield from _Job(ray, prepare, state, self.workers).run(pieces)
            except ray.exceptions.RayError as error:
                raise EngineError(f"the Ray cluster failed: {type(error).__name__}", hint="run it again") from None


class _Task(NamedTuple):
    """A piece in flight: its number, where Ray has it, its bytes there, and how often it was lost."""

    number: int
    piece: Any
    nbytes: int
    lost: int


class _Job:
    """One call of `map`. `waiting` has the tasks in flight, by what Ray will put their answers under."""

    def __init__(self, ray: Any, prepare: Callable[..., Work], state: tuple[Any, ...], workers: int | None) -> None:
        self.ray, self.workers = ray, workers
        self.key = keyfile.session_key()
        self.waiting: dict[Any, _Task] = {}
        self.seen = time.monotonic()  # when the cluster last had a CPU
        self.task = ray.remote(num_cpus=1, max_retries=0)(_work)
        self.state = ray.put(_seal((prepare, state, str(Path.cwd())), self.key))
        here = ray.get_runtime_context().get_node_id()
        stores = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["NodeID"] == here]
        self.store = int(sum(stores)) // 2  # bytes; pieces lie in the store of this node until they are done

    def run(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, Any]]:
        try:
            for number, arguments in pieces:
                sealed = _seal(arguments, self.key)
                del arguments
                while self.is_full(len(sealed)):
                    yield from self.collect()
                self.submit(_Task(number, self.ray.put(sealed), len(sealed), 0))
                del sealed  # the next piece is read while this one is worked on
            while self.waiting:
                yield from self.collect()
        finally:
            self.cancel()

    def is_full(self, nbytes: int) -> bool:
        """Return whether a piece of `nbytes` must wait; nodes may have come or gone since the last one."""
        held = sum(task.nbytes for task in self.waiting.values())
        limit = self.workers or max(1, _AHEAD * int(self.cpus()))
        return bool(self.waiting) and (len(self.waiting) >= limit or held + nbytes > self.store)

    def cpus(self) -> float:
        found = float(self.ray.cluster_resources().get("CPU", 0))
        if found:
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > _NO_CPU:
            raise EngineError("the Ray cluster has no CPU left", hint="add a node and run it again")
        return found

    def submit(self, task: _Task) -> None:
        answer = self.task.remote(self.key, _versions(), self.state, task.piece)
        self.waiting[answer] = task

    def collect(self) -> Iterator[tuple[int, Any]]:
        """Give the next answer, or nothing if there is none within a second."""
        ready, _ = self.ray.wait(list(self.waiting), num_returns=1, timeout=1)
        if not ready:
            self.cpus()
        for found in ready:
            task = self.waiting.pop(found)
            try:
                answer, error = _open(self.ray.get(found), self.key)
            except self.ray.exceptions.RayTaskError as met:  # not of the work, whose errors are answers
                raise EngineError(
                    f"a node of the Ray cluster cannot run ult: {type(met.cause).__name__}",
                    hint=f"on every node the same Python and {NAME} {__version__}",
                ) from None
            except self.ray.exceptions.RayError as met:
                self.again(task, type(met).__name__)
                continue
            if error is not None:
                raise error
            yield task.number, answer

    def again(self, task: _Task, how: str) -> None:
        """Submit a piece again whose worker, node or answer was lost."""
        if task.lost + 1 == TRIES:
            raise EngineError(
                f"a piece was lost {TRIES} times with its worker, at last by {how}; perhaps there was no memory left",
                hint="fewer --workers",
            )
        time.sleep(task.lost)  # at first not at all; a node that is dying gets time to be found dead
        self.submit(task._replace(lost=task.lost + 1))

    def cancel(self) -> None:
        """End the tasks in flight, so that none writes once `map` is left."""
        if self.waiting and self.ray.is_initialized():
            for answer in self.waiting:
                self.ray.cancel(answer, force=True)
            self.ray.wait(list(self.waiting), num_returns=len(self.waiting), timeout=5)


def _work(key: str, versions: tuple[str, ...], state: bytes, piece: bytes) -> bytes:
    """Run in a worker: the work on a piece, prepared once; return the sealed pair of answer and error."""
    answer = error = None
    try:
        if key not in _PREPARED:
            if versions != _versions():
                raise EngineError(
                    f"a node of the Ray cluster has {' and '.join(_versions())}; here it is {' and '.join(versions)}",
                    hint="the same versions on every node",
                )
            prepare, arguments, folder = _open(state, key)
            with suppress(OSError):
                os.chdir(folder)  # so that names of files mean what they mean here
            _PREPARED.clear()
            _PREPARED[key] = prepare(*arguments)
        answer = _PREPARED[key](*_open(piece, key))
    except Exception as met:
        error = met
    return _seal((answer, error), key)


def _versions() -> tuple[str, ...]:
    """Return the versions that decide the bytes of an answer."""
    return f"ult {__version__} (build {build()})", f"pyarrow {version('pyarrow')}"


def _seal(content: Any, key: str) -> bytes:
    return keyfile.seal(bytes(ForkingPickler.dumps(content)), key)


def _open(sealed: bytes, key: str) -> Any:
    return ForkingPickler.loads(keyfile.unseal(sealed, key))


# ---- the connection


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Give Ray, connected; a connection that was made here ends here."""
    given, address = address, address or os.environ.get("RAY_ADDRESS") or _HERE
    if "ray" not in sys.modules:  # it reads its environment as it is imported
        _set_environment(here=address == _HERE)
    with require("ray", extra="ray"):
        import ray
    if ray.is_initialized():
        there = ray.get_runtime_context().gcs_address
        if given not in (None, "auto", there):
            raise EngineError(f"this process is connected to the Ray cluster at {there}, not {given}")
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    folder = None
    if address == _HERE:
        # A path that is short enough for sockets, as Ray's own /tmp/ray, but not for every user to read.
        folder = tempfile.mkdtemp(prefix="ult-ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108
        cpus = workers or portable.cpus()
        options |= {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": folder}
    else:
        _check_there(address)
    worker = ray._private.worker
    printing = getattr(worker, "print_to_stdstream", _ignore)
    worker.print_to_stdstream = _ignore
    ending = signal.getsignal(signal.SIGTERM)
    try:
        try:
            with _without_secrets():
                ray.init(address=address, **options)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, ending)  # Ray's would exit 1 without a word
        except Exception as error:  # of a dozen types
            ours = _unreached(address, error)
            raise ours from None
        yield ray
    finally:
        ray.shutdown()
        worker.print_to_stdstream = printing
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _without_secrets() -> Iterator[None]:
    """Hide the passphrase from what is started: daemons keep their environment, and hand it to whatever they run."""
    held = {name: os.environ.pop(name) for name in list(os.environ) if name == "ULT_PASSPHRASE"}
    try:
        yield
    finally:
        os.environ.update(held)


def _set_environment(*, here: bool) -> None:
    """Keep Ray from calling home, and a cluster that starts here to ourselves.

    Ray listens on all networks and runs what it is told; without a token of ours it would write one below $HOME.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if here and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _ignore(*_: Any, **__: Any) -> None:
    """Stand in for what prints the last logs of a node that dies on stdout, whatever `log_to_driver` says."""


def _check_there(address: str) -> None:
    """Raise `EngineError` if nothing listens at HOST:PORT, which Ray would find out in two minutes."""
    if "://" in address:
        raise EngineError(f"{address} is no address of a cluster; expected HOST:PORT", hint="--address HOST:6379")
    host, _, port = address.rpartition(":")
    try:
        if address != "auto":
            socket.create_connection((host.strip("[]"), int(port)), timeout=_FIRST_WORD).close()
    except (OSError, ValueError, OverflowError) as error:
        ours = _unreached(address, error)
        raise ours from None


def _unreached(address: str, error: Exception) -> EngineError:
    if address == _HERE:
        return EngineError(f"Ray does not start on this machine: {type(error).__name__}", hint="--engine local")
    return EngineError(
        f"there is no Ray cluster at {address}, or it does not know this machine: {type(error).__name__}",
        hint="run this on a node of it, with RAY_AUTH_TOKEN if it wants one",
    )

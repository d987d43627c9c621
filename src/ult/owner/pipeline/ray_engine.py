"""Map a function over pieces on the nodes of a Ray cluster: a running one, or one started on this machine.

Ray moves state, pieces and answers over the network and keeps them in shared memory or, when that is full, on the disks
of the nodes. So all of them are encrypted before they are given to Ray, with a key that is made for the job. The key is
in memory only: it is an argument of each task, and Ray keeps small arguments in the task itself. Whoever runs the
cluster can read the key, so the nodes must be the owner's (`docs/threats.md`).

A piece whose worker or node is lost is submitted again by this module rather than by Ray, because Ray would not
distinguish a node that died from a piece that kills its worker each time.
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
from multiprocessing.reduction import ForkingPickler  # the pickler of the pipes of local workers
from pathlib import Path
from typing import Any, NamedTuple

from ult.errors import EngineError
from ult.host import portable
from ult.host.distribution import NAME, __version__, build
from ult.host.extras import require
from ult.owner import keyfile
from ult.owner.pipeline.engine import Piece, Work

TRIES = 8  # a piece that is lost with its worker so many times probably ends the workers itself
_TASKS_PER_CPU = 2  # tasks per CPU: one that runs and one that waits
_NO_CPU = 600  # seconds without any CPU in the cluster; a cluster that grows on demand needs minutes
_CONNECT_SECONDS = 10  # seconds to wait for a connection
_NEW_CLUSTER = "local"  # Ray's name for a new cluster on this machine
_PREPARED: dict[str, Work] = {}  # in a worker: the prepared work of the present job, by the key of the job


class Ray:
    """Runs work on the Ray cluster at `address`, else at RAY_ADDRESS, else on one that is started here for the work.

    `workers` bounds the tasks in flight, which are two per CPU by default; a cluster that is started here has so many
    CPUs. If this process is connected to Ray already, that connection is used and left open.
    """

    spread = True

    def __init__(self, address: str | None = None, *, workers: int | None = None) -> None:
        self.address, self.workers = address, workers

    def map(
        self, prepare: Callable[..., Work], state: tuple[Any, ...], pieces: Iterable[Piece]
    ) -> Generator[tuple[int, Any], None, None]:
        """Yield the number and the answer of each piece as it is done.

        Raises `EngineError` if Ray cannot be reached or a piece is lost `TRIES` times, `MissingExtra` without Ray, and
        any error that the work raises.
        """
        with _connected(self.address, self.workers) as ray:
            try:
                yield from _Job(ray, prepare, state, self.workers).run(pieces)
            except ray.exceptions.RayError as error:
                raise EngineError(f"the Ray cluster failed: {type(error).__name__}", hint="run it again") from None


class _Task(NamedTuple):
    """A piece in flight: its number, Ray's reference to it, its encrypted size in bytes, and how often it was lost."""

    number: int
    piece: Any
    nbytes: int
    lost: int


class _Job:
    """One call of `map`. `waiting` holds the tasks in flight, by Ray's references to their future answers."""

    def __init__(self, ray: Any, prepare: Callable[..., Work], state: tuple[Any, ...], workers: int | None) -> None:
        self.ray, self.workers = ray, workers
        self.key = keyfile.session_key()
        self.waiting: dict[Any, _Task] = {}
        self.cpu_seen = time.monotonic()  # when the cluster last had a CPU
        self.task = ray.remote(num_cpus=1, max_retries=0)(_work)
        self.state = ray.put(_seal((prepare, state, str(Path.cwd())), self.key))
        here = ray.get_runtime_context().get_node_id()
        stores = [node["Resources"].get("object_store_memory", 0) for node in ray.nodes() if node["NodeID"] == here]
        self.store = int(sum(stores)) // 2  # bytes; this node's object store holds pieces until they are done

    def run(self, pieces: Iterable[Piece]) -> Iterator[tuple[int, Any]]:
        try:
            for number, arguments in pieces:
                sealed = _seal(arguments, self.key)
                del arguments
                while self.is_full(len(sealed)):
                    yield from self.collect()
                self.submit(_Task(number, self.ray.put(sealed), len(sealed), 0))
                del sealed  # frees this piece before the next one is read
            while self.waiting:
                yield from self.collect()
        finally:
            self.cancel()

    def is_full(self, nbytes: int) -> bool:
        """Return whether a piece of `nbytes` must wait; asked for each piece, because nodes may come and go."""
        held = sum(task.nbytes for task in self.waiting.values())
        limit = self.workers or max(1, _TASKS_PER_CPU * int(self.cpus()))
        return bool(self.waiting) and (len(self.waiting) >= limit or held + nbytes > self.store)

    def cpus(self) -> float:
        found = float(self.ray.cluster_resources().get("CPU", 0))
        if found:
            self.cpu_seen = time.monotonic()
        elif time.monotonic() - self.cpu_seen > _NO_CPU:
            raise EngineError("the Ray cluster has no CPU left", hint="add a node and run it again")
        return found

    def submit(self, task: _Task) -> None:
        answer = self.task.remote(self.key, _versions(), self.state, task.piece)
        self.waiting[answer] = task

    def collect(self) -> Iterator[tuple[int, Any]]:
        """Yield the next answer, or nothing if there is none within a second."""
        ready, _ = self.ray.wait(list(self.waiting), num_returns=1, timeout=1)
        if not ready:
            self.cpus()
        for found in ready:
            task = self.waiting.pop(found)
            try:
                answer, error = _open(self.ray.get(found), self.key)
            except self.ray.exceptions.RayTaskError as met:  # not an error of the work; those are in the answers
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
        """Submit a piece again after its worker, node or answer was lost; `how` names Ray's error.

        Raises `EngineError` after `TRIES` losses.
        """
        if task.lost + 1 == TRIES:
            raise EngineError(
                f"a piece was lost {TRIES} times with its worker, at last by {how}; perhaps there was no memory left",
                hint="fewer --workers",
            )
        time.sleep(task.lost)  # seconds, 0 at first; later Ray needs time to notice that a node is dead
        self.submit(task._replace(lost=task.lost + 1))

    def cancel(self) -> None:
        """End the tasks in flight, so that none of them writes after `map` has ended."""
        if self.waiting and self.ray.is_initialized():
            for answer in self.waiting:
                self.ray.cancel(answer, force=True)
            self.ray.wait(list(self.waiting), num_returns=len(self.waiting), timeout=5)


def _work(key: str, versions: tuple[str, ...], state: bytes, piece: bytes) -> bytes:
    """Do the work on one piece, in a worker, and return the encrypted pair of answer and error.

    The work is prepared at the first piece of a job, and kept.
    """
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
                os.chdir(folder)  # so that relative paths mean the same as in the main process
            _PREPARED.clear()
            _PREPARED[key] = prepare(*arguments)
        answer = _PREPARED[key](*_open(piece, key))
    except Exception as met:
        error = met
    return _seal((answer, error), key)


def _versions() -> tuple[str, ...]:
    """Return the versions of the packages on which the bytes of an answer depend."""
    return f"ult {__version__} (build {build()})", f"pyarrow {version('pyarrow')}"


def _seal(content: Any, key: str) -> bytes:
    return keyfile.seal(bytes(ForkingPickler.dumps(content)), key)


def _open(sealed: bytes, key: str) -> Any:
    return ForkingPickler.loads(keyfile.unseal(sealed, key))


# ---- the connection


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster; a connection that is made here is closed at the end."""
    given, address = address, address or os.environ.get("RAY_ADDRESS") or _NEW_CLUSTER
    if "ray" not in sys.modules:  # Ray reads the environment when it is imported
        _set_environment(here=address == _NEW_CLUSTER)
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
    if address == _NEW_CLUSTER:
        # The path must be short enough for sockets, as Ray's own /tmp/ray is; unlike that, only this user can read it.
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
                signal.signal(signal.SIGTERM, ending)  # Ray's handler would exit with 1 and no message
        except Exception as error:  # Ray raises a dozen types
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
    """Remove the passphrase from the environment while daemons start, which keep it and pass it to all they run."""
    held = {name: os.environ.pop(name) for name in list(os.environ) if name == "ULT_PASSPHRASE"}
    try:
        yield
    finally:
        os.environ.update(held)


def _set_environment(*, here: bool) -> None:
    """Turn off Ray's usage statistics, and protect a cluster that starts here with a token.

    Ray listens on all networks and runs whatever it is sent. Without a token from here it would write one below $HOME.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if here and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _ignore(*_: Any, **__: Any) -> None:
    """Replace Ray's function that prints the last logs of a dying node on stdout, even without `log_to_driver`."""


def _check_there(address: str) -> None:
    """Raise `EngineError` if nothing listens at HOST:PORT; Ray itself would take two minutes to say so."""
    if "://" in address:
        raise EngineError(f"{address} is no address of a cluster; expected HOST:PORT", hint="--address HOST:6379")
    host, _, port = address.rpartition(":")
    try:
        if address != "auto":
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        ours = _unreached(address, error)
        raise ours from None


def _unreached(address: str, error: Exception) -> EngineError:
    if address == _NEW_CLUSTER:
        return EngineError(f"Ray does not start on this machine: {type(error).__name__}", hint="--engine local")
    return EngineError(
        f"there is no Ray cluster at {address}, or it does not know this machine: {type(error).__name__}",
        hint="run this on a node of it, with RAY_AUTH_TOKEN if it wants one",
    )

"""How a group's server and its owners talk: HTTPS with certificates on both sides, by the standard library alone.

An owner asks for its next task and sends back what it made of it; the server never calls an owner, so an owner needs no
open port. The name in an owner's certificate is its name in the group. Without certificates a server listens on this
machine alone, for trying out.

What a server asks and what owners answer are bytes. Nothing that is sent is run, and nothing longer than a body is
read.
"""

from __future__ import annotations

import http.client
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, MissingSource, OutputError, TrainingError
from ult.trainer.callbacks.progress import say
from ult.trainer.federated.plan import NAME

HERE = ("127.0.0.1", "localhost", "::1")
POLL = 10.0  # seconds that a question for a task waits on the server
PAUSE = 0.5  # seconds between an owner's tries to reach it
_TASK, _OWNER = "X-Ult-Task", "X-Ult-Owner"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files: the root that signed everybody's certificate, and one's own certificate with its key."""

    root: Path
    certificate: Path
    key: Path

    def context(self, *, server: bool) -> ssl.SSLContext:
        """Return what checks the other side and shows one's own certificate. Raises `MissingSource`."""
        purpose = ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH
        try:
            context = ssl.create_default_context(purpose, cafile=str(self.root))
            context.load_cert_chain(str(self.certificate), str(self.key))
        except (OSError, ssl.SSLError) as error:
            raise MissingSource(
                f"{self.root}, {self.certificate} and {self.key} are no root, certificate and key: {error}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def parsed(address: str) -> tuple[str, int]:
    """Return the host and the port of an address. Raises `InvalidConfig`."""
    host, _, port = address.rpartition(":")
    if not host or (number := _number(port)) is None or number >= 2**16:
        raise InvalidConfig(f"address is {address!r:.80}; expected HOST:PORT", hint="127.0.0.1:8443")
    return host.strip("[]"), number


def _number(text: str) -> int | None:
    """Return a whole number of a few digits, of an address or a header; None for anything else."""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


def check_place(host: str, certificates: Certificates | None) -> None:
    """Raise `InvalidConfig` where others could listen or join because nobody shows a certificate."""
    if certificates is None and host not in HERE:
        raise InvalidConfig(
            f"{host} is not this machine, and no certificates were given",
            hint="--root ca.pem --certificate me.pem --key me.key, or 127.0.0.1:PORT to try it out",
        )


class Desk:
    """The server's side: gives each owner its next task, and waits for what they answer."""

    def __init__(self, owners: Sequence[str], most: int) -> None:
        self.owners, self.most = tuple(owners), most  # most bytes of an answer
        self.session = secrets.token_hex(8)  # tasks of a server that was killed are none of this one's
        self.sent = self.received = 0  # bytes
        self._change = threading.Condition()
        self._number = 0
        self._tasks: dict[str, tuple[str, bytes]] = {}
        self._answers: dict[str, bytes] = {}
        self._lost: set[str] = set()  # owners who did not answer a question, and have not been seen since

    def ask(self, tasks: Mapping[str, bytes], patience: float | None = None, least: int = 0) -> dict[str, bytes]:
        """Give each owner its task; return the answers of all, or of those who answered within `patience` seconds.

        With `least` it goes on waiting until so many have answered, and does not wait for owners who were lost before
        and have asked for nothing since.
        """
        with self._change:
            self._number += 1
            self._answers = {}
            self._tasks = {owner: (f"{self.session}-{self._number}", task) for owner, task in tasks.items()}
            self._change.notify_all()

            def enough() -> bool:
                return len(self._answers) >= least

            def done() -> bool:
                return enough() and set(tasks) <= set(self._answers) | (self._lost if least else set())

            if not self._change.wait_for(done, patience):
                self._change.wait_for(enough)
            self._lost = (self._lost | set(tasks)) - set(self._answers)
            self._tasks = {}
            return dict(self._answers)

    def next(self, owner: str) -> tuple[str, bytes] | None:
        """Return the number and the bytes of an owner's task; None if there is none within some seconds."""

        def waiting() -> bool:
            return owner in self._tasks and owner not in self._answers

        with self._change:
            self._lost.discard(owner)
            if not self._change.wait_for(waiting, POLL):
                return None
            self.sent += len(self._tasks[owner][1])
            return self._tasks[owner]

    def answer(self, owner: str, task: str, data: bytes) -> bool:
        """Take an owner's answer; return whether it was asked for."""
        with self._change:
            if owner not in self._tasks or self._tasks[owner][0] != task or owner in self._answers:
                return False
            self.received += len(data)
            self._answers[owner] = data
            self._change.notify_all()
            return True


class _Quiet(ThreadingHTTPServer):
    """A server that says nothing of strangers, nor of owners who hang up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the owner will ask again, and nobody else is served."""


class Served:
    """A `Desk` at an address, until the `with` block ends."""

    def __init__(self, desk: Desk, address: str, certificates: Certificates | None) -> None:
        host, port = parsed(address)
        check_place(host, certificates)
        context = certificates.context(server=True) if certificates else None
        try:
            self._server = _Quiet((host, port), _handler(desk))
        except OSError as error:
            raise OutputError(f"cannot listen at {address}: {error.strerror or error}") from error
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Served:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(desk: Desk) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers owners of the group, and nobody else."""

        protocol_version = "HTTP/1.1"
        timeout = 60  # seconds, of a connection that says nothing
        server_version, sys_version = "ult", ""

        def do_GET(self) -> None:
            """Give an owner its next task."""
            if (owner := self._owner()) is not None:
                found = desk.next(owner)
                self._reply(204 if found is None else 200, *(found or ("", b"")))

        def do_POST(self) -> None:
            """Take what an owner made of its task."""
            owner, length = self._owner(), _number(self.headers.get("Content-Length", ""))
            if owner is None:
                return
            if length is None or length > desk.most:
                self.close_connection = True
                self._reply(413)
                return
            data = self.rfile.read(length)
            taken = len(data) == length and desk.answer(owner, self.headers.get(_TASK, ""), data)
            self._reply(200 if taken else 409)

        def _owner(self) -> str | None:
            connection: Any = self.connection
            if isinstance(connection, ssl.SSLSocket):
                names = [v for part in (connection.getpeercert() or {}).get("subject", ()) for k, v in part  # type: ignore[str-unpack]
                         if k == "commonName"]  # fmt: skip
                name = str(names[0]) if len(names) == 1 else ""
            else:
                name = self.headers.get(_OWNER, "")
            if name in desk.owners:
                return name
            self.close_connection = True
            self._reply(403)
            return None

        def _reply(self, status: int, task: str = "", data: bytes = b"") -> None:
            self.send_response(status)
            self.send_header(_TASK, task)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class calls it
            """Print nothing: what a stranger asks for is not for the server's terminal."""

    return Handler


class Line:
    """An owner's side: asks for tasks, and answers them."""

    def __init__(self, address: str, owner: str, certificates: Certificates | None, *, most: int) -> None:
        self.host, self.port = parsed(address)
        check_place(self.host, certificates)
        if NAME.fullmatch(owner) is None:
            raise InvalidConfig(f"owner is {owner!r:.80}; expected a short name", hint="letters, digits, . _ and -")
        self.owner, self.most = owner, most
        self._context = certificates.context(server=False) if certificates else None

    def tasks(self, work: Callable[[bytes], bytes | None], *, patience: float) -> None:
        """Answer each task with what `work` makes of it, until that is None, which is answered with nothing.

        A server that cannot be reached is tried again for `patience` seconds, which is said once. Raises
        `TrainingError` after that, and at once for a server that does not know this owner or shows no right
        certificate.
        """
        reached, told = time.monotonic(), False
        while True:
            try:
                status, task, data = self._call("GET", "", b"")
                reached, told = time.monotonic(), False
                if status == 200:
                    answer = work(data)
                    if answer is None:
                        with suppress(OSError, http.client.HTTPException):  # it has nothing more to tell
                            self._call("POST", task, b"")
                        return
                    self._call("POST", task, answer)
            except ssl.SSLCertVerificationError as error:
                raise TrainingError(f"{self.host}:{self.port} shows another certificate: {error.reason}") from error
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() - reached > patience:
                    raise TrainingError(
                        f"the server at {self.host}:{self.port} cannot be reached: {error or type(error).__name__}",
                        hint="the same command again once it is there: what is done is kept",
                    ) from error
                if not told:
                    why = f"cannot be reached yet, {error or type(error).__name__}"
                    say(f"note: the server at {self.host}:{self.port} {why}: trying for {patience:.0f} seconds")
                told = True
                time.sleep(PAUSE)

    def _call(self, method: str, task: str, data: bytes) -> tuple[int, str, bytes]:
        kind = http.client.HTTPSConnection if self._context else http.client.HTTPConnection
        options: dict[str, Any] = {"context": self._context} if self._context else {}
        line = kind(self.host, self.port, timeout=6 * POLL, **options)
        try:
            line.request(method, "/", body=data or None, headers={_TASK: task, _OWNER: self.owner,
                                                                  "Content-Length": str(len(data))})  # fmt: skip
            found = line.getresponse()
            length = _number(found.headers.get("Content-Length") or "0")
            if found.status == 403:
                raise TrainingError(f"the server at {self.host}:{self.port} knows no owner {self.owner}")
            if length is None or length > self.most:
                raise TrainingError(f"the server at {self.host}:{self.port} sends more than a body")
            return found.status, found.headers.get(_TASK, ""), found.read(length)
        finally:
            with suppress(OSError):
                line.close()

"""Failures of remote inputs become our errors: one line with a hint, soon, and without secrets."""

from __future__ import annotations

import importlib
import io
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import fsspec
import moto.settings
import pytest
import s3fs

from bucket import SECRET
from ult.data import files, open_source
from ult.errors import MissingExtra, MissingSource, SourceError

pytestmark = pytest.mark.usefixtures("server")


def refused(name: str = "s3://bucket/in/a.txt", modality: str = "text") -> SourceError:
    """Return the error at an input; it is one line, has a hint, repeats no secret, and comes within ten seconds."""
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        list(open_source([name], modality=modality))
    assert time.monotonic() - start < 10
    error = caught.value
    assert error.hint
    assert "\n" not in str(error)
    assert SECRET not in str(error)
    assert "AKIA" not in str(error)
    assert error.__suppress_context__ or error.__context__ is None
    return error


def test_what_is_not_there() -> None:
    for name in ("s3://none/a.txt", "s3://bucket/none.txt", "s3://bucket/none", "s3://none"):
        error = refused(name)
        assert isinstance(error, MissingSource)
        assert error.what.startswith(f"{name} is not there")
    assert "is a folder" in refused("s3://bucket/in/images").what
    assert "is not there" in refused("s3://bucket/in/none.png", "image").what


def test_no_credentials_and_a_public_bucket(changed: pytest.MonkeyPatch) -> None:
    client = boto3.client("s3")
    client.put_object_acl(Bucket="bucket", Key="in/a.txt", ACL="public-read")
    client.close()
    changed.delenv("AWS_ACCESS_KEY_ID")
    changed.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials" in refused().what
    environment: dict[str, Any] = {}
    fsspec.config.set_conf_env(environment, {"FSSPEC_S3_ANON": "true"})  # as it does when it is imported
    changed.setitem(fsspec.config.conf, "s3", environment["s3"])
    s3fs.S3FileSystem.clear_instance_cache()
    assert next(iter(open_source(["s3://bucket/in/a.txt"], modality="text"))) == "one"


def test_permission_denied(changed: pytest.MonkeyPatch) -> None:
    changed.setattr(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from now on, and it knows no key
    for name in ("s3://bucket/in/a.txt", "s3://bucket/in/*.txt", "s3://bucket/in/a.parquet"):
        error = refused(name)
        assert error.what == f"{name} cannot be read: permission denied"


def test_an_endpoint_that_is_down(changed: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        changed.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        for name in ("s3://bucket/in/a.txt", "s3://bucket/in/*.txt"):
            error = refused(name)
            assert error.what == f"{name} cannot be read: the server does not answer"
            assert "AWS_ENDPOINT_URL" in error.hint


def test_an_endpoint_that_says_nothing(changed: pytest.MonkeyPatch) -> None:
    changed.setattr(files, "_FIRST_ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        changed.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert refused().what == "s3://bucket/in/a.txt cannot be read: the server does not answer"


class _Cut(BaseHTTPRequestHandler):
    """Announces 100 bytes and sends 40."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.send_header("ETag", '"0"')
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(b"a line\n" * 5 + b"a lin")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(("name", "modality"), [("a.txt", "text"), ("a.parquet", "text"), ("a.png", "image")])
def test_a_file_shorter_than_announced(name: str, modality: str, changed: pytest.MonkeyPatch) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Cut) as cut:
        thread = threading.Thread(target=cut.serve_forever, args=(0.05,))
        thread.start()
        changed.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{cut.server_address[1]}")
        try:
            assert "ended" in refused(f"s3://bucket/{name}", modality).what
        finally:
            cut.shutdown()
            thread.join()


def test_an_object_that_changes_while_it_is_read() -> None:
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key="changes.txt", Body=b"x\n" * files.BLOCK)
    with files.open_file("s3://bucket/changes.txt") as file:
        assert file.readline() == b"x\n"
        client.put_object(Bucket="bucket", Key="changes.txt", Body=b"y\n" * files.BLOCK)
        client.close()
        file.seek(files.BLOCK)
        with pytest.raises(SourceError, match="changed while it was read"):
            file.readline()


def test_a_driver_that_ends_early_is_not_believed() -> None:
    class Short(io.BytesIO):
        size = 100

    file = io.BufferedReader(files._Remote("s3://bucket/a", Short(b"x" * 40)), 64)
    with file, pytest.raises(SourceError, match="ended after 40 bytes; expected 100"):
        file.read()


@pytest.mark.parametrize(("scheme", "package", "extra"), [("s3", "s3fs", "remote"), ("gs", "gcsfs", "gcs")])
def test_a_driver_that_is_not_installed(scheme: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, scheme, raising=False)
    with pytest.raises(MissingExtra, match=rf"{package} is not installed .*\[{extra}\]"):
        open_source([f"{scheme}://bucket/a.txt"], modality="text")


def test_the_hub_is_not_reached_offline() -> None:
    assert "server does not answer" in refused("hf://datasets/org/name/a.txt").what


def test_addresses_that_hold_secrets_are_refused_unrepeated() -> None:
    for name in (
        f"s3://AKIAX:{SECRET}@bucket/a.txt",
        f"https://b/a.txt?X-Amz-Signature={SECRET}",
        "ftp://b/a.txt",
        "s3:///a",
    ):
        with pytest.raises(MissingSource) as caught:
            open_source([name], modality="text")
        assert SECRET not in str(caught.value)
        assert "AKIA" not in str(caught.value)
        assert "expected" in str(caught.value)

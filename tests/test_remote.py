"""Inputs that are globs or lie behind URLs: the records of local files, from a real S3 server on this machine."""

from __future__ import annotations

import importlib
import io
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import fsspec
import moto.settings
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from moto.server import ThreadedMotoServer
from PIL import Image

from ult.__main__ import main
from ult.data import files, open_sink, open_source
from ult.data.rows import CHUNK_BYTES
from ult.errors import MissingColumn, MissingExtra, MissingSource, OutputError, SourceError

SECRET = "correct/horse+battery"


def write(folder: Path) -> None:
    """Write a small file of every kind, and a folder of images with labels."""
    texts = ["first,\nand a second line", 'a "quoted" one', "ünï \u2028 code", ""]
    (folder / "a.txt").write_text("one\ntwo\r\n\nünï\nlast", encoding="utf-8")
    (folder / "a.jsonl").write_text('{"text": "x\\n", "n": 1}\n{"text": "y", "n": 2}\n')
    cells = "".join('"' + text.replace('"', '""') + f'",{i}\r\n' for i, text in enumerate(texts))
    (folder / "a.csv").write_text("text,n\r\n" + cells, encoding="utf-8", newline="")
    pq.write_table(pa.table({"text": texts * 50, "n": range(200)}), folder / "a.parquet", row_group_size=64)
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.normal(size=(5, 7)))
    np.savez_compressed(folder / "a.npz", series=rng.normal(size=(6, 3)), label=np.arange(6))
    for name in ("cat/0", "cat/1", "dog/[0]", "dog/.hidden"):
        path = folder / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    write(folder)
    for name in ("notes-2.csv", "notes-10.csv", "deep/er/notes-1.csv", "deep/notes-[0].csv", ".notes-0.csv"):
        path = folder / "globs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text\n{name}\n")
    return folder


@pytest.fixture(scope="module")
def server(local: Path) -> Iterator[str]:
    """A server whose `bucket` holds in `in/` what `local` holds. Every name in the environment is its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "HTTP_PROXY"):
            patch.delenv(name, raising=False)
        threaded = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        threaded.start()
        host, port = threaded.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        for path in sorted(local.rglob("*")):
            if path.is_file():
                client.put_object(
                    Bucket="bucket", Key=f"in/{path.relative_to(local).as_posix()}", Body=path.read_bytes()
                )
        client.close()
        yield f"http://{host}:{port}"
        threaded.stop()


@pytest.fixture(autouse=True)
def _served(server: str) -> None:
    """Have the server up for every test."""


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What a driver reads of the environment, to be changed: an earlier driver, or a later one, is another."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


def read(name: str | Path, modality: str, **options: Any) -> tuple[list[Any], list[Any]]:
    """Return the records, as lists where they are arrays, and the kept rows."""
    source = open_source([name], modality=modality, **options)
    batches = list(source.batches())
    records = [r.tolist() if isinstance(r, np.ndarray) else r for batch in batches for r in batch.records]
    return records, [row for batch in batches for row in batch.kept.to_pylist()]


@pytest.mark.parametrize(
    ("name", "modality", "options"),
    [
        ("a.txt", "text", {}),
        ("a.jsonl", "text", {"keep": ["n"]}),
        ("a.csv", "text", {"column": "text", "keep": ["n"]}),
        ("a.parquet", "text", {"keep": ["n"]}),
        ("a.npy", "series", {}),
        ("a.npz", "series", {"keep": ["label"]}),
        ("images", "image", {"keep": ["label", "name"]}),
        ("images/", "image", {}),
        ("images/cat/1.png", "image", {}),
        ("images/dog/[[]0].png", "image", {}),
        ("images/dog/[0].png", "image", {}),
    ],
)
def test_records_are_those_of_the_local_file(local: Path, name: str, modality: str, options: dict[str, Any]) -> None:
    expected = read(f"{local}/{name}", modality, **options)
    assert len(expected[0]) > 0
    assert read(f"s3://bucket/in/{name}", modality, **options) == expected


def test_labels_lie_beside_the_images(local: Path) -> None:
    sheet = "name,kind\n" + "".join(f"{name},{i}\n" for i, name in enumerate(("cat/0.png", "cat/1.png", "dog/[0].png")))
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key="in/images/labels.csv", Body=sheet.encode())
    try:
        _, kept = read("s3://bucket/in/images", "image", keep=["kind"])
        assert kept == [{"kind": "0"}, {"kind": "1"}, {"kind": "2"}]
        with pytest.raises(MissingColumn, match="no column 'label'"):
            read("s3://bucket/in/images", "image", keep=["label"])
    finally:
        client.delete_object(Bucket="bucket", Key="in/images/labels.csv")
        client.close()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("notes-*.csv", ["notes-10.csv", "notes-2.csv"]),
        ("notes-?.csv", ["notes-2.csv"]),
        ("notes-[0-9].csv", ["notes-2.csv"]),
        ("**/*.csv", ["deep/er/notes-1.csv", "deep/notes-[0].csv", "notes-10.csv", "notes-2.csv"]),
        ("*/**/notes-1.csv", ["deep/er/notes-1.csv"]),
        ("deep/notes-[0].csv", ["deep/notes-[0].csv"]),
        (".notes-*", [".notes-0.csv"]),
    ],
)
def test_globs_are_sorted_and_a_name_that_is_there_is_none(local: Path, pattern: str, names: list[str]) -> None:
    for root in (f"{local}/globs", "s3://bucket/in/globs"):
        assert files.expand(f"{root}/{pattern}") == [f"{root}/{name}" for name in names]
        assert read(f"{root}/{pattern}", "text")[0] == names


def test_a_glob_that_matches_nothing_is_refused(local: Path) -> None:
    for root in (str(local), "s3://bucket/in", "s3://bucket/nothing", "s3://none/at/all"):
        with pytest.raises(MissingSource, match=r"\*\.txtx (matches no file|is not there)"):
            open_source([f"{root}/*.txtx"], modality="text")
    with pytest.raises(SourceError, match="several kinds"):
        open_source(["s3://bucket/in/a.[cj]s*"], modality="text")


@pytest.mark.parametrize("suffix", ["txt", "csv", "parquet"])
def test_large_files_are_read_in_blocks_and_again(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{i:07d} " + "x" * 80 for i in range(CHUNK_BYTES // 64)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        plain = {"compression": "none", "use_dictionary": False}
        pq.write_table(pa.table({"text": lines}), path, row_group_size=len(lines) // 2, **plain)
    else:
        path.write_text("\n".join((["text"] if suffix == "csv" else []) + lines))
    client = boto3.client("s3")
    client.put_object(Bucket="bucket", Key=f"large/{path.name}", Body=path.read_bytes())
    client.close()
    asked = []
    fetch = s3fs.S3File._fetch_range
    monkeypatch.setattr(s3fs.S3File, "_fetch_range", lambda file, *at: asked.append(at) or fetch(file, *at))
    source = open_source([f"s3://bucket/large/{path.name}"], modality="text")
    asked.clear()
    assert list(source) == lines
    spans = [stop - start for start, stop in asked]
    assert max(spans) == files.BLOCK < path.stat().st_size // 4
    assert len(spans) < path.stat().st_size / files.BLOCK + 4
    asked.clear()
    assert next(iter(source)) == lines[0]
    assert sum(stop - start for start, stop in asked) < path.stat().st_size // 2


# ---- what goes wrong


def refused(name: str = "s3://bucket/in/a.txt", modality: str = "text") -> SourceError:
    """Return the error at an input; it is one line, has a hint, repeats no secret, and comes within ten seconds."""
    start = time.monotonic()
    with pytest.raises(SourceError) as caught:
        read(name, modality)
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
    assert read("s3://bucket/in/a.txt", "text")[0][0] == "one"


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
    changed.setattr(files, "_FIRST_WORD", 0.3)
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
        with pytest.raises(SourceError, match="changed while it was read"):
            file.seek(files.BLOCK)
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
    with pytest.raises(MissingExtra, match=rf"{package} is not installed .*ult\[{extra}\]"):
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


# ---- the command line


def ult(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ult", *words])
    with pytest.raises(SystemExit) as done:
        main()
    return (int(done.value.code or 0), *capsys.readouterr())


def test_from_a_bucket_to_shards_and_back(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for root, name in (("s3://bucket/in", "far"), (str(local), "near")):
        inputs = [f"{root}/globs/**/*.csv", f"{root}/globs/.notes-0.csv"]
        options = ["--no-encryption", "--min-records", "1", "--vocabulary-size", "512"]
        assert ult(capsys, monkeypatch, "fit", *inputs, "-o", f"{name}.ult", *options)[0] == 0
        status, out, _ = ult(capsys, monkeypatch, "encode", *inputs, "-t", f"{name}.ult", "-o", f"{name}.shards")
        assert status == 0
        assert "5 records" in out
        assert ult(capsys, monkeypatch, "decode", f"{name}.shards", "-t", f"{name}.ult", "-o", f"{name}.csv")[0] == 0
    assert Path("far.ult").read_bytes() == Path("near.ult").read_bytes()
    assert Path("far.csv").read_bytes() == Path("near.csv").read_bytes()
    assert Path("far.csv").read_text().split() == [
        "text",
        *("deep/er/notes-1.csv", "deep/notes-[0].csv", "notes-10.csv", "notes-2.csv", ".notes-0.csv"),
    ]


def test_errors_are_one_line_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = ("fit", "--no-encryption", "-o", "t.ult")
    status, out, err = ult(capsys, monkeypatch, *fit, "s3://none/a.txt")
    assert (status, out) == (1, "")
    assert err == "error: s3://none/a.txt is not there; expected a file\nhint: check the bucket and the key\n"
    status, _, err = ult(capsys, monkeypatch, *fit, "s3://bucket/in/*.none")
    assert (status, err.splitlines()[0]) == (1, "error: s3://bucket/in/*.none matches no file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        "fit a.txt -o s3://bucket/t.ult",
        "encode a.txt -t t.ult -o s3://bucket/shards",
        "decode shards -t t.ult -o gs://bucket/a.txt",
        "train shards -o s3://bucket/run",
        "generate run -o s3://bucket/shards",
        "keygen -o s3://bucket/key",
    ],
)
def test_outputs_are_local(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = ult(capsys, monkeypatch, *command.split())
    assert (status, out) == (1, "")
    assert "written to a local folder\nhint: copy them from there" in err
    assert not list(tmp_path.iterdir())


def test_tables_and_shards_are_read_locally(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (
        "encode a.txt -t s3://bucket/t.ult -o x",
        "decode s3://bucket/shards -t t.ult -o x",
        "inspect s3://bucket/t",
    ):
        status, _, err = ult(capsys, monkeypatch, *command.split())
        assert (status, "expected a path of this machine" in err) == (1, True)


def test_sinks_are_local(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="local folder"):
        open_sink("s3://bucket/a.txt", modality="text", column="text")

"""A real S3 server on this machine, with a bucket of small files; its packages are imported when a test asks for it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

SECRET = "correct/horse+battery"


def write(folder: Path) -> None:
    """Write a small file of every kind, and a folder of images with labels."""
    import h5py

    texts = ["first,\nand a second line", 'a "quoted" one', "ünï \u2028 code", ""]
    (folder / "a.txt").write_text("one\ntwo\r\n\nünï\nlast", encoding="utf-8")
    (folder / "a.jsonl").write_text('{"text": "x\\n", "n": 1}\n{"text": "y", "n": 2}\n')
    cells = "".join('"' + text.replace('"', '""') + f'",{i}\r\n' for i, text in enumerate(texts))
    (folder / "a.csv").write_text("text,n\r\n" + cells, encoding="utf-8", newline="")
    pq.write_table(pa.table({"text": texts * 50, "n": range(200)}), folder / "a.parquet", row_group_size=64)
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.normal(size=(5, 7)))
    np.savez_compressed(folder / "a.npz", series=rng.normal(size=(6, 3)), label=np.arange(6))
    (folder / "a.fa.gz").write_bytes(gzip.compress(b">one\nACGT\nAC\n>two\nGG\n" * 9))
    (folder / "r.hea").write_text("r 1 250 50\nr.dat 16 200 12 0 0 0 0 II\n")
    (folder / "r.dat").write_bytes(np.arange(50, dtype="<i2").tobytes())
    with h5py.File(folder / "a.h5ad", "w") as root:
        root["X"] = rng.normal(size=(9, 3))
        root["obs/_index"], root["var/_index"] = [f"cell {k}" for k in range(9)], ["a", "b", "c"]
    for name in ("cat/0", "cat/1", "dog/[0]", "dog/.hidden"):
        path = folder / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 9, 3)).astype(np.uint8)).save(path)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    write(folder)
    for name in ("notes-2.csv", "notes-10.csv", "deep/er/notes-1.csv", "deep/notes-[0].csv", ".notes-0.csv"):
        path = folder / "globs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text\n{name}\n")
    return folder


@pytest.fixture(scope="session")
def server(local: Path) -> Iterator[str]:
    """A server whose `bucket` holds in `in/` what `local` holds. Every name in the environment is its own."""
    import boto3
    from moto.server import ThreadedMotoServer

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


@pytest.fixture
def changed(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What a driver reads of the environment, to be changed: an earlier driver, or a later one, is another."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()

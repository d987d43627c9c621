"""Untrusted files that block or never end are refused, and control codes in them never reach a terminal."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import ult
from ult.audit.release.candidate import read as read_audit
from ult.cli.keys import key_of
from ult.codecs import CODECS
from ult.data import open_source
from ult.errors import FormatError, InvalidConfig, MissingSource, SourceError, UltError, WrongKey
from ult.host import regular
from ult.owner import keyfile
from ult.public.manifest import CODECS as NAMES
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary

TABLE = ult.Table.fit(["the cat sat", "the dog ran"] * 5, vocabulary=Vocabulary(512), min_records=1)


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """End a test that waits for a pipe."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    path = tmp_path / "s.shards"
    with ShardWriter(path, vocabulary=Vocabulary(512), table=TABLE.fingerprint, codec="text/bytes", column="text") as w:
        w.write([np.array([40, 50], np.uint32)], 2)
    return path


@pytest.mark.parametrize(
    "reads",
    [
        keyfile.read,
        keyfile.read_raw,
        keyfile.is_encrypted,
        Vocabulary.load,
        read_audit,
        lambda path: Shards(path.parent),
        lambda path: Run.open(path.parent),
        lambda path: list(open_source([str(path)], modality="text")),
        lambda path: list(open_source([str(path.with_suffix(".txt"))], modality="text")),
    ],
)
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_pipe_or_device_is_refused_at_once(what, reads, tmp_path):
    for name in ("x", "x.txt", ".manifest.json", "metrics.json"):
        fifo(tmp_path / name) if what == "pipe" else (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UltError, match=r"named pipe|device") as caught:
        reads(tmp_path / "x")
    assert isinstance(caught.value, FormatError | SourceError)


def test_a_pipe_among_the_files_of_a_run_or_as_a_part(tmp_path, shards):
    fifo(tmp_path / "config.json")
    with pytest.raises(FormatError, match=r"config.json is a named pipe; expected a file"):
        Run.open(tmp_path)
    part = shards / "part-00000.parquet"
    part.unlink()
    fifo(part)
    with pytest.raises(FormatError, match="missing"):
        Shards(shards).to_arrow()


def test_what_is_larger_than_it_can_be(tmp_path):
    with (tmp_path / "t.ult").open("wb") as file:
        file.truncate(keyfile.MAX_BYTES + 1)
    with pytest.raises(FormatError, match="expected at most"):
        keyfile.read(tmp_path / "t.ult")


def test_keys_may_come_through_a_pipe_but_not_without_end(tmp_path, monkeypatch):
    text, _ = keyfile.keygen()
    path = fifo(tmp_path / "pipe")
    for give, read, expected in (
        (text, keyfile.read_identities, [text.splitlines()[-1]]),
        ("three words\nmore", lambda p: regular.first_line(p, 100), b"three words"),
    ):
        writer = threading.Thread(target=path.write_text, args=(give,))
        writer.start()
        assert read(path) == expected
        writer.join()
    monkeypatch.setattr(regular, "PATIENCE", 0.1)
    with pytest.raises(FormatError, match="nobody wrote"):
        keyfile.read_identities(path)
    with pytest.raises(FormatError, match="device"):
        regular.first_line("/dev/zero", 100)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_of_byte_order_in_keys(mark, tmp_path, monkeypatch):
    text, _ = keyfile.keygen()
    (tmp_path / "key").write_text(mark + text, encoding="utf-8")
    assert keyfile.read_identities(tmp_path / "key") == [text.splitlines()[-1]]
    words = tmp_path / "words"
    words.write_text(mark + "two words\r\n", encoding="utf-8")
    (tmp_path / "t.ult").write_bytes(keyfile.AGE + b"-> scrypt ")
    for right in ("two words", "\ufefftwo words")[: 1 + bool(mark)]:  # the second: as it was before

        def opens(path, *, passphrase, right=right):
            if passphrase != right:
                raise WrongKey("not this one")

        monkeypatch.setattr(keyfile, "read", opens)
        assert key_of(tmp_path / "t.ult", words, None)["passphrase"] == right
    words.write_bytes("two words".encode("utf-16"))
    with pytest.raises(MissingSource, match="UTF-8"):
        key_of(tmp_path / "t.ult", words, None)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"codec": "text/unheard-of"}, "codec is 'text/unheard-of'; expected one of image/dct"),
        ({"column": "a\x1b[2J"}, "control characters"),
        ({"kept": ["\x9b31m"]}, "control characters"),
        ({"bytes": 3}, "its parts add up to 2"),
        ({"bytes": 10**400}, "its parts add up to 2"),
    ],
)
def test_manifests_that_say_what_cannot_be(change, match, shards):
    path = shards / ".manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=match) as caught:
        Shards(shards)
    assert "\x1b" not in str(caught.value)


def test_columns_with_control_characters_are_not_kept(tmp_path):
    import pyarrow as pa

    with pytest.raises(InvalidConfig, match="control characters"):
        ShardWriter(
            tmp_path / "s", vocabulary=Vocabulary(512), table="0" * 32, codec="text/bytes", column="text",
            kept=pa.schema([("a\x1b", pa.string())]),
        )  # fmt: skip


def test_json_that_is_deep(shards):
    (shards / ".manifest.json").write_text("[" * 100_000)
    with pytest.raises(FormatError, match="not JSON"):
        Shards(shards)


def test_a_manifest_knows_all_codecs():
    assert set(CODECS) == NAMES

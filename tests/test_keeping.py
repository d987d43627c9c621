"""Packed ids: as small as they can be, read by several threads, and kept for the next training if that is asked."""

import json
import os
import stat

import numpy as np
import pytest

from forked import ended, started, wait_for_a_checkpoint
from toy import arguments_of, blocks, counting, same, two_classes, weights, write
from ult.host import cache
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets import keeping, packing
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

QUICK = {"steps": 3, "batch_size": 4, "context": 16}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where ids are kept, for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ult" / "packed"


def in_parts(path, size):
    """Write 40 records in 4 parts."""
    writer = ShardWriter(path, vocabulary=Vocabulary(size), table="ab" * 16, codec="text/bytes", column="text")
    with writer:
        for part in range(4):
            writer.write(counting(10, seed=part), 30)
            writer._flush()
    return path


@pytest.mark.parametrize(("size", "kind"), [(2**16, np.uint16), (2**16 + 1, np.int32)])
def test_a_stream_is_the_same_by_any_number_of_threads(tmp_path, monkeypatch, size, kind):
    shards = in_parts(tmp_path / "a", size)
    streams = []
    for threads in (1, 3, 9):
        monkeypatch.setattr(packing, "cpus", lambda threads=threads: threads)
        data = blocks(tmp_path / str(threads), shards, context=8)
        assert data.stream.dtype == kind
        streams.append((data.stream.tolist(), data.ends.tolist()))
    expected = [2, *(one for part in range(4) for record in counting(10, seed=part) for one in [*record.tolist(), 2])]
    assert streams == [(expected, streams[0][1])] * 3


def test_kept_ids_are_packed_once_and_train_the_same(tmp_path, kept, monkeypatch):
    shards = two_classes(tmp_path / "x")
    options = {**QUICK, "task": "classify"}
    train(shards, tmp_path / "plain", Recipe(**options))
    assert not kept.exists()
    train(shards, tmp_path / "first", Recipe(**options, keep_packed=True))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    (entry,) = kept.iterdir()
    assert not list(tmp_path.glob(".*"))
    with monkeypatch.context() as patch:
        patch.setattr("ult.trainer.datasets.inputs.pack", lambda *_, **__: pytest.fail("packed again"))
        train(shards, tmp_path / "second", Recipe(**options, keep_packed=True))
    for name in ("first", "second"):
        assert same(weights(tmp_path / name), weights(tmp_path / "plain"))
    (entry / "labels.int64").write_bytes(b"")  # cut short by a disk that filled up
    train(shards, tmp_path / "third", Recipe(**options, keep_packed=True))
    assert same(weights(tmp_path / "third"), weights(tmp_path / "plain"))
    assert list(kept.iterdir()) == [entry]


def test_what_decides_the_packed_ids_decides_the_entry_and_all_are_bounded(tmp_path, kept, monkeypatch):
    shards = write(tmp_path / "a", counting(20))
    other = write(tmp_path / "b", counting(21, seed=1))
    runs = [({}, shards), ({"modality_token": True}, shards), ({"validation": other}, shards)]
    for number, (options, trained) in enumerate(runs):
        train(trained, tmp_path / str(number), **arguments_of(**QUICK, keep_packed=True, **options))
        assert len(list(kept.iterdir())) == number + 1
    newest = max(kept.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in kept.iterdir():
        os.utime(path, (1, 1) if path != newest else None)
    monkeypatch.setattr(keeping, "MOST", 1)
    third = write(tmp_path / "c", counting(9))
    train(third, tmp_path / "last", Recipe(**QUICK, keep_packed=True))
    (left,) = kept.iterdir()
    assert left != newest


def test_without_a_safe_folder_or_beside_another_process_ids_are_packed_as_ever(tmp_path, kept, monkeypatch):
    shards = write(tmp_path / "a", counting(20))
    with monkeypatch.context() as patch:
        patch.setattr("ult.host.cache.kept", lambda name: None)
        train(shards, tmp_path / "one", Recipe(**QUICK, keep_packed=True))
    assert not kept.exists()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "whole", _taken)
        train(shards, tmp_path / "two", Recipe(**QUICK, keep_packed=True))
    assert list(kept.iterdir()) == []


def _taken(path):
    from ult.errors import OutputExists

    raise OutputExists(f"{path} is being written by another process")


def test_two_killed_processes_go_on_with_ids_packed_once(tmp_path, monkeypatch):
    """Kept ids, records kept apart, activations computed again, on two processes, killed: the run of one process."""
    monkeypatch.setattr(cache, "kept", lambda name: tmp_path / "cache" / name)
    shards, out = write(tmp_path / "a", counting(80)), tmp_path / "run"
    options = {"steps": 14, "batch_size": 4, "context": 16, "checkpoint_every": 2}
    words = [
        "train",
        shards,
        "-o",
        out,
        "--resume",
        "auto",
        "--keep-packed",
        "--document-mask",
        "--gradient-checkpointing",
    ]
    words += [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    processes = started(words, tmp_path)
    wait_for_a_checkpoint(processes, out, tmp_path)
    processes[0].kill()
    ended(processes, tmp_path)
    (entry,) = (tmp_path / "cache" / "packed").iterdir()
    assert (entry / "stream.uint16").stat().st_size == 2 * (1 + sum(len(one) + 1 for one in counting(80)))
    with monkeypatch.context() as patch:
        patch.setattr("ult.trainer.datasets.inputs.pack", lambda *_, **__: pytest.fail("packed again"))
        statuses, printed = ended(started(words, tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    two = json.loads((out / "metrics.json").read_text())
    assert two["resumed_at"] > 0
    assert two["ids_per_second"] > 0
    one = train(shards, tmp_path / "one", Recipe(**options, document_mask=True))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)

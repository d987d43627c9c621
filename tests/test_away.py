"""Shards, runs and checkpoints at addresses: streamed, uploaded whole or not at all, gone on with by any machine."""

import json
import shutil
from pathlib import Path

import fsspec
import pytest

import shelf
import ult
from forked import ended, started
from test_recipe import command
from test_train import interrupt_at
from toy import counting, same, weights, write
from ult.errors import FormatError, InvalidConfig, MissingExtra, MissingSource, OutputError, OutputExists, SourceError
from ult.host import cache
from ult.host.remote import Address, located, scheme_of
from ult.public.shards import Shards
from ult.trainer.evaluate import evaluate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

QUICK = {"steps": 10, "batch_size": 4, "context": 16, "checkpoint_every": 3}
NOTES, RUN = "shelf://bucket/in/notes.shards", "shelf://bucket/out/run"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The folder behind `shelf://bucket`, which holds shards, and a cache of this test's own."""
    monkeypatch.setattr(cache, "kept", lambda name: tmp_path / "cache" / name)
    shelf.install(tmp_path / "shelf", monkeypatch)
    (tmp_path / "shelf/bucket/in").mkdir(parents=True)
    write(tmp_path / "shelf/bucket/in/notes.shards", counting(61))
    return tmp_path / "shelf/bucket"


def held(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def fails_at(monkeypatch, what, error):
    """Fail when the store is asked for `what`, such as `put out/run/config.json`."""

    def fail(asked, key):
        if f"{asked} {key}".startswith(what):
            raise error

    monkeypatch.setattr(shelf.Shelf, "fail", staticmethod(fail))


@pytest.fixture
def whole(store, tmp_path):
    """The weights of the same training here."""
    train(store / "in/notes.shards", tmp_path / "here", Recipe(**QUICK))
    return weights(tmp_path / "here")


def test_a_run_at_an_address_is_the_run_that_would_be_here(store, whole, tmp_path, capfd):
    run = ult.train(NOTES, RUN, ult.Recipe(**QUICK))
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"{RUN}: ")
    assert held(store / "out") == {f"run/{name}" for name in held(tmp_path / "here")}
    assert same(weights(store / "out/run"), whole)
    assert same(weights(run.path), whole)
    assert not held(tmp_path / "cache")
    assert evaluate(store / "out/run", NOTES) == evaluate(store / "out/run", store / "in/notes.shards")
    command(NOTES, "-o", RUN, "--force", "--validation", NOTES, "--steps=2", "--batch-size=4", "--context=16")
    assert json.loads((store / "out/run/metrics.json").read_text())["steps"] == 2
    with pytest.raises(OutputExists, match=f"{RUN} exists already"):
        train(NOTES, RUN, Recipe(**QUICK))
    (store / "out/run/notes.txt").write_text("mine")
    with pytest.raises(OutputExists, match=r"holds notes\.txt, which is no part of a run"):
        train(NOTES, RUN, Recipe(**QUICK), force=True)


def test_another_machine_goes_on_from_the_checkpoint(store, whole, tmp_path, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(NOTES, RUN, Recipe(**QUICK), resume="auto")
    assert {name.partition("/")[0] for name in held(store / "out/.run.partial")} == {
        "checkpoint-6", "checkpoint-6.json", "recipe.json",
    }  # fmt: skip
    shutil.rmtree(tmp_path / "cache")  # of the machine that is lost
    with pytest.raises(OutputExists, match="an unfinished training of shelf://"):
        train(NOTES, RUN, Recipe(**QUICK))
    (store / "out/.run.partial/checkpoint-9").mkdir()  # of an upload that was cut off, without its mark
    assert train(NOTES, RUN, Recipe(**QUICK), resume="auto")["resumed_at"] == 6
    assert same(weights(store / "out/run"), whole)
    assert held(store / "out") == {f"run/{name}" for name in held(store / "out/run")}
    capfd.readouterr()
    assert train(NOTES, RUN, Recipe(**QUICK), resume="auto")["resumed_at"] == 6
    assert capfd.readouterr().err == "run: done already, 10 steps; nothing was trained\n"
    with pytest.raises(OutputExists, match="was trained with other seed"):
        train(NOTES, RUN, Recipe(**QUICK, seed=5), resume="auto")


def test_an_upload_that_is_cut_off_is_no_run_and_is_gone_on_with(store, whole, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        fails_at(patch, "put bucket/out/run/model", ConnectionError("key=secret"))
        with pytest.raises(OutputError, match="the server does not answer") as caught:
            train(NOTES, RUN, Recipe(**QUICK))
        assert "secret" not in str(caught.value)
    assert "metrics.json" not in held(store / "out/run")
    with pytest.raises(OutputExists, match="is done, and its upload was interrupted"):
        train(NOTES, RUN, Recipe(**QUICK))
    capfd.readouterr()
    train(NOTES, RUN, Recipe(**QUICK), resume=True)
    assert "training" not in capfd.readouterr().err
    assert same(weights(store / "out/run"), whole)


def test_the_old_run_is_none_before_its_first_file_is_replaced(store, monkeypatch):
    train(NOTES, RUN, Recipe(**{**QUICK, "steps": 3}))
    with monkeypatch.context() as patch:
        fails_at(patch, "put bucket/out/run/", OSError(5, "no"))
        with pytest.raises(OutputError):
            train(NOTES, RUN, Recipe(**QUICK), force=True)
    assert "metrics.json" not in held(store / "out/run")


def test_a_store_that_takes_no_checkpoint_ends_no_training(store, whole, monkeypatch, capfd):
    fails_at(monkeypatch, "put bucket/out/.run.partial/checkpoint-3/", TimeoutError())
    train(NOTES, RUN, Recipe(**QUICK))
    assert "note: the checkpoint was not uploaded" in capfd.readouterr().err
    assert same(weights(store / "out/run"), whole)


def test_two_processes_upload_what_both_have_written(store, tmp_path):
    options = ["--steps", "6", "--batch-size", "4", "--context", "16", "--checkpoint-every", "3", "--resume", "auto"]
    statuses, printed = ended(started(["train", NOTES, "-o", RUN, *options], tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    assert json.loads((store / "out/run/metrics.json").read_text())["processes"] == 2
    statuses, printed = ended(started(["train", NOTES, "-o", RUN, *options], tmp_path), tmp_path)
    assert (statuses, printed) == ([0, 0], "run: done already, 6 steps; nothing was trained\n")


def test_shards_are_read_in_any_place_and_verified(store, tmp_path):
    memory = fsspec.filesystem("memory")
    for path in filter(Path.is_file, (store / "in/notes.shards").iterdir()):
        memory.pipe_file(f"/bucket/a.shards/{path.name}", path.read_bytes())
    here = Shards(store / "in/notes.shards")
    for place in (NOTES, "memory://bucket/a.shards/", f"file://{store}/in/notes.shards"):
        assert Shards(place).to_arrow() == here.to_arrow()
        assert Shards(place).path.name in ("notes.shards", "a.shards")
    part = next((store / "in/notes.shards").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(FormatError, match=r"shelf://.*part-00000.parquet is damaged"):
        train(NOTES, tmp_path / "run", Recipe(**QUICK))
    part.unlink()
    with pytest.raises(FormatError, match="is missing, though the manifest lists it"):
        Shards(NOTES).to_arrow()
    with pytest.raises(MissingSource, match=r"shelf://bucket/none is not a shards folder"):
        Shards("shelf://bucket/none")


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("nosuch://bucket/a", MissingSource, "no kind of address is called nosuch://"),
        ("abfs://bucket/a", MissingSource, "pip install adlfs"),
        ("gs://bucket/a", MissingExtra, "gcsfs is not installed"),
        ("shelf://me:pw@bucket/a", MissingSource, "holds credentials"),
    ],
)
def test_addresses_that_cannot_be_read(store, name, error, said):
    with pytest.raises(error) as caught:
        Shards(name)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


def test_what_is_not_uploaded(store, tmp_path, monkeypatch):
    with pytest.raises(InvalidConfig, match="yours alone"):
        train(NOTES, RUN, Recipe(**QUICK | {"checkpoint_every": None}, epsilon=8.0))
    for place in ("hf://org/run", "https://host/run", "shelf://bucket"):
        with pytest.raises(OutputError, match=r"is written to by nothing here|names no folder"):
            train(NOTES, place, Recipe(**QUICK))
    notes = tmp_path / "notes.txt"
    notes.write_text("a patient\n" * 40)
    monkeypatch.chdir(tmp_path)
    for out in ("shelf://bucket/t.ult", Path("s3://bucket/t.ult")):
        with pytest.raises(InvalidConfig, match=r"out is a .*:// address; expected a local path"):
            ult.fit(notes, out, encrypt=False, vocabulary_size=320, workers=1)
    assert not (tmp_path / "shelf:").exists()
    assert held(store) == held(store) - {"t.ult"}


def test_marks_of_a_stranger_lead_nowhere(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(NOTES, RUN, Recipe(**QUICK), resume="auto")
    shutil.rmtree(tmp_path / "cache")
    mark = store / "out/.run.partial/checkpoint-6.json"
    told = json.loads(mark.read_text())
    for name in ("../../../../evil", "/evil", "a/../../b"):
        mark.write_text(json.dumps({name: 1}))
        with pytest.raises(FormatError, match="is no file of a checkpoint"):
            train(NOTES, RUN, Recipe(**QUICK), resume="auto")
    mark.write_text(json.dumps({name: size + 1 for name, size in told.items()}))
    with pytest.raises(SourceError, match=r"bytes; expected"):
        train(NOTES, RUN, Recipe(**QUICK), resume="auto")


def test_names_of_addresses():
    assert located("s3://b/a/run/") == Address("s3://b/a/run")
    assert (Address("s3://b/a/run").name, Address("s3://b").name) == ("run", "")
    assert str(Address("s3://b/a/run").parent / ".run.partial") == "s3://b/a/.run.partial"
    assert [scheme_of(name) for name in ("run", "a:b", "C:/run", "./s3:/x")] == [""] * 4

"""Evaluation during training: the curve, the best weights, the end."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from forked import two
from toy import OTHER, arguments_of, counting, two_classes, write
from ult.errors import InvalidConfig, MissingColumn, TrainingError, WrongTable, WrongVocabulary
from ult.trainer.callbacks.progress import Progress
from ult.trainer.evaluate import evaluate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

# Too many steps at too high a rate on too few records: what is not trained on gets worse after a while.
OPTIONS = {"steps": 42, "batch_size": 4, "context": 16, "learning_rate": 5e-3, "warmup": 0, "schedule": "constant"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "a", noise(10))


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "b", noise(12, seed=1))


@pytest.fixture(scope="module")
def watched(shards, held, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, train(shards, out, Recipe(evaluate_every=4, patience=0, **OPTIONS), validation=held)


def noise(rows, seed=0):
    """Records that tell nothing of one another but how long they are."""
    rng = np.random.default_rng(seed)
    return [rng.integers(32, 64, 8).astype(np.uint32) for _ in range(rows)]


def same(a, b):
    a, b = (load_file(run / "model.safetensors") for run in (a, b))
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_run_is_the_best_of_its_evaluations(watched, shards, held, tmp_path):
    out, metrics = watched
    found = metrics["validation"]
    steps, bits = zip(*found["bits"], strict=True)
    assert steps == (*range(4, 41, 4), 42)
    assert found["best_step"] == steps[int(np.argmin(bits))] < 42
    assert bits[-1] > min(bits) + 0.1
    assert (found["evaluate_every"], found["patience"], found["shards"][0]["rows"]) == (4, None, 12)
    assert evaluate(out, held)["bits_per_id"] == pytest.approx(min(bits), rel=1e-6)
    plain = train(shards, tmp_path / "plain", Recipe(**OPTIONS))
    assert plain["validation"] is None
    assert plain["loss"] == metrics["loss"]  # looking changes nothing
    assert evaluate(tmp_path / "plain", held)["bits_per_id"] == pytest.approx(bits[-1], rel=1e-6)
    assert json.loads((out / "metrics.json").read_text())["validation"] == found
    assert [p.name for p in out.parent.iterdir()] == ["run"]


def test_patience_ends_a_training_that_gets_worse(watched, shards, held, tmp_path):
    whole, metrics = watched
    found = train(shards, tmp_path / "run", Recipe(evaluate_every=4, patience=2, **OPTIONS), validation=held)
    curve, step = found["validation"]["bits"], found["validation"]["best_step"]
    assert curve == metrics["validation"]["bits"][: len(curve)]
    assert curve[-1][0] == found["loss"][-1][0] == step + 8 < 42
    assert step == metrics["validation"]["best_step"]
    assert same(tmp_path / "run", whole)


@pytest.mark.parametrize("where", [6, "end"])
def test_resumed_run_is_the_same_wherever_it_was_cut(shards, held, tmp_path, monkeypatch, watched, where):
    options = {**OPTIONS, "evaluate_every": 4, "patience": 2, "validation": held}
    whole = train(shards, tmp_path / "whole", **arguments_of(**options))
    stop_at = whole["loss"][-1][0] if where == "end" else whole["validation"]["best_step"] + where
    save = Progress.on_save if where == "end" else Progress.on_step_end
    hook = "on_save" if where == "end" else "on_step_end"

    def stop(self, args, state, control, **rest):
        save(self, args, state, control, **rest)
        if state.global_step == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, hook, stop)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "cut", **arguments_of(**options))
    assert len(list((tmp_path / ".cut.partial").glob("checkpoint-*"))) == 2  # the best and the last
    for changed in ({"patience": 3}, {"evaluate_every": 5}, {"validation": shards}):
        with pytest.raises(TrainingError, match=rf"started with other {next(iter(changed))} \("):
            train(shards, tmp_path / "cut", **arguments_of(**{**options, **changed}, resume=True))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".cut.partial").rename(tmp_path / "elsewhere" / ".cut.partial")
    metrics = train(shards, tmp_path / "elsewhere" / "cut", **arguments_of(**options, resume=True))
    assert metrics["resumed_at"] > 0
    assert metrics["validation"] == whole["validation"]
    assert same(tmp_path / "elsewhere" / "cut", tmp_path / "whole")


def test_two_processes_choose_what_one_chooses(watched, shards, held, tmp_path):
    given = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items()]
    command = [
        "train",
        shards,
        "-o",
        tmp_path / "two",
        *given,
        "--validation",
        held,
        "--evaluate-every",
        "4",
        "--patience",
        "0",
    ]
    statuses, printed = two(command, tmp_path)
    assert statuses == [0, 0], printed
    metrics = watched[1]
    found = json.loads((tmp_path / "two" / "metrics.json").read_text())["validation"]
    assert found["best_step"] == metrics["validation"]["best_step"]
    np.testing.assert_allclose(found["bits"], metrics["validation"]["bits"], rtol=1e-3)
    assert f"step {found['best_step']} is kept" in printed


def test_classifiers_are_judged_by_the_bits_of_a_label(tmp_path):
    data = two_classes(tmp_path / "x")
    options = {"task": "classify", "steps": 20, "batch_size": 8, "context": 16}
    metrics = train(data, tmp_path / "run", Recipe(**options), validation=data)
    assert metrics["validation"]["evaluate_every"] == 2
    assert min(bits for _, bits in metrics["validation"]["bits"]) < 0.1
    stranger = write(tmp_path / "y", counting(2), kept={"label": ["low", "other"]})
    with pytest.raises(TrainingError, match="1 of 2 records have a 'label' that the run was never shown"):
        train(data, tmp_path / "no", Recipe(**options), validation=stranger)
    with pytest.raises(MissingColumn):
        train(data, tmp_path / "no", Recipe(**options), validation=write(tmp_path / "z", counting(2)))
    assert not list(tmp_path.glob("*no*"))


def test_bits_that_are_no_number_are_refused(shards, held, tmp_path, monkeypatch):
    monkeypatch.setattr("ult.trainer.id_trainer.cross_entropy", lambda *_, **__: (float("nan"), 1))
    with pytest.raises(TrainingError, match=r"validation costs nan bits at step 4.*--learning-rate"):
        train(shards, tmp_path / "run", Recipe(evaluate_every=4, **OPTIONS), validation=held)
    assert list(tmp_path.iterdir()) == []


def test_validation_shards_are_of_the_same_table(shards, tmp_path):
    other = write(tmp_path / "other", noise(3), table=OTHER)
    small = write(tmp_path / "small", counting(3, high=40), size=40)
    for given, error, text in (
        (other, WrongTable, f"encoded with table {OTHER}; expected abab"),
        (small, WrongVocabulary, "vocabulary of 40"),
        ([], InvalidConfig, "no shards folder"),
    ):
        with pytest.raises(error, match=text):
            train(shards, tmp_path / "run", Recipe(**OPTIONS), validation=given)
    train([shards, other], tmp_path / "run", Recipe(**{**OPTIONS, "steps": 1}), validation=[other])
    with pytest.raises(InvalidConfig, match=r"patience was given without.*--validation"):
        train(shards, tmp_path / "run2", Recipe(patience=1, **OPTIONS))

"""Two processes (CPU, gloo) train as one would: the same losses, one run folder, one line for an error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
from safetensors.numpy import load_file

from forked import two
from toy import OTHER, counting, reversals, two_classes, write
from ult.errors import InvalidConfig
from ult.trainer.datasets.sampler import Order
from ult.trainer.distributed import join_processes
from ult.trainer.id_trainer import per_device_batch_size
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

OPTIONS = ["--steps", "12", "--batch-size", "4", "--context", "16", "--seed", "3"]


def check_same(one, many):
    a, b = (json.loads((run / "metrics.json").read_text()) for run in (one, many))
    assert (a["processes"], b["processes"]) == (1, 2)
    np.testing.assert_allclose(b["loss"], a["loss"], rtol=1e-5)
    for name in ("steps", "batch_size", "learning_rate", "parameters", "shards", "classes"):
        assert a[name] == b[name]
    a, b = (load_file(run / "model.safetensors") for run in (one, many))
    assert max(np.abs(a[name] - b[name]).max() for name in a) < 1e-4


def test_accelerate_launches_the_same_command_with_the_same_losses(tmp_path):
    shards = [write(tmp_path / "a", counting(61)), write(tmp_path / "b", counting(40, seed=1), table=OTHER)]
    train(shards, tmp_path / "one", Recipe(steps=12, batch_size=4, context=16, seed=3))
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]
    subprocess.run(
        [sys.executable, "-m", *launch, "-m", "ult", "train", *shards, "-o", tmp_path / "two", *OPTIONS],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "ACCELERATE_USE_CPU": "true"},
        check=True,
        timeout=120,
    )
    check_same(tmp_path / "one", tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "one", "two"}


def test_classifiers_agree_too_whatever_parts_a_batch_is_taken_in(tmp_path):
    shards = two_classes(tmp_path / "x")
    train(shards, tmp_path / "one", Recipe(task="classify", steps=12, batch_size=4, context=16, seed=3))
    command = ["train", shards, "-o", tmp_path / "two", "--task", "classify", "--accumulate", "2", *OPTIONS]
    statuses, printed = two(command, tmp_path)
    assert statuses == [0, 0], printed
    check_same(tmp_path / "one", tmp_path / "two")


def test_pairs_too(tmp_path):
    sources, targets = reversals(tmp_path, 40)
    whole = train(sources, tmp_path / "one", Recipe(task="seq2seq", steps=6, batch_size=4, context=8), targets=targets)
    command = ["train", sources, "--targets", targets, "-o", tmp_path / "two", "--task", "seq2seq", "--steps", "6"]
    statuses, printed = two([*command, "--batch-size", "4", "--context", "8", "--accumulate", "2"], tmp_path)
    assert statuses == [0, 0], printed
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert (metrics["processes"], metrics["targets"]) == (2, whole["targets"])
    np.testing.assert_allclose(metrics["loss"], whole["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("rank", "where", "said"),
    [
        ("0", "ult.trainer.datasets.inputs.pack", "No space left on device"),
        ("1", "ult.trainer.train.IdTrainer.training_step", "cannot write the training of"),
    ],
)
def test_an_error_of_one_ends_both_and_is_said_once(tmp_path, tmp_path_factory, monkeypatch, rank, where, said):
    shards = write(tmp_path / "a", counting(40))
    right = resolve_name(where)

    def fail(*given, **named):
        if os.environ["RANK"] == rank:
            raise OSError(28, "No space left on device")
        return right(*given, **named)

    monkeypatch.setattr(where, fail)
    statuses, printed = two(["train", shards, "-o", tmp_path / "run", *OPTIONS], tmp_path_factory.mktemp("said"))
    assert statuses == [1, 1], printed
    lines = printed.splitlines()
    assert len(lines) == 1, printed
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_batch_must_be_shared_equally():
    state = join_processes()
    recipe = Recipe(steps=10, batch_size=6, context=16)
    assert per_device_batch_size(recipe, state) == 6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(state), "num_processes", 4, raising=False)
        patch.setitem(state.__dict__, "num_processes", 4)
        with pytest.raises(InvalidConfig, match=r"batch_size is 6 on 4 devices.*--batch-size 8"):
            per_device_batch_size(recipe, state)


def test_order_shows_everything_once_a_pass_and_depends_on_the_seed():
    order = list(Order(10, 25, 1))
    assert len(order) == len(Order(10, 25, 1)) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]
    assert list(Order(10, 7, 1)) == order[:7]
    assert list(Order(10, 25, 2)) != order


def test_packed_ids_go_with_the_training(tmp_path):
    shards = write(tmp_path / "a", counting(40))
    train(shards, tmp_path / "run", Recipe(steps=1, batch_size=2, context=8))
    assert not list(Path(tmp_path).rglob("packed"))

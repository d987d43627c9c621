"""Weights split over two processes (FSDP; CPU, gloo): the same training, checkpoints and a run that are whole."""

import json
import signal

import numpy as np
import pytest
import torch
import transformers

from forked import ended, started, wait_for_a_checkpoint
from toy import counting, two_classes, weights, write
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.trainer import fsdp
from ult.trainer.callbacks.progress import Progress
from ult.trainer.distributed import join_processes
from ult.trainer.evaluate import evaluate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train
from ult.trainer.workdir import partial_folder

pytestmark = pytest.mark.slow

OPTIONS = {"steps": 6, "batch_size": 4, "context": 16, "evaluate_every": 2}


@pytest.fixture
def split(monkeypatch):
    monkeypatch.setenv(fsdp.FLAG, "true")


def words(shards, out, **options):
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return ["train", shards, "-o", out, *given]


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_split_weights_train_as_whole_ones(tmp_path, monkeypatch, task):
    """Of 9 batches of validation one process has 5, the other 4."""
    make = two_classes if task == "classify" else lambda path, rows: write(path, counting(rows))
    shards, held_out = make(tmp_path / "a", rows=64), make(tmp_path / "b", rows=18 if task == "classify" else 21)
    one = train(shards, tmp_path / "one", Recipe(task=task, **OPTIONS), validation=held_out)
    monkeypatch.setenv(fsdp.FLAG, "true")
    seen = tmp_path / "seen"
    step_end = Progress.on_step_end

    def look(self, args, state, control, **told):
        step_end(self, args, state, control, **told)
        kinds = sorted({type(weight).__name__ for weight in told["model"].parameters()})
        held = sum(weight.to_local().numel() for weight in told["model"].parameters())
        (seen.parent / f"seen{args.process_index}").write_text(json.dumps([kinds, held]))

    monkeypatch.setattr(Progress, "on_step_end", look)
    command = words(shards, tmp_path / "two", task=task, validation=held_out, gradient_checkpointing="", **OPTIONS)
    statuses, printed = ended(started([word for word in command if word != ""], tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    held = [json.loads((tmp_path / f"seen{rank}").read_text()) for rank in range(2)]
    assert [kinds for kinds, _ in held] == [["DTensor"]] * 2
    assert sum(count for _, count in held) == one["parameters"]  # each has a part, and none two
    two = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert two["processes"] == 2
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["validation"]["bits"], one["validation"]["bits"], rtol=1e-5)
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert a.keys() == b.keys()
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-4
    assert (tmp_path / "one" / "config.json").read_text() == (tmp_path / "two" / "config.json").read_text()
    monkeypatch.delenv(fsdp.FLAG)
    figure = "bits_per_id" if task == "lm" else "accuracy"
    assert evaluate(tmp_path / "two", held_out)[figure] == pytest.approx(evaluate(tmp_path / "one", held_out)[figure])


def test_killed_trainings_go_on_from_checkpoints_that_one_process_can_read(tmp_path, split, monkeypatch):
    shards, out = write(tmp_path / "a", counting(80)), tmp_path / "run"
    command = [*words(shards, out, steps=40, batch_size=4, context=16), "--resume", "auto"]
    processes = started(command, tmp_path)
    wait_for_a_checkpoint(processes, out, tmp_path)
    processes[1].kill()
    statuses, printed = ended(processes, tmp_path)
    assert statuses == [1, -signal.SIGKILL], printed
    checkpoint = next(partial_folder(out).glob("checkpoint-*"))
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    with monkeypatch.context() as patch:
        patch.delenv(fsdp.FLAG)
        statuses, printed = ended(started(command, tmp_path), tmp_path)
    assert statuses == [1, 1]
    assert "was started with other fsdp" in printed
    statuses, printed = ended(started(command, tmp_path), tmp_path)
    assert statuses == [0, 0], printed
    assert Run.open(out).metrics["resumed_at"] > 0
    monkeypatch.delenv(fsdp.FLAG)
    whole = train(shards, tmp_path / "whole", Recipe(steps=40, batch_size=4, context=16))
    np.testing.assert_allclose(Run.open(out).metrics["loss"], whole["loss"], rtol=1e-3)


@pytest.mark.parametrize(("name", "value"), [("lora", 2), ("epsilon", 8.0), ("compile", True), ("model", "bag")])
def test_what_needs_whole_weights_is_refused(split, monkeypatch, name, value):
    state = join_processes()
    recipe = Recipe(**({"task": "classify", "model": "bag"} if name == "model" else {name: value}))
    fsdp.check_split_weights(recipe, state)  # one process has nothing to split
    monkeypatch.setattr(fsdp, "splits_weights", lambda state: True)
    with pytest.raises(InvalidConfig, match=name):
        fsdp.check_split_weights(recipe, state)


def test_deepspeed_is_refused(monkeypatch):
    monkeypatch.setenv(fsdp.DEEPSPEED, "true")
    with pytest.raises(InvalidConfig, match="DeepSpeed"):
        fsdp.check_split_weights(Recipe(), join_processes())

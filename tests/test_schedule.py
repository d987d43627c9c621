"""A training step: learning-rate schedule, gradient accumulation, and precision."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toy import two_classes
from ult.errors import InvalidConfig, TrainingError
from ult.trainer.callbacks.progress import Progress
from ult.trainer.id_trainer import peak_learning_rate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"steps": 10, "batch_size": 4, "context": 16}


def rates(monkeypatch, *args, **options):
    """Return what training gives, and its learning rates, step by step, as shares of the peak."""
    seen: list[float | None] = []
    log: Any = Progress.on_log

    def record(self, args, state, control, **told):
        seen.append(told["logs"].get("learning_rate"))
        log(self, args, state, control, **told)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_log", record)
        metrics = train(*args, Recipe(**options))  # type: ignore[call-arg]
    return metrics, np.array([rate for rate in seen if rate is not None]) / metrics["learning_rate"]


@pytest.mark.parametrize(
    ("task", "parameters", "asked", "expected"),
    [
        ("lm", 400_000, None, 3e-3),
        ("classify", 11_000_000, None, 1e-3),
        ("seq2seq", 400_000, None, 1e-3),
        ("seq2seq", 135_000_000, None, 5e-4),
        ("seq2seq", 400_000, 2e-3, 2e-3),
    ],
)
def test_the_peak_suits_task_and_size_unless_it_is_named(task, parameters, asked, expected):
    recipe = Recipe(task=task, steps=10, batch_size=4, context=16, learning_rate=asked)
    assert peak_learning_rate(recipe, parameters) == expected


@pytest.mark.parametrize(
    ("options", "warmup", "falling"),
    [
        ({}, 1, (1 + np.cos(np.pi * np.arange(9) / 9)) / 2),
        ({"schedule": "linear", "warmup": 0.2}, 2, 1 - np.arange(8) / 8),
        ({"schedule": "constant", "warmup": 4}, 4, np.ones(6)),
        ({"schedule": "linear", "warmup": 0}, 0, 1 - np.arange(10) / 10),
    ],
)
def test_the_rate_goes_the_way_that_was_asked(shards, tmp_path, monkeypatch, options, warmup, falling):
    metrics, found = rates(monkeypatch, shards, tmp_path / "run", **QUICK, **options)
    np.testing.assert_allclose(found, [*np.arange(warmup) / max(1, warmup), *falling], atol=1e-12)
    assert (metrics["schedule"], metrics["warmup_steps"]) == (options.get("schedule", "cosine"), warmup)


def test_warmup_is_a_share_below_one_and_steps_from_one():
    assert [Recipe(steps=50, warmup=w).warmup_steps for w in (None, 0, 0.5, 1, 50)] == [5, 0, 25, 1, 50]
    assert Recipe(steps=5000).warmup_steps == 100
    with pytest.raises(InvalidConfig, match="warmup is 51; expected a share below 1, or from 1 to 50 whole steps"):
        Recipe(steps=50, warmup=51)


@pytest.mark.parametrize("task", ["lm", "classify"])
def test_a_batch_in_parts_gives_the_same_losses(tmp_path, task):
    data = two_classes(tmp_path / "x", 23 * 2)  # 46 records; the last block is shorter than the others
    options = {"task": task, "steps": 12, "batch_size": 8, "context": 16, "seed": 1}
    whole = train(data, tmp_path / "whole", Recipe(**options))
    parts = train(data, tmp_path / "parts", Recipe(**options, accumulate=4))
    assert (whole["accumulate"], parts["accumulate"], parts["batch_size"]) == (1, 4, 8)
    # A loss of 0.001 is the difference of logits of about 10, which float32 rounds to 1e-6.
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-5, atol=1e-6)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert max((a[name] - b[name]).abs().max() for name in a) < 1e-4


def test_a_batch_that_does_not_fall_into_equal_parts(shards, tmp_path):
    with pytest.raises(InvalidConfig, match=r"batch_size is 4 on 1 devices in 3 parts each.*--batch-size 6"):
        train(shards, tmp_path / "run", Recipe(**QUICK, accumulate=3))
    assert list(tmp_path.iterdir()) == []


def test_resumed_in_the_middle_of_a_schedule_with_parts(shards, tmp_path, monkeypatch):
    options = {**QUICK, "accumulate": 2, "schedule": "linear", "warmup": 3}
    train(shards, tmp_path / "whole", Recipe(**options))
    advance = Progress.on_step_end

    def stop(self, args, state, control, **rest):
        advance(self, args, state, control, **rest)
        if state.global_step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step_end", stop)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "cut", Recipe(**options))
    for changed in ({"accumulate": 1}, {"schedule": "cosine"}, {"warmup": 0.3}, {"precision": "float32"}):
        with pytest.raises(TrainingError, match=rf"started with other {next(iter(changed))} \("):
            train(shards, tmp_path / "cut", Recipe(**{**options, **changed}), resume=True)
    metrics = train(shards, tmp_path / "cut", Recipe(**options), resume=True)
    assert metrics["resumed_at"] == 5
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_bfloat16_changes_the_arithmetic_and_not_the_weights_kind(shards, tmp_path):
    metrics = {p: train(shards, tmp_path / p, Recipe(**QUICK, precision=p)) for p in ("auto", "float32", "bfloat16")}
    assert [metrics[p]["precision"] for p in metrics] == ["float32", "float32", "bfloat16"]
    assert metrics["auto"]["loss"] == metrics["float32"]["loss"] != metrics["bfloat16"]["loss"]
    np.testing.assert_allclose(metrics["bfloat16"]["loss"], metrics["float32"]["loss"], rtol=0.02)
    assert {w.dtype for w in load_file(tmp_path / "bfloat16" / "model.safetensors").values()} == {torch.float32}

"""Training with differential privacy through `train`: what it promises, repeats, publishes and refuses."""

import json

import numpy as np
import pytest
import torch
from accelerate import PartialState

from test_train import interrupt_at
from toy import SIZE, TABLE, counting, reversals, same, two_classes, weights, write
from trained import SEEDED
from ult.errors import InvalidConfig
from ult.privacy.accountant import spent
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.datasets.windows import Windows
from ult.trainer.dp.dp_trainer import Plan, PrivateTrainer
from ult.trainer.evaluate import evaluate
from ult.trainer.id_trainer import training_arguments
from ult.trainer.models.presets import from_preset
from ult.trainer.recipe import Privacy, Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(private_run):
    return private_run


def test_run_says_what_was_promised_and_nothing_else_of_the_records(run):
    metrics = json.loads((run / "metrics.json").read_text())
    told = metrics["privacy"]
    assert (told["records"], told["sampling_rate"], told["steps"], told["clip"]) == (80, 0.05, 10, 1.0)
    assert told["delta"] == pytest.approx(80**-1.1)
    assert told["epsilon"] == spent(told["noise_multiplier"], told["delta"], rate=0.05, steps=10) <= 8.0
    assert (told["unit"], told["neighbours"], told["secure_random"]) == ("record", "add or remove one", False)
    assert metrics["shards"] == [{"name": "a", "table": TABLE, "codec": "text/bytes", "column": "text", "rows": 80}]
    assert metrics["loss"] == []
    assert not any(metrics[name] for name in ("truncated", "seconds", "ids_per_second"))
    assert not (run / "loss.png").exists()


def test_run_is_an_ordinary_one(run, shards):
    assert Run.open(run).tables == {TABLE}
    assert "attn" not in (run / "config.json").read_text()
    assert evaluate(run, shards)["table_seen"]


def test_resumed_run_equals_an_undisturbed_one(run, shards, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "cut", Recipe(**SEEDED))
    metrics = train(shards, tmp_path / "cut", Recipe(**SEEDED), resume=True)
    assert metrics["resumed_at"] == 6
    assert metrics["privacy"] == json.loads((run / "metrics.json").read_text())["privacy"]
    assert same(weights(run), weights(tmp_path / "cut"))


def test_secure_noise_is_never_the_same_and_parts_change_nothing(run, shards, tmp_path):
    options = {**SEEDED, "accumulate": 4}
    train(shards, tmp_path / "parts", Recipe(**options))
    parts, whole = weights(tmp_path / "parts"), weights(run)
    assert max(float((parts[name] - whole[name]).abs().max()) for name in whole) < 1e-4
    metrics = train(shards, tmp_path / "b", Recipe(**{**options, "secure_random": True}))
    assert metrics["privacy"]["secure_random"]
    drawn = weights(tmp_path / "b")  # other noise in every tensor, far beyond what parts change
    assert all(float((drawn[name] - parts[name]).abs().max()) > 1e-3 for name in parts)


def trainer(folder, shards, **options):
    recipe = Recipe(**{"steps": 5, "batch_size": 2, "context": 8, "seed": 3, **options})
    state = PartialState(cpu=True)
    asked = Privacy(8.0, 1e-3, 0.5, secure_random=False)
    torch.manual_seed(0)
    pack(open_shards(shards), folder / "packed")
    return PrivateTrainer(
        Plan.of(recipe, asked, 80, state),
        model=from_preset("tiny", Vocabulary(SIZE)),
        args=training_arguments(recipe, folder, state, parameters=1, validated=False),
        train_dataset=Windows.open(folder / "packed", context=8),
        frozen=None,
    )


def test_step_of_an_empty_sample_is_noise_of_the_right_size(shards, tmp_path):
    made = trainer(tmp_path, shards)
    sizes = [len(sample) for sample in made.get_train_dataloader()]
    assert sizes == [len(made.train_dataset[t]) for t in range(5)]
    assert len(sizes) == 5
    assert 0 in sizes
    assert made.training_step(made.model, []) == 0
    noise = torch.cat([weight.grad.flatten() for weight in made.model.parameters()])
    assert len(noise) == sum(weight.numel() for weight in made.model.parameters())
    assert noise.std().item() == pytest.approx(made.plan.noise * 0.5 / 2, rel=0.01)
    assert abs(noise.mean().item()) < 0.01


def test_step_adds_clipped_gradients_to_the_noise_over_the_expected_batch(shards, tmp_path):
    made = trainer(tmp_path, shards)
    sample = [made.train_dataset.data.window(k, 0.0) for k in range(7)]
    gradients = []
    for items in ([], sample, sample[:6]):
        made.training_step(made.model, items)
        gradients.append(torch.cat([weight.grad.flatten() for weight in made.model.parameters()]).double())
    empty, whole, without = gradients  # the noise of a step is the same each time
    assert (whole - without).norm().item() == pytest.approx(0.5 / 2, rel=1e-3)
    assert 0.5 / 2 < (whole - empty).norm().item() <= 7 * 0.5 / 2


def test_patterns_are_learned_under_weak_privacy(shards, tmp_path):
    many = write(tmp_path / "many", counting(1000, seed=1))
    options = {**SEEDED, "steps": 30, "batch_size": 30, "epsilon": 50.0}
    train(many, tmp_path / "run", Recipe(**options))
    assert evaluate(tmp_path / "run", shards)["bits_per_id"] < 4.0  # 6 for nothing


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # peft's own
def test_adapters_rows_and_head_alone_are_trained_with_lora(run, shards, tmp_path):
    train(shards, tmp_path / "lora", Recipe(from_run=run, lora=2, **SEEDED))
    before, after = weights(run), weights(tmp_path / "lora")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"model.embed_tokens.weight"} | {name for name in before if name.endswith("_proj.weight")}


def test_frozen_body_has_no_part_in_gradients(run, shards, tmp_path):
    train(shards, tmp_path / "rows", Recipe(from_run=run, freeze_body=10, **SEEDED))
    before, after = weights(run), weights(tmp_path / "rows")
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"model.embed_tokens.weight"}


def test_classifiers_and_pairs(tmp_path):
    data = two_classes(tmp_path / "x")
    metrics = train(data, tmp_path / "c", Recipe(task="classify", **SEEDED))
    assert (metrics["classes"], metrics["privacy"]["records"]) == (["high", "low"], 64)
    sources, targets = reversals(tmp_path, 40)
    metrics = train(sources, tmp_path / "s", Recipe(task="seq2seq", **SEEDED), targets=targets)
    assert metrics["privacy"]["records"] == 40
    assert [set(s) for s in metrics["targets"]] == [{"name", "table", "codec", "column", "rows"}]
    assert np.isfinite(evaluate(tmp_path / "s", sources, targets=targets)["bits_per_id"])


def test_validation_is_told_and_drawn(shards, tmp_path):
    held = write(tmp_path / "held", counting(20, seed=2))
    metrics = train(shards, tmp_path / "run", Recipe(evaluate_every=5, **SEEDED), validation=held)
    assert len(metrics["validation"]["bits"]) == 2
    assert (tmp_path / "run" / "loss.png").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epsilon": None, "secure_random": True, "delta": 1e-5}, "delta was given without epsilon"),
        ({"epsilon": None, "secure_random": True, "clip": 1.0}, "clip was given without"),
        ({"epsilon": None}, "secure_random was given without"),
        ({"epsilon": 0.0}, "epsilon is 0.0"),
        ({"delta": 0.1}, r"below 1 / 80.*--delta"),
        ({"clip": 0.0}, "clip is 0.0"),
        ({"batch_size": 81}, "at most the 80 records"),
        ({"mixture": (1.0,)}, "mixture and epsilon"),
        ({"report_to": "tensorboard"}, "publish losses"),
    ],
)
def test_options_that_make_no_promise(shards, tmp_path, options, text):
    with pytest.raises(InvalidConfig, match=text):
        train(shards, tmp_path / "run", Recipe(**{**SEEDED, **options}))
    assert list(tmp_path.iterdir()) == []

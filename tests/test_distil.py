"""Distillation: a run learns what others find likely together, and is an ordinary run afterwards."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ult
from toy import OTHER, SIZE, counting, same, two_classes, weights, write
from ult.cli import app
from ult.errors import InvalidConfig, OutputExists, WrongTable, WrongVocabulary
from ult.public.run import Run
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.distil import distil, learn
from ult.trainer.evaluate import evaluate
from ult.trainer.loss import soft_cost
from ult.trainer.models.together import load_predictor
from ult.trainer.recipe import Recipe
from ult.trainer.tasks.predict import predict_labels
from ult.trainer.train import train

pytestmark = pytest.mark.slow


def tiny(steps, **options):
    """A recipe of so many steps, with one checkpoint."""
    return Recipe(**{"batch_size": 8, "context": 16, "steps": steps, "checkpoint_every": steps, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records that count up, a run with members on them, and records whose next ids are drawn."""
    root = tmp_path_factory.mktemp("distil")
    write(root / "shards", counting(80))
    rng = np.random.default_rng(0)
    write(root / "noise", [rng.integers(32, 64, 8).astype(np.uint32) for _ in range(80)])
    train(root / "shards", root / "run", tiny(50, members=2))
    return root


def test_the_teacher_is_learned_and_not_the_records(folder, tmp_path):
    """Of ids that were drawn, nothing could be learned; the teacher finds the next number likely there too."""
    distil(folder / "run", folder / "noise", tmp_path / "small", tiny(60))
    runs = (tmp_path / "small", folder / "run")
    taught, teacher = (evaluate(run, folder / "shards")["bits_per_id"] for run in runs)
    assert teacher < 2.5
    assert taught < 3.5, "ids drawn evenly cost 5"
    told = Run.open(tmp_path / "small").metrics
    assert told["distilled"] == [{"run": "run", "digest": Run.open(folder / "run").digest(), "members": 2}]
    assert told["trained_before"] == Run.open(folder / "run").trained_on
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "small")])
    assert "run (2 averaged)" in done.output
    assert "| distilled from | `run` |" in (tmp_path / "small/README.md").read_text()


def test_the_cost_is_the_cross_entropy_to_the_teachers_probabilities(folder):
    teacher = load_predictor(Run.open(folder / "run"))
    batch = {"input_ids": torch.tensor([[2, 40, 41]]), "labels": torch.tensor([[40, 41, IGNORED]])}
    with torch.inference_mode():
        true = teacher(input_ids=batch["input_ids"]).logits.softmax(-1)[0, :2]
    logits = torch.randn(1, 3, SIZE)
    expected = -(true * logits.log_softmax(-1)[0, :2]).sum()
    assert float(soft_cost(teacher, logits, batch)) == pytest.approx(float(expected), rel=1e-5)
    doubt = -(true * true.log()).sum()
    own = soft_cost(teacher, teacher(input_ids=batch["input_ids"]).logits, batch)
    assert float(own.detach()) == pytest.approx(float(doubt), rel=1e-4)


def test_several_runs_teach_and_resumption_is_the_same(folder, tmp_path):
    runs = [folder / "run/members/0", folder / "run/members/1"]
    sizes = ["--steps", "6", "--batch-size", "8", "--context", "16", "--checkpoint-every", "6"]
    words = ["distil", *runs, "--shards", folder / "shards", *sizes, "-o", tmp_path / "a"]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    distil(folder / "run", folder / "shards", tmp_path / "b", tiny(6))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b")), "the members of a run, named one by one or not"
    assert [one["members"] for one in Run.open(tmp_path / "a").metrics["distilled"]] == [1, 1]
    before = (tmp_path / "b/model.safetensors").stat()
    options = {"validation": None, "force": False}
    learn([folder / "run"], [folder / "shards"], tmp_path / "b", tiny(6), resume="auto", **options)
    assert (tmp_path / "b/model.safetensors").stat() == before
    for teachers in (runs, None):
        with pytest.raises(OutputExists, match="was trained with other teachers"):
            train(folder / "shards", tmp_path / "b", tiny(6), teachers=teachers, resume="auto")


def test_a_classifier_learns_the_mean_of_its_teachers(tmp_path):
    two_classes(tmp_path / "a", 32)
    train(tmp_path / "a", tmp_path / "run", tiny(20, task="classify", members=2))
    small = ult.distil(tmp_path / "run", tmp_path / "a", tmp_path / "small", tiny(20, task="classify"))
    assert (small.task, small.context, small.metrics["label"]) == ("classify", 16, "label")
    both = [predict_labels(run, tmp_path / "a").probabilities for run in (tmp_path / "run", small)]
    assert np.abs(both[0] - both[1]).mean() < 0.1
    write(tmp_path / "b", counting(8), kept={"label": ["low", "high", "new", "low"] * 2})
    with pytest.raises(InvalidConfig, match="the shards have 3 labels, the runs to distil tell 2 apart"):
        distil(tmp_path / "run", tmp_path / "b", tmp_path / "other", tiny(1, task="classify"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context": 32}, "context is 32; .* was trained with 16"),
        ({"task": "classify"}, "task is 'classify'; .* was trained with 'lm'"),
        ({"epsilon": 8.0}, "epsilon was given for a distillation"),
        ({"goldfish": 4}, "goldfish was given for a distillation"),
        ({"document_mask": True}, "document_mask is True; .* was trained with False"),
        ({"members": 2}, "members were asked for with targets or teachers"),
    ],
)
def test_what_does_not_go_with_a_teacher(options, said, folder, tmp_path):
    two_classes(tmp_path / "a", 8)
    with pytest.raises(InvalidConfig, match=said):
        distil(folder / "run", tmp_path / "a", tmp_path / "small", tiny(1, **options))
    assert not (tmp_path / "small").exists()


def test_shards_of_another_table_or_vocabulary_are_refused(folder, tmp_path):
    write(tmp_path / "other", counting(8), table=OTHER)
    with pytest.raises(WrongTable, match="was encoded with table cdcd"):
        distil(folder / "run", tmp_path / "other", tmp_path / "small", tiny(1))
    write(tmp_path / "larger", counting(8), size=80)
    with pytest.raises(WrongVocabulary, match=r"has a vocabulary of 80; that of .* is 64"):
        distil(folder / "run", tmp_path / "larger", tmp_path / "small", tiny(1))
    done = CliRunner().invoke(app, ["distil", str(folder / "run"), "-o", str(tmp_path / "small")])
    assert done.exit_code == 2, "--shards is missing"
    assert json.loads((folder / "run/metrics.json").read_text())["members"]["count"] == 2

"""What of a record decides, what an id sees, what is left out, and how long and how hard a classifier is trained."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from toy import counting, two_classes, write
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.trainer.datasets.collator import collate
from ult.trainer.datasets.labelled import Labelled, balanced_weights
from ult.trainer.evaluate import evaluate
from ult.trainer.loss import predict
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.heads import set_dropout
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.tasks.predict import predict_labels
from ult.trainer.train import train

QUICK = {"task": "classify", "context": 8, "batch_size": 8, "steps": 12}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return two_classes(tmp_path_factory.mktemp("heads") / "x", rows=120)


def batch(*lengths):
    rng = np.random.default_rng(0)
    records = [rng.integers(32, 64, n) for n in lengths]
    items = [{"input_ids": np.r_[2, one, 2], "attention_mask": np.ones(len(one) + 2, np.int64), "labels": np.array(0)}
             for one in records]  # fmt: skip
    return collate(items), [collate([one]) for one in items]


@pytest.mark.parametrize(("pool", "attention"), [("mean", "full"), ("mean", "causal"), ("last", "full")])
def test_a_run_reads_records_as_it_was_trained_to(pool, attention, shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(pool=pool, attention=attention, **QUICK))
    assert evaluate(tmp_path / "run", shards)["accuracy"] > 0.9
    model = load_trained(Run.open(tmp_path / "run"))
    assert looks_ahead(model) == (attention == "full")
    together, alone = batch(3, 6, 1)
    with torch.no_grad():
        each = torch.cat([predict(model, one) for one in alone])
        torch.testing.assert_close(predict(model, together), each, atol=1e-5, rtol=1e-4)
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run").eval()
        assert not torch.allclose(predict(plain, together), each, atol=1e-3)


def test_mean_is_the_mean_by_hand(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(pool="mean", **QUICK))
    model = load_trained(Run.open(tmp_path / "run"))
    _, (one,) = batch(5)
    with torch.no_grad():
        hidden = model.base_model(input_ids=one["input_ids"])[0]
        torch.testing.assert_close(predict(model, one), model.score(hidden.mean(1)))


def test_a_run_that_goes_on_reads_as_before_and_another_task_forgets_it(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(pool="mean", attention="full", **QUICK))
    train(shards, tmp_path / "on", Recipe(from_run=tmp_path / "run", **QUICK))
    config = load_trained(Run.open(tmp_path / "on")).config
    assert (config.ult_pool, config.ult_attention) == ("mean", "full")
    train(shards, tmp_path / "lm", Recipe(from_run=tmp_path / "run", steps=2, context=8, batch_size=4))
    assert not hasattr(load_trained(Run.open(tmp_path / "lm")).config, "ult_attention")


def test_balanced_labels_count_the_same(tmp_path):
    labels = np.array([0] * 6 + [1] * 2)
    data = Labelled(np.zeros(9, np.int32), np.arange(1, 9), labels, "y", ["a", "b", "c"], 8)
    assert balanced_weights(data).tolist() == pytest.approx([8 / 12, 8 / 4, 0])
    records = counting(100)
    shards = write(tmp_path / "x", records, kept={"label": ["rare" if k % 10 == 0 else "often" for k in range(100)]})
    found = {}
    for weights in (None, "balanced"):
        train(shards, tmp_path / "run", Recipe(class_weights=weights, learning_rate=1e-3, **QUICK), force=True)
        found[weights] = predict_labels(tmp_path / "run", shards).probabilities[:, 1].mean()
    assert found["balanced"] > found[None] + 0.1


def test_dropout_is_for_training_alone(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(dropout=0.3, label_smoothing=0.1, **QUICK))
    model = load_trained(Run.open(tmp_path / "run"))
    together, _ = batch(3, 4)
    with torch.no_grad():
        before = predict(model, together)
        set_dropout(model, 0.5)
        torch.testing.assert_close(predict(model, together), before)
        model.train()
        assert not torch.allclose(predict(model, together), before, atol=1e-3)


def test_epochs_are_passes_and_the_decay_follows_them(shards, tmp_path):
    quick = {name: value for name, value in QUICK.items() if name != "steps"}
    metrics = train(shards, tmp_path / "run", Recipe(epochs=1.5, weight_decay="auto", **quick))
    assert (metrics["steps"], metrics["recipe"]["epochs"], metrics["recipe"]["weight_decay"]) == (23, 1.5, "auto")
    assert metrics["weight_decay"] == pytest.approx(0.2 * 23 * 8 / 120)
    assert Recipe(weight_decay="2.5").weight_decay == 2.5
    assert Recipe(steps=160, batch_size=10, weight_decay="auto").of_samples(10).weight_decay == 3.2
    for options, said in (
        ({"weight_decay": "much"}, "expected a number of at least 0 and below 100 or auto"),
        ({"epochs": 2.0, "steps": 10}, "epochs and steps were both given"),
        ({"pool": "mean", "task": "lm"}, "pool was given for task 'lm'"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            Recipe(**options)


def test_validation_stops_early_tells_what_is_cut_and_stands_beside_a_bag(shards, tmp_path, capsys):
    held = two_classes(tmp_path / "held", rows=40)
    options = QUICK | {"steps": 10, "evaluate_every": 5, "context": 6}
    metrics = train(shards, tmp_path / "run", Recipe(**options), validation=held)
    assert (metrics["validation"]["patience"], metrics["validation"]["majority"]) == (3, 0.5)
    assert metrics["validation"]["bag_accuracy"] == 1.0
    said = " ".join(capsys.readouterr().err.split())
    assert f"note: {metrics['truncated']} of 120 records are longer than the context of 6" in said
    assert "--context 10 reads all" in said
    assert "of its labels are right, by a bag of the same ids 100.0%" in said
    assert Recipe(patience=0).most_patience is None

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from toy import OTHER, counting, two_classes, write
from ult.errors import MissingColumn, MissingSource, TrainingError, WrongVocabulary
from ult.trainer.evaluate import evaluate
from ult.trainer.recipe import Recipe
from ult.trainer.tasks.classify import balanced_of
from ult.trainer.tasks.interval import half_width, wilson
from ult.trainer.train import train

CONTEXT = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    train(write(folder / "x", counting(60)), folder / "run", Recipe(steps=15, batch_size=4, context=CONTEXT))
    return folder / "run"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classify")
    train(two_classes(folder / "x"), folder / "run", Recipe(task="classify", steps=15, batch_size=8, context=8))
    return folder / "run"


def by_hand(run, records):
    """The nats of each record, an id at a time: the slow twin of the batched stream."""
    model = AutoModelForCausalLM.from_pretrained(run).eval()
    stream = [2, *(int(i) for record in records for i in [*record, 2])]
    owner = [number for number, record in enumerate(records) for _ in range(len(record) + 1)]
    nats = np.zeros(len(records))
    for place in range(1, len(stream)):
        start = (place - 1) // CONTEXT * CONTEXT
        with torch.no_grad():
            logits = model(torch.tensor([stream[start:place]])).logits[0, -1].double()
        nats[owner[place - 1]] -= float(logits.log_softmax(-1)[stream[place]])
    return nats


def test_bits_per_byte_equals_the_sum_by_hand(run, tmp_path):
    records = [*counting(8, seed=1), np.empty(0, np.uint32), *counting(4, seed=2)]
    parts = [write(tmp_path / "x", records[:5], nbytes=100), write(tmp_path / "y", records[5:], nbytes=31)]
    nats = by_hand(run, records)
    for batch_size in (1, 16):
        result = evaluate(run, parts, batch_size=batch_size)
        assert result["bits_per_byte"] == pytest.approx(nats.sum() / math.log(2) / 131, rel=1e-5)
        assert result["predictions"] == sum(len(r) + 1 for r in records)
        assert result["bits_per_id"] == pytest.approx(nats.sum() / math.log(2) / result["predictions"], rel=1e-5)
        assert (result["rows"], result["bytes"], result["task"], result["run"]) == (13, 131, "lm", "run")
        low, high = result["bits_per_byte_interval"]
        assert (low + high) / 2 == pytest.approx(result["bits_per_byte"])
        assert json.loads(json.dumps(result)) == result


def test_interval_is_that_of_resampled_records():
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 40, 400)
    bits = counts * rng.gamma(4, 1, 400)
    picks = rng.integers(0, 400, (4000, 400))
    spread = np.std(bits[picks].sum(1) / counts[picks].sum(1))
    assert half_width(bits, counts) == pytest.approx(1.96 * spread, rel=0.05)


def test_nothing_is_claimed_without_bytes_or_without_a_second_record(run, tmp_path):
    result = evaluate(run, write(tmp_path / "x", counting(1), nbytes=0))
    names = ("bits_per_byte", "bits_per_byte_interval", "bits_per_id_interval")
    assert [result[name] for name in names] == [None, None, None]
    assert result["bits_per_id"] > 0


def test_shards_of_an_unseen_table_are_flagged(run, tmp_path):
    seen, unseen = write(tmp_path / "x", counting(4)), write(tmp_path / "y", counting(4), table=OTHER)
    assert evaluate(run, seen)["table_seen"] is True
    assert evaluate(run, [seen, unseen])["table_seen"] is False


def test_accuracy_is_the_share_of_right_classes(classifier, tmp_path):
    records, labels = [*counting(6, high=48), *counting(3, low=48)], ["low"] * 5 + ["high"] * 4
    result = evaluate(classifier, write(tmp_path / "x", records, kept={"label": labels, "note": labels}), batch_size=4)
    model = AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    with torch.no_grad():
        logits = [model(torch.tensor([[2, *map(int, r[:6]), 2]])).logits[0] for r in records]
    hits = [model.config.id2label[int(row.argmax())] == label for row, label in zip(logits, labels, strict=True)]
    assert result["accuracy"] == np.mean(hits) == 8 / 9
    assert result["balanced_accuracy"] == pytest.approx((1 + 3 / 4) / 2)
    assert result["accuracy_interval"] == wilson(8 / 9, 9)
    low, high = result["balanced_accuracy_interval"]
    assert low < result["balanced_accuracy"] <= high <= 1
    assert (result["chance"], result["classes"], result["rows"]) == (0.5, 2, 9)
    assert json.loads(json.dumps(result)) == result


def test_balanced_accuracy_leaves_out_absent_classes():
    assert balanced_of(np.array([[[1, 0, 4], [3, 0, 0]]])).tolist() == [(3 / 4 + 0) / 2]


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (29, 29, 0.8830, 1)],
)
def test_wilson_equals_published_values(hits, n, low, high):
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert wilson(hits / n, n) == pytest.approx([low, high], abs=5e-5)


def test_wrong_input_is_refused(run, classifier, tmp_path):
    kept = {"label": ["low", "sideways"]}
    for folder, given, error in (
        (run, write(tmp_path / "small", counting(2, high=40), size=40), WrongVocabulary),
        (run, write(tmp_path / "empty", []), TrainingError),
        (run.parent, tmp_path / "empty", MissingSource),
        (classifier, write(tmp_path / "bare", counting(2)), MissingColumn),
        (classifier, write(tmp_path / "new", counting(2), kept=kept), TrainingError),
    ):
        with pytest.raises(error) as caught:
            evaluate(folder, given)
        assert "sideways" not in str(caught.value)

"""The model `bag`: linear on which ids a record holds, fitted at once, and a run like any other."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from toy import SIZE, two_classes, write
from ult.errors import FormatError, InvalidConfig
from ult.owner.handover.withhold import withhold
from ult.public.run import Run
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.evaluate import evaluate
from ult.trainer.models.bag import PENALTIES, Bag, Records
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

BAG = Recipe(task="classify", model="bag", context=16)


def records(*lists, labels):
    ids = np.concatenate(lists).astype(np.int64)
    record = np.repeat(np.arange(len(lists)), list(map(len, lists)))
    return Records(*map(torch.from_numpy, (ids, record, np.array(labels))))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bag")
    train(two_classes(folder / "x", rows=200), folder / "run", BAG)
    return Run.open(folder / "run")


def test_it_tells_records_apart_that_it_never_saw(run, tmp_path):
    found = evaluate(run.path, two_classes(tmp_path / "other", rows=80, table=next(iter(run.tables))))
    assert found["accuracy"] == 1.0
    assert run.metrics["model"] == "bag"
    assert run.metrics["initial_weights"] == "random"
    assert 2 <= run.metrics["steps"] <= len(PENALTIES)
    assert len(run.metrics["loss"]) == run.metrics["steps"]


def test_the_checkpoint_is_weights_and_json_alone(run):
    names = {path.name for path in run.path.iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pkl", ".pt", ".joblib"))]
    assert json.loads((run.path / "config.json").read_text())["model_type"] == "ult_bag"


def test_the_same_call_gives_the_same_weights(run, tmp_path):
    shards = two_classes(tmp_path / "x", rows=200)
    train(shards, tmp_path / "run", BAG)
    assert Run.open(tmp_path / "run").digest() == run.digest()


def test_padding_and_special_ids_do_not_count(run):
    model = load_trained(run)
    ids = torch.tensor([[33, 34, 35, 36]])
    padded = torch.tensor([[2, 33, 34, 35, 36, 2, 0, 0, 0]])
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=padded).logits)
        nothing = model(input_ids=torch.tensor([[2, 2]])).logits
    assert torch.equal(nothing[0], model.bias)


def test_it_is_logistic_regression_on_tfidf():
    sklearn = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    lists = [rng.integers(N_SPECIAL, SIZE, rng.integers(1, 9)) for _ in range(120)]
    labels = np.array([int(np.isin([40, 41, 42], one).any()) for one in lists])
    known = records(*lists, labels=labels)
    bag = Bag.of(Vocabulary(SIZE), [0, 1])
    bag.choose(known)
    of, feature, weight = bag.features(known.ids, known.record, len(lists))
    dense = np.zeros((len(lists), len(bag.scale)))
    dense[of, feature] = weight
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), 1, rtol=1e-5)
    *_, _ = bag.fitted(known)
    # Two rows of weights that are opposite cost half of what their difference costs as one row.
    other = sklearn.LogisticRegression(C=2 / (PENALTIES[-1] * len(lists)), tol=1e-8, max_iter=5000).fit(dense, labels)
    ours = (bag(bag_of(lists)).logits @ torch.tensor([-1.0, 1.0])).detach().numpy()
    theirs = other.decision_function(dense)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99


def bag_of(lists):
    out = np.zeros((len(lists), max(map(len, lists))), np.int64)
    for row, one in zip(out, lists, strict=True):
        row[: len(one)] = one
    return torch.from_numpy(out)


def test_pairs_of_neighbours_are_features_if_enough_records_hold_them(tmp_path):
    rng = np.random.default_rng(1)
    forward = [np.array([40, 41]) if k % 2 else np.array([41, 40]) for k in range(80)]
    lists = [np.append(one, rng.integers(50, SIZE, 3)).astype(np.uint32) for one in forward]
    shards = write(tmp_path / "x", lists, kept={"label": ["ab" if k % 2 else "ba" for k in range(80)]})
    train(shards, tmp_path / "run", BAG)
    assert evaluate(tmp_path / "run", shards)["accuracy"] == 1.0
    assert load_trained(Run.open(tmp_path / "run")).config.pairs >= 2


def test_validation_chooses_the_penalty(tmp_path):
    known, other = two_classes(tmp_path / "x"), two_classes(tmp_path / "y", rows=40)
    metrics = train(known, tmp_path / "run", BAG, validation=other)
    bits = metrics["validation"]["bits"]
    assert metrics["validation"]["best_step"] == min(bits, key=lambda one: one[1])[0]
    assert evaluate(tmp_path / "run", other)["accuracy"] == 1.0


def test_its_rows_are_not_withheld_because_its_pairs_would_stay(run, tmp_path):
    with pytest.raises(InvalidConfig, match="is a bag: it has no body"):
        withhold(run.path, tmp_path / "out", tmp_path / "rows.age", encrypt=False)
    assert not list(tmp_path.iterdir())


def test_no_training_goes_on_from_it(run, tmp_path):
    more = two_classes(tmp_path / "more", table=next(iter(run.tables)))
    with pytest.raises(InvalidConfig, match=r"run is a bag: its weights .*hint: --model bag on the new shards"):
        train(more, tmp_path / "out", Recipe(task="classify", from_run=run.path, steps=1, context=16))


@pytest.mark.parametrize("classes", [["high"], ["high", "low", "other"], []])
def test_a_model_of_another_number_of_labels_is_refused(run, classes):
    with pytest.raises(FormatError, match="its model has 2 outputs"):
        load_trained(replace(run, metrics={**run.metrics, "classes": classes}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "lm"}, "model bag was given for task 'lm'; it is for classify and regress"),
        ({"learning_rate": 1e-3}, "learning_rate was given for model bag"),
        ({"steps": 5}, "steps was given for model bag"),
        ({"epsilon": 8.0}, "epsilon was given for model bag"),
    ],
)
def test_what_means_nothing_to_it_is_refused(options, said):
    with pytest.raises(InvalidConfig, match=said):
        Recipe(**{"task": "classify", "model": "bag", **options})

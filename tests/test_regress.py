"""Task regress: a kept number is learnt, measured beside the mean, and predicted in its own units."""

import csv

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn import metrics

import ult
from toy import SIZE, counting, write
from ult.audit.model.audit import audit_model
from ult.audit.release.verdict import judge_model
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.public.task import VALUE
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.evaluate import evaluate
from ult.trainer.models.bag import PENALTIES, Bag, Records
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"task": "regress", "context": 10, "batch_size": 16, "pool": "mean"}


def numbered(path, rows, seed, **cells):
    """Write records with a number that their first id decides."""
    records = counting(rows, seed=seed)
    return write(path, records, kept=cells or {"age": [100.0 + 5 * (int(one[0]) - 48) for one in records]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("regress")
    numbered(root / "held", 60, 1)
    recipe = Recipe(steps=80, **QUICK)
    train(numbered(root / "x", 300, 0), root / "run", recipe, validation=root / "held")
    return root


def test_numbers_are_learnt_and_measured_beside_the_mean(folder):
    found = evaluate(folder / "run", folder / "held")
    predicted = ult.predict(folder / "run", folder / "held", out=folder / "p.csv")
    with (folder / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = np.array([float(row["predicted"]) for row in rows])
    np.testing.assert_allclose(told, predicted.expected)
    true = ult.Shards(folder / "held").to_arrow()["age"].to_numpy()
    mean = ult.Shards(folder / "x").to_arrow()["age"].to_numpy().mean()
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(true, told), rel=1e-4)
    assert found["rmse"] == pytest.approx(metrics.mean_squared_error(true, told) ** 0.5, rel=1e-4)
    assert found["r2"] == pytest.approx(metrics.r2_score(true, told), rel=1e-3)
    assert found["mae_of_mean"] == pytest.approx(np.abs(true - mean).mean(), rel=1e-4)
    assert found["r2"] > 0.3
    assert predicted.figures.r2 == pytest.approx(found["r2"], rel=1e-4)
    evaluation = ult.evaluate(folder / "run", folder / "held")
    assert dict(evaluation.facts())["R2"] == f"{found['r2']:.4f}"
    assert Run.open(folder / "run").metrics["scale"][0] == pytest.approx(mean)


def test_texts_that_say_numbers_will_do_and_others_are_refused(folder, tmp_path):
    texts = numbered(tmp_path / "t", 20, 2, age=[str(k) for k in range(20)])
    metrics = train(texts, tmp_path / "run", Recipe(steps=1, **QUICK))
    assert metrics["scale"][0] == 9.5
    for cells, said in ((["a"] * 4, "holds what is no number"), ([1.0] * 4, "has one number"),
                        (pa.array([1.0, None, 2.0, 3.0]), "empty or not finite in 1 of 4")):  # fmt: skip
        with pytest.raises(InvalidConfig, match=said):
            train(numbered(tmp_path / "no", 4, 0, age=cells), tmp_path / "run2", Recipe(steps=1, **QUICK))
        (tmp_path / "no").rename(tmp_path / f"no {said}")
    bare = write(tmp_path / "bare", counting(3))
    assert ult.predict(folder / "run", bare).figures is None


def test_what_means_nothing_to_numbers_is_refused(folder):
    for options, said in (
        ({"epsilon": 8.0}, "epsilon was given for task 'regress'"),
        ({"label_smoothing": 0.1}, "label_smoothing was given for task 'regress'"),
        ({"class_weights": "balanced"}, "class_weights was given for task 'regress'"),
        ({"model": "bag", "steps": 5}, "steps was given for model bag"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            Recipe(task="regress", **options)


def noisy(path, rows, seed):
    """Write records whose number nothing in them tells."""
    rng = np.random.default_rng(seed)
    lists = [rng.integers(N_SPECIAL, SIZE, 12).astype(np.uint32) for _ in range(rows)]
    return write(path, lists, kept={"age": rng.normal(size=rows).tolist()})


def test_a_bag_of_numbers_stands_beside_a_run(folder, tmp_path):
    metrics = train(folder / "x", tmp_path / "bag", Recipe(task="regress", model="bag", context=10))
    assert metrics["model"] == "bag"
    alone = evaluate(tmp_path / "bag", folder / "held")
    found = ult.evaluate(folder / "run", folder / "held", bag=folder / "x")
    assert alone["r2"] > 0.9
    assert found.bag.r2 == pytest.approx(alone["r2"], abs=1e-6)
    assert dict(found.facts())["R2 of the bag"] == f"{alone['r2']:.4f}"
    beside = Run.open(folder / "run").metrics["validation"]
    assert beside["bag_mean_error"] == pytest.approx(alone["mae"], rel=1e-4)
    assert beside["mean_error"] == pytest.approx(found.numbers.error, rel=1e-4)
    assert any("--bag" in one for one in ult.evaluate(folder / "run", folder / "held").remarks())
    with pytest.raises(InvalidConfig, match="is a bag itself"):
        evaluate(tmp_path / "bag", folder / "held", bag=folder / "x")


def test_a_bag_of_numbers_is_ridge_regression(tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    lists = [rng.integers(N_SPECIAL, SIZE, rng.integers(1, 9)) for _ in range(120)]
    truth = np.array([np.isin(one, [40, 41, 42]).sum() for one in lists]) + rng.normal(size=120)
    ids, record = np.concatenate(lists), np.repeat(np.arange(120), list(map(len, lists)))
    known = Records(*map(torch.from_numpy, (ids.astype(np.int64), record, truth.astype(np.float32))))
    bag = Bag.of(Vocabulary(SIZE), VALUE)
    bag.choose(known)
    of, feature, weight = bag.features(*known[:2], 120)
    dense = np.zeros((120, len(bag.scale)))
    dense[of, feature] = weight
    *_, _ = bag.fitted(known)
    ours = (dense @ bag._weights().detach().numpy())[:, 0] + bag.bias.item()
    theirs = linear.Ridge(alpha=PENALTIES[-1] * 120, solver="svd").fit(dense, truth).predict(dense)
    np.testing.assert_allclose(ours, theirs, atol=0.1)


def test_an_audit_finds_which_numbers_were_learnt_by_heart(tmp_path):
    known, other = noisy(tmp_path / "x", 300, 0), noisy(tmp_path / "y", 300, 1)
    train(known, tmp_path / "heart", Recipe(task="regress", model="bag", context=14), validation=known)
    train(known, tmp_path / "tiny", Recipe(steps=2, **{**QUICK, "context": 14}))
    found = {}
    for name in ("heart", "tiny"):
        audit, _ = audit_model(tmp_path / name, known, other)
        assert list(audit["membership"]) == ["loss"]
        assert audit["extraction"] is None
        found[name] = audit["membership"]["loss"]["auc"]
        levels = {one.topic: one.level for one in judge_model(audit, task="regress")}
        assert ("red" in levels.values()) == (name == "heart"), levels
    assert found["heart"] > 0.6 > found["tiny"]

"""Task regress: a kept number is learnt, measured beside the mean, and predicted in its own units."""

import csv

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

import ult
from toy import counting, write
from ult.errors import InvalidConfig, TrainingError
from ult.public.run import Run
from ult.trainer.evaluate import evaluate
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
        ({"model": "bag"}, "it is for classify"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            Recipe(task="regress", **options)
    with pytest.raises(TrainingError, match="was trained for regress"):
        ult.audit.audit_model(folder / "run", folder / "x", folder / "held")

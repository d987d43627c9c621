"""What a classifier achieves on shards, the bag beside it, and `ult predict` without a table."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

import ult
from toy import counting, two_classes, write
from ult.cli import app
from ult.errors import InvalidConfig, MissingSource, OutputError
from ult.trainer.evaluate import evaluate
from ult.trainer.evaluation import Evaluation
from ult.trainer.tasks.classified import Classified, recall_facts
from ult.trainer.train import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("labels")
    options = {"task": "classify", "context": 8, "batch_size": 8}
    train(two_classes(root / "x", rows=200), root / "run", ult.Recipe(steps=15, **options))
    train(root / "x", root / "bag", ult.Recipe(task="classify", context=8, model="bag"))
    train(root / "x", root / "lm", ult.Recipe(steps=1, context=8, batch_size=2))
    two_classes(root / "held", rows=40)
    return root


@pytest.mark.parametrize("classes", [2, 4])
def test_the_figures_are_those_of_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, 300)
    chances = rng.dirichlet(np.ones(classes), 300).round(2) + 0.01 + 0.3 * np.eye(classes)[truth]
    chances /= chances.sum(1, keepdims=True)
    found = Classified.of(truth, chances)
    assert (found.confusion == metrics.confusion_matrix(truth, chances.argmax(1))).all()
    assert found.recalls == pytest.approx(metrics.recall_score(truth, chances.argmax(1), average=None))
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, chances.argmax(1)))
    assert found.log_loss == pytest.approx(metrics.log_loss(truth, chances))
    one, each = (chances[:, 1], truth) if classes == 2 else (chances, np.eye(classes)[truth])
    assert found.auroc == pytest.approx(metrics.roc_auc_score(each, one, average="macro"))
    assert found.auprc == pytest.approx(metrics.average_precision_score(each, one, average="macro"))


def test_calibration_and_majority_by_hand():
    chances = np.array([[0.95, 0.05]] * 8 + [[0.35, 0.65]] * 2)
    found = Classified.of(np.array([0] * 7 + [1] * 3), chances)
    assert found.calibration_error == pytest.approx(0.8 * abs(0.95 - 7 / 8) + 0.2 * abs(0.65 - 1))
    assert found.majority == 0.7
    alone = Classified.of(np.zeros(3, np.int64), np.full((3, 3), 1 / 3))
    assert (alone.auroc, alone.auprc, alone.balanced_accuracy) == (None, None, 1.0)


def test_a_recall_names_what_is_taken_for_what():
    found = recall_facts(("a", "b", "c"), np.array([[3, 1, 0], [0, 0, 0], [2, 5, 13]]))
    assert found == [("recall of c", "65.0% of 20; taken for b 5, a 2"), ("recall of a", "75.0% of 4; taken for b 1")]


def test_a_bag_of_the_same_ids_stands_beside_a_classifier(folder, capsys):
    found = evaluate(folder / "run", folder / "held", bag=folder / "x")
    assert found["bag"]["accuracy"] == evaluate(folder / "bag", folder / "held")["accuracy"] == 1.0
    assert [one["name"] for one in found["bag"]["shards"]] == ["x"]
    assert "--bag SHARDS" in " ".join(ult.evaluate(folder / "run", folder / "held").remarks())
    assert not ult.evaluate(folder / "bag", folder / "held").remarks()
    app(["evaluate", str(folder / "run"), str(folder / "held"), "--bag", str(folder / "x")], standalone_mode=False)
    said = capsys.readouterr().out
    assert "accuracy of a bag of the ids" in said
    assert "recall of low" in said
    for run, refusal in (("bag", "is a bag itself"), ("lm", "it predicts labels, the run is for lm")):
        with pytest.raises(InvalidConfig, match=refusal):
            evaluate(folder / run, folder / "held", bag=[folder / "x"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_of_shards_are_predicted_without_a_table(folder, suffix, tmp_path, capsys):
    out = tmp_path / f"p{suffix}"
    app(["predict", str(folder / "run"), str(folder / "held"), "-o", str(out)], standalone_mode=False)
    said = capsys.readouterr().out
    assert "'label' of 40 records, of 2 values" in said
    if suffix == ".csv":
        lines = list(csv.DictReader(io.StringIO(out.read_text())))
    elif suffix == ".jsonl":
        lines = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        lines = pq.read_table(out).to_pylist()
    found = ult.predict(folder / "run", ult.Shards(folder / "held"))
    assert [line["record"] for line in lines] == list(map(str, range(40))) == list(found.records)
    assert [line["predicted"] for line in lines] == list(found.likeliest)
    chances = np.array([[float(line["p(high)"]), float(line["p(low)"])] for line in lines])
    np.testing.assert_allclose(chances, found.probabilities, atol=1e-5)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    measured = evaluate(folder / "run", folder / "held")
    assert (found.figures.accuracy, found.figures.auprc) == pytest.approx((measured["accuracy"], measured["auprc"]))


def test_shards_without_the_label_or_with_another_one_are_predicted_too(folder, tmp_path):
    bare = write(tmp_path / "bare", counting(3))
    new = write(tmp_path / "new", counting(2), kept={"label": ["low", "sideways"]})
    found = ult.predict(folder / "run", [bare, new], out=tmp_path / "p.csv")
    assert found.records == ("bare:0", "bare:1", "bare:2", "new:0", "new:1")
    assert found.truth.tolist() == [-1, -1, -1, 1, -1]
    assert ult.predict(folder / "run", bare).figures is None


def test_what_cannot_be_predicted_is_refused_before_anything_is_written(folder, tmp_path):
    for run, inputs, out, error, said in (
        ("lm", folder / "held", "p.csv", InvalidConfig, "was trained for lm; expected the owner"),
        ("run", folder / "held", "p.txt", OutputError, "expected .csv, .jsonl, .parquet"),
        ("run", tmp_path / "no.csv", "p.csv", MissingSource, r"no\.csv is not there; expected shards"),
    ):
        with pytest.raises(error, match=said):
            ult.predict(folder / run, inputs, out=tmp_path / out)
    with pytest.raises(InvalidConfig, match="the table and a target, of records, or neither"):
        ult.predict(folder / "run", folder / "held", target="label")
    assert not list(tmp_path.iterdir())


def test_an_evaluation_shows_what_its_task_measures():
    common = {"run": "r", "rows": 1200, "table_seen": False, "context": 16, "shards": []}
    labels = {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "balanced_accuracy": 0.85}
    labels |= {"balanced_accuracy_interval": [0.7, 0.9], "chance": 0.5, "truncated": 3, "task": "classify"}
    labels |= {"labels": ["a", "b"], "majority": 0.6, "auroc": 0.9, "auprc": 0.8, "log_loss": 0.3, "is_bag": False}
    labels |= {"calibration_error": 0.1, "confusion": [[680, 40], [80, 400]]}
    pairs = {"task": "seq2seq", "predictions": 9, "bytes": 0, "truncated": 0, "bits_per_byte": None, "bits_per_id": 2.0}
    pairs |= {"bits_per_byte_interval": None, "bits_per_id_interval": [1.5, 2.5]}
    pairs |= {"exact_match": 0.25, "exact_match_interval": [0.1, 0.4], "exact_match_top_3": 0.5}
    pairs |= {"exact_match_top_3_interval": [0.3, 0.7]}
    one, two = (Evaluation.of(common | told) for told in (labels, pairs))
    assert one.facts()[:3] == [
        ("accuracy", "90.0%  (95 %: 80.0% to 95.0%)"),
        ("share of the most frequent label", "60.0%"),
        ("balanced accuracy", "85.0%  (95 %: 70.0% to 90.0%)"),
    ]
    assert (one.bits_per_id, one.truncated, len(one.remarks())) == (None, 3, 2)
    assert two.exact_match[3].high == 0.7
    assert dict(two.facts())["exact match top 3"] == "50.0%  (95 %: 30.0% to 70.0%)"
    assert dict(two.facts())["bits per byte"].startswith("unknown")
    assert str(two.bits_per_id) == "2.0000  (95 %: 1.5000 to 2.5000)"
    assert json.loads(two.to_json()) == common | pairs

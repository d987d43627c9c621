"""Membership scores: by hand, against a plain loop, on a planted leak and on a run that never saw a record."""

import zlib

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from leak import random_records
from toy import write
from ult.audit.bounds import summarize
from ult.audit.model.membership import loss, min_k, min_k_plus, reference, rmia, scores, zlib_ratio
from ult.audit.model.predicted import Predicted, predict_ids
from ult.audit.model.references import read_references
from ult.audit.model.sides import read_sides
from ult.errors import InvalidConfig, WrongTable
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


@pytest.fixture(scope="module")
def sides(audited):
    return read_sides(Run.open(audited / "leak"), audited / "leak.shards", audited / "others")


def test_a_planted_leak_is_found(audited, sides):
    beside = read_references([Run.open(audited / "clean")], sides, batch_size=16, advance=print)
    found, how = scores(Run.open(audited / "leak"), sides, references=beside)
    told = {name: summarize(*pair) for name, pair in found.items()}
    assert set(told) == {"loss", "min-k", "min-k++", "reference", "rmia"}
    assert all(one["auc_interval"][0] > 0.5 for one in told.values())
    assert how["rmia"] == {"a": 1 / 3, "a_from": how["rmia"]["a_from"], "references": 1}
    for name in ("loss", "reference", "rmia"):
        assert told[name]["auc"] > 0.9
        assert told[name]["tpr"][1]["interval"][0] > 0.3
        assert told[name]["epsilon_at_least"] > 0.5


def test_records_never_seen_score_as_any_other(audited, sides):
    for members, nonmembers in scores(Run.open(audited / "clean"), sides)[0].values():
        told = summarize(members, nonmembers)
        assert told["auc_interval"][0] < 0.5 < told["auc_interval"][1]
        assert told["epsilon_at_least"] == 0


@pytest.mark.parametrize("context", [32, 5])
def test_predictions_are_those_of_a_plain_loop(audited, context, monkeypatch):
    """Of a record longer than the context, each window starts anew, as the blocks of training do."""
    run = Run.open(audited / "leak")
    monkeypatch.setitem(run.metrics, "context", context)
    records = random_records(7, 9)
    found = predict_ids(run, records, batch_size=3)
    model = AutoModelForCausalLM.from_pretrained(audited / "leak").eval()
    for record, log, mean, deviation in zip(
        records, *(found.each(v) for v in (found.log, found.mean, found.deviation)), strict=True
    ):
        stream = [2, *record.tolist(), 2]
        for k, label in enumerate(stream[1:]):
            with torch.no_grad():
                given = stream[k - k % context : k + 1]
                logs = model(torch.tensor([given])).logits[0, -1].double().log_softmax(-1)
            assert log[k] == pytest.approx(float(logs[label]), abs=1e-4)
            expected = float((logs.exp() * logs).sum())
            assert mean[k] == pytest.approx(expected, abs=1e-4)
            variance = float((logs.exp() * (logs - expected) ** 2).sum())
            assert deviation[k] == pytest.approx(variance**0.5, abs=1e-4)
    assert found.totals == pytest.approx([log.sum() for log in found.each(found.log)])


def test_scores_by_hand():
    log = np.log([0.5, 0.25, 0.125, 0.5, 0.5, 0.5])
    of = Predicted(log, np.full(6, np.log(0.25)), np.full(6, 2.0), np.array([3, 6]))
    assert loss(of) == pytest.approx([-2 * np.log(2), -np.log(2)])
    assert min_k(of, 0.4) == pytest.approx([np.log(0.125), np.log(0.5)])
    assert min_k(of, 0.7) == pytest.approx([np.log(0.125) / 2 + np.log(0.25) / 2, np.log(0.5)])
    assert min_k_plus(of) == pytest.approx([-np.log(2) / 2, np.log(2) / 2])
    data = [b"abc", b"a" * 999]
    assert zlib_ratio(of, data) == pytest.approx(loss(of) / [len(zlib.compress(one)) for one in data])
    even = Predicted(np.log([0.25] * 6), of.mean, of.deviation, of.ends)
    both = (of.averages, even.averages)
    assert reference(*both) == pytest.approx([0, np.log(2)])
    assert np.exp(rmia(*both, 0.0)) == pytest.approx([0.25 / 0.625, 0.5 / 0.625])
    assert rmia(*both, 1.0) == pytest.approx(reference(*both))


def test_zlib_reads_what_the_table_decodes(tmp_path):
    texts = [f"{word} {word} number {k}" for k in range(20) for word in ("apple", "plum")]
    table = Table.fit(texts, vocabulary=Vocabulary(320), min_records=1)
    half = [
        write(tmp_path / str(k), table.encode_batch(texts[k::2]), size=320, table=table.fingerprint) for k in (0, 1)
    ]
    train(half[0], tmp_path / "run", Recipe(steps=2, batch_size=2, context=16))
    run = Run.open(tmp_path / "run")
    sides = read_sides(run, half[0], half[1])
    found, _ = scores(run, sides, table=table)
    expected = found["loss"][0] / [len(zlib.compress(text.encode())) for text in texts[::2]]
    assert found["zlib"][0] == pytest.approx(expected)
    with pytest.raises(WrongTable):
        scores(run, sides, table=Table.fit(texts[1:], vocabulary=Vocabulary(320), min_records=1))


def test_nothing_to_predict(audited):
    with pytest.raises(InvalidConfig, match="no records"):
        predict_ids(Run.open(audited / "leak"), [])

"""Going on from an earlier run: compatible with it, at a rate that stands still, and with earlier shards replayed."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from test_schedule import QUICK, rates
from test_train import interrupt_at
from toy import OTHER, counting, labelled, same, two_classes, weights, write
from ult.errors import InvalidConfig, TrainingError, WrongTable
from ult.public.run import Run
from ult.trainer.compatible import Compatible, Cost
from ult.trainer.datasets.packing import open_shards
from ult.trainer.datasets.replaying import mixture_of
from ult.trainer.distil import distil
from ult.trainer.recipe import Recipe
from ult.trainer.replay import Replay
from ult.trainer.train import train

SHORT = {**QUICK, "steps": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two months of records of two classes, and a run of the first month."""
    root = tmp_path_factory.mktemp("months")
    two_classes(root / "january")
    records = counting(60, seed=5)
    write(root / "february", records, kept={"label": ["high", "low", "new"] * 20})
    write(root / "elsewhere", records, table=OTHER, kept={"label": ["low", "high", "low"] * 20})
    train(root / "january", root / "old", Recipe(task="classify", **{**QUICK, "steps": 30}))
    train(root / "january", root / "lm", Recipe(**SHORT))
    return root


# ---- compatible


class Fixed(torch.nn.Module):
    """A model that says these logits, whatever it is asked."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, **_):
        return self


def test_only_what_the_earlier_run_has_right_is_learned_from_it():
    old = [[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]]
    cost = Cost(Fixed(old), 3.0)
    inputs = {"labels": torch.tensor([0, 1, -100])}
    new = torch.tensor([[0.0, 1.0], [5.0, -5.0], [9.0, 9.0]])
    p = np.exp([2.0, 0.0]) / np.exp([2.0, 0.0]).sum()
    expected = -3.0 * float((p * torch.log_softmax(new[0], 0).numpy()).sum())
    assert float(cost(inputs, new)) == pytest.approx(expected, rel=1e-5)
    wrong = Cost(Fixed([[0.0, 2.0], [2.0, 0.0], [0.0, 2.0]]), 3.0)
    assert float(wrong(inputs, new)) == 0.0
    impossible = Cost(Fixed([[2.0, -torch.inf], [2.0, -torch.inf], [0.0, 2.0]]), 1.0)
    assert torch.isfinite(impossible(inputs, new))


def test_a_run_says_what_it_is_compatible_with_and_its_gradient_is_another(folder, tmp_path):
    common = {"task": "classify", "from_run": folder / "old", **SHORT}
    plain = train(folder / "february", tmp_path / "plain", Recipe(**common))
    told = train(folder / "february", tmp_path / "new", Recipe(**common, compatible_with=folder / "old"))
    opened = Run.open(folder / "old")
    assert told["compatible"] == [{"run": "old", "digest": opened.digest(), "members": 1}]
    assert told["trained_before"] == opened.trained_on
    assert told["recipe"]["compatible_with"] == "old"
    assert str(folder) not in json.dumps(told)
    assert told["classes"] == plain["classes"] == ["high", "low", "new"]
    assert not same(weights(tmp_path / "plain"), weights(tmp_path / "new"))


def test_a_classifier_that_goes_on_keeps_what_it_knew_of_each_label(folder, tmp_path):
    options = {"task": "classify", "from_run": folder / "old", "learning_rate": 1e-9, "steps": 1, "batch_size": 4}
    train(folder / "february", tmp_path / "next", Recipe(**options, context=16))
    before, after = weights(folder / "old")["score.weight"], weights(tmp_path / "next")["score.weight"]
    assert (len(before), len(after)) == (2, 3)
    assert torch.allclose(before, after[:2], atol=1e-6)  # high, low; new is drawn
    train(folder / "february", tmp_path / "fresh", Recipe(**options, context=16, embeddings="fresh"))
    assert not torch.allclose(before, weights(tmp_path / "fresh")["score.weight"][:2], atol=1e-3)


def test_members_and_next_ids_can_be_compatible_too(folder, tmp_path):
    with_members = Recipe(members=2, compatible_with=folder / "lm", from_run=folder / "lm", **SHORT)
    told = train(folder / "february", tmp_path / "both", with_members)
    assert told["compatible"][0]["run"] == "lm"
    again = train(folder / "january", tmp_path / "again", Recipe(compatible_with=tmp_path / "both", **SHORT))
    assert again["compatible"][0]["members"] == 2
    assert train(folder / "february", tmp_path / "both", with_members, resume="auto") == told


def test_an_interrupted_training_ends_with_the_same_bytes(folder, tmp_path, monkeypatch):
    recipe = Recipe(task="classify", from_run=folder / "old", compatible_with=folder / "old", schedule="infinite",
                    anneal=3, replay=f"{folder / 'january'}:0.25", **{**QUICK, "checkpoint_every": 2})  # fmt: skip
    train(folder / "february", tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            train(folder / "february", tmp_path / "cut", recipe)
    other = Recipe(**{**asdict(recipe), "compatible_with": folder / "lm"})
    with pytest.raises((TrainingError, InvalidConfig)):
        train(folder / "february", tmp_path / "cut", other, resume=True)
    train(folder / "february", tmp_path / "cut", recipe, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert train(folder / "february", tmp_path / "cut", recipe, resume="auto")["steps"] == 10


def test_what_cannot_be_compatible_is_refused_before_anything_is_written(folder, tmp_path):
    shards = open_shards(folder / "february")
    with pytest.raises(InvalidConfig, match="old was trained with 'classify'"):
        train(folder / "february", tmp_path / "x", Recipe(compatible_with=folder / "old", **SHORT))
    with pytest.raises(WrongTable, match="was encoded with table"):
        Compatible.open(Recipe(task="classify", compatible_with=folder / "old", context=16),
                        open_shards(folder / "elsewhere"))  # fmt: skip
    found = Compatible.open(Recipe(task="classify", compatible_with=folder / "old", context=16), shards)
    assert found is not None
    with pytest.raises(InvalidConfig, match=r"tells 2 labels apart, of which the shards lack 1.*--replay"):
        found.cost(["low", "new"])
    for options in ({"epsilon": 8.0}, {"rows_per_table": True}):
        with pytest.raises(InvalidConfig, match="both given"):
            Recipe(compatible_with="old", **options)
    with pytest.raises(InvalidConfig, match="without compatible_with"):
        Recipe(compatible_weight=2.0)
    with pytest.raises(InvalidConfig, match="compatible_with was given for a distillation"):
        distil(folder / "lm", folder / "january", tmp_path / "x", Recipe(compatible_with=folder / "lm", **SHORT))
    assert not (tmp_path / "x").exists()


# ---- infinite


def test_the_rate_falls_to_a_constant_goes_on_there_and_is_annealed(folder, tmp_path, monkeypatch):
    common = {**QUICK, "steps": 20, "schedule": "infinite"}
    _, first = rates(monkeypatch, folder / "january", tmp_path / "first", **common, warmup=2)
    assert first[:3] == pytest.approx([0.0, 0.5, 1.0])
    assert first[8:] == pytest.approx(np.full(12, 0.4))
    on = {**common, "warmup": 2}
    _, then = rates(monkeypatch, folder / "february", tmp_path / "then", from_run=tmp_path / "first", **on)
    assert then[:2] == pytest.approx([0.0, 0.2])
    assert then[2:] == pytest.approx(np.full(18, 0.4))
    on |= {"warmup": 0, "anneal": 20}
    _, last = rates(monkeypatch, folder / "february", tmp_path / "last", from_run=tmp_path / "then", **on)
    assert last == pytest.approx(0.4 * (20 - np.arange(20)) / 20)
    with pytest.raises(InvalidConfig, match="anneal was given for schedule 'cosine', which falls to zero itself"):
        Recipe(anneal=3)
    with pytest.raises(InvalidConfig, match="at most the 20 steps"):
        Recipe(anneal=30, steps=20, schedule="infinite")


# ---- replay


def test_a_share_of_each_batch_is_of_the_earlier_shards(folder, tmp_path):
    recipe = Recipe(task="classify", replay=f"{folder / 'january'}:0.25", **QUICK)
    told = train(folder / "february", tmp_path / "run", recipe)
    january = open_shards(folder / "january")[0]
    assert told["replay"] == {"name": "january", "digest": january.manifest.digest, "share": 0.25}
    assert told["recipe"]["replay"] == "january:0.25"
    assert [lot["name"] for lot in told["shards"]] == ["february", "january"]
    assert january.manifest.digest in (Run.open(tmp_path / "run").trained_on or [])
    shards = [open_shards(folder / "february")[0], january]
    data = labelled(tmp_path / "packed", [folder / "february", folder / "january"], context=16)
    mixed = mixture_of(Replay.read("x:0.25"), shards, data, [one.manifest.rows for one in shards])
    assert (mixed.starts, mixed.weights) == ((0, 60, 124), (0.75, 0.25))
    order = np.array(list(mixed.order(40, 0)))
    for first in range(0, 40, 4):
        assert (order[first : first + 4] >= 60).sum() == 1
    passes = train(folder / "february", tmp_path / "two", Recipe(task="classify", replay=f"{folder / 'january'}:0.25",
                   epochs=2, batch_size=8, context=16))  # fmt: skip
    assert passes["steps"] == 20  # two passes over 60 records, in batches of which 6 are of them


def test_what_cannot_be_replayed(folder, tmp_path):
    for text in ("january", ":0.1", "january:", "january:1", "january:nan", "january:0"):
        with pytest.raises(InvalidConfig, match="expected shards and a share between 0 and 1"):
            Recipe(replay=text)
    with pytest.raises(WrongTable, match=r"its ids mean other phrases.*ult encode RECORDS -t TABLE"):
        train(folder / "february", tmp_path / "x", Recipe(replay=f"{folder / 'elsewhere'}:0.1", **SHORT))
    with pytest.raises(InvalidConfig, match="is trained on already"):
        train(folder / "february", tmp_path / "x", Recipe(replay=f"{folder / 'february'}:0.1", **SHORT))
    for options in ({"epsilon": 8.0}, {"mixture": (1.0,)}, {"part": "0/2"}, {"rows_per_table": True}):
        with pytest.raises(InvalidConfig, match="both given"):
            Recipe(replay="old:0.1", **options)
    with pytest.raises(InvalidConfig, match="disjoint records"):
        Recipe(replay="old:0.1", members=2, member_records="disjoint")
    assert not (tmp_path / "x").exists()

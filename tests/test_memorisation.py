"""`--stop-memorised`: a training ends before it has memorised its data."""

import numpy as np
import pytest
import torch

from test_train import interrupt_at
from toy import blocks, same, weights, write
from ult.errors import InvalidConfig
from ult.public.vocabulary import Vocabulary
from ult.trainer.memorisation.stop_memorised import StopMemorised, memorisation_facts, memorisation_scores
from ult.trainer.models.build import build
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

FEW = {"steps": 120, "batch_size": 4, "context": 24, "learning_rate": 5e-3}


def random_records(rows, *, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(32, 64, 23).astype(np.uint32) for _ in range(rows)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write(tmp_path_factory.mktemp("few") / "shards", random_records(4))


def test_a_training_on_little_is_stopped_and_one_that_may_go_on_recites_it(shards, tmp_path):
    stopped = train(shards, tmp_path / "stopped", Recipe(stop_memorised=0.2, **FEW))["memorisation"]
    shares = dict(stopped["shares"])
    assert stopped["stopped_at"] == max(shares) < FEW["steps"]
    assert shares[max(shares)] > 0.2
    assert all(share <= 0.2 for step, share in shares.items() if step < max(shares))
    whole = train(shards, tmp_path / "whole", Recipe(stop_memorised=0.99, **FEW))["memorisation"]
    assert whole["shares"][0][1] < 0.1
    assert whole["shares"][-1][1] > 0.6


def test_watching_changes_nothing_but_the_end(shards, tmp_path):
    quick = FEW | {"steps": 8}
    train(shards, tmp_path / "watched", Recipe(stop_memorised=0.99, **quick))
    assert train(shards, tmp_path / "plain", Recipe(**quick))["memorisation"] is None
    assert same(weights(tmp_path / "watched"), weights(tmp_path / "plain"))


def test_an_interrupted_training_stops_where_the_whole_would(shards, tmp_path, monkeypatch):
    options = {**FEW, "learning_rate": 2e-4, "stop_memorised": 0.2}
    whole = train(shards, tmp_path / "whole", Recipe(**options))
    assert 30 < whole["memorisation"]["stopped_at"] < 120
    with monkeypatch.context() as patch:
        interrupt_at(30, patch)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "resumed", Recipe(**options))
    resumed = train(shards, tmp_path / "resumed", Recipe(**options), resume=True)
    assert resumed["memorisation"] == whole["memorisation"]


def test_the_share_is_of_the_second_halves(shards, tmp_path):
    data = blocks(tmp_path / "packed", [shards], context=24)
    model, _ = build(Recipe(steps=1, batch_size=1, context=24), Vocabulary(64), set(), [])
    watch = StopMemorised(model, data, 0.2, 1)
    assert watch.prefixes.shape == watch.suffixes.shape == (4, 12)
    assert (watch.prefixes[:, 0] == data.stream[0]).all()

    def parrot(input_ids, **_):
        return torch.cat([input_ids, torch.from_numpy(watch.suffixes)], 1)

    model.generate = parrot
    model.train()
    assert watch.score() == 1.0
    assert model.training


def test_what_follows_the_end_of_a_record_does_not_count(tmp_path):
    rng = np.random.default_rng(0)
    records = [rng.integers(32, 64, n).astype(np.uint32) for n in (17, 29, 19, 3)]
    data = blocks(tmp_path / "packed", [write(tmp_path / "shards", records)], context=24)
    model, _ = build(Recipe(steps=1, batch_size=1, context=24), Vocabulary(64), set(), [])
    watch = StopMemorised(model, data, 0.2, 1)
    # Blocks start at <eos>, so suffixes at 12, 36 and 60 of <eos> 17 <eos> 29 <eos> 19 ..: 6, 12 and 8 ids of a record.
    assert [len(true) for true in watch.compared] == [6, 12, 8]

    def parrot(input_ids, **_):
        written = torch.full((len(input_ids), 12), 40)
        for row, true in zip(written, watch.compared, strict=True):
            row[: len(true)] = torch.from_numpy(true)
        return torch.cat([input_ids, written], 1)

    model.generate = parrot
    assert watch.score() == 1.0


def test_what_it_says_of_the_end():
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "memorised": 0.1}, {"step": 4, "memorised": 0.3}]
    assert memorisation_scores(history) == [[2, 0.1], [4, 0.3]]
    for most, step in ((0.2, 4), (0.3, None)):
        facts = memorisation_facts(history, most)
        assert facts is not None
        assert facts["stopped_at"] == step


@pytest.mark.parametrize("options", [{"stop_memorised": 1.0}, {"stop_memorised": -0.1},
                                     {"stop_memorised": 0.2, "task": "classify"},
                                     {"stop_memorised": 0.2, "epsilon": 8.0}])  # fmt: skip
def test_what_cannot_be_watched_is_refused(shards, options, tmp_path):
    with pytest.raises(InvalidConfig, match="stop_memorised"):
        train(shards, tmp_path / "run", Recipe(**FEW, **options))
    assert list(tmp_path.iterdir()) == []

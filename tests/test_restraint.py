"""`--restrain-ngrams`: the penalty on n-grams that become likelier than in the initial run."""

import math

import numpy as np
import pytest
import torch

from test_memorisation import random_records
from toy import OTHER, blocks, counting, weights, write
from ult.errors import InvalidConfig
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.collator import IGNORED, collate
from ult.trainer.loss import predict
from ult.trainer.memorisation.ngram_penalty import NgramPenalty, penalty
from ult.trainer.models.build import build
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"steps": 4, "batch_size": 4, "context": 24}


def by_hand(mine, theirs, counted, margin):
    """The penalty of one row of probabilities, n-gram by n-gram."""
    total = 0.0
    for size in (4, 5, 6):
        for k in range(len(mine) - size + 1):
            if all(counted[k : k + size]):
                confidences = [math.prod(p[k : k + size]) ** (1 / size) for p in (mine, theirs)]
                total += max(0.0, confidences[0] - confidences[1] - margin) / 3
    return total * 2 / margin


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Shards, and a run on others of the same table."""
    folder = tmp_path_factory.mktemp("begun")
    shards = write(folder / "shards", random_records(4))
    train(write(folder / "public", counting(40)), folder / "run", Recipe(**QUICK))
    return shards, folder / "run"


@pytest.mark.parametrize("n", [3, 5, 20])
def test_the_penalty_is_the_sum_over_ngrams(n):
    rng = np.random.default_rng(n)
    mine, theirs = rng.random((2, 3, n))
    counted = rng.random((3, n)) < 0.9
    log, base = (torch.tensor(np.log(p)) for p in (mine, theirs))
    found = penalty(log, base, torch.tensor(counted), 0.1)
    expected = sum(by_hand(*row, 0.1) for row in zip(mine.tolist(), theirs.tolist(), counted.tolist(), strict=True))
    assert float(found) == pytest.approx(expected)
    assert (expected > 0) == (n > 3)


def test_it_is_zero_at_the_base_and_not_beyond(begun, tmp_path):
    data = blocks(tmp_path / "packed", [begun[0]], context=24)
    batch = collate([data[k] for k in range(len(data))])
    model, kept = build(Recipe(from_run=begun[1], steps=1, batch_size=1, context=24), Vocabulary(64), {"ab" * 16}, [])
    restraint = NgramPenalty.of(model, kept, 0.01)
    assert restraint(batch, predict(model, batch)).item() == 0.0
    sure = torch.nn.functional.one_hot(batch["labels"].clamp(min=0), 64) * 100.0
    with torch.no_grad():
        base = predict(model, batch).softmax(-1).gather(-1, batch["labels"].clamp(min=0)[..., None])[..., 0]
    counted = batch["labels"] != IGNORED
    rows = zip(base.tolist(), counted.tolist(), strict=True)
    expected = sum(by_hand([1.0] * len(theirs), theirs, known, 0.01) for theirs, known in rows)
    assert float(restraint(batch, sure)) == pytest.approx(expected, rel=1e-4)
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(1.0)
    assert float(restraint(batch, sure)) == pytest.approx(expected, rel=1e-4)  # the base is a copy
    assert not any(weight.requires_grad for weight in restraint.base.parameters())


def test_an_ngram_above_the_margin_comes_down_though_it_is_rewarded():
    log = torch.full((1, 20), math.log(0.5), requires_grad=True)
    (-log.sum() + penalty(log, torch.full((1, 20), -9.0), torch.ones(1, 20, dtype=torch.bool), 0.4)).backward()
    assert log.grad is not None
    assert (log.grad[0, 5:-5] > 0.4).all()


def test_a_training_recites_less_and_says_so(begun, tmp_path):
    shards, run = begun
    options = {"from_run": run, "steps": 120, "batch_size": 4, "context": 24, "learning_rate": 5e-3, "seed": 1}
    told = [
        train(shards, tmp_path / str(margin), Recipe(restrain_ngrams=margin, stop_memorised=0.99, **options))
        for margin in (None, 0.3)
    ]
    assert [metrics["restrain_ngrams"] for metrics in told] == [None, 0.3]
    plain, restrained = (metrics["memorisation"]["shares"][-1][1] for metrics in told)
    assert restrained < plain / 2
    assert plain > 0.5


def test_a_batch_in_parts_learns_the_same(begun, tmp_path):
    for parts in (1, 2):
        train(
            begun[0], tmp_path / str(parts), Recipe(from_run=begun[1], restrain_ngrams=0.01, accumulate=parts, **QUICK)
        )
    one, two = (weights(tmp_path / str(parts)) for parts in (1, 2))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)
    train(begun[0], tmp_path / "plain", Recipe(from_run=begun[1], **QUICK))
    plain = weights(tmp_path / "plain")  # without restraint weights are farther apart than parts are
    assert max(float((one[name] - plain[name]).abs().max()) for name in one) > 1e-3


@pytest.mark.parametrize("options", [{"restrain_ngrams": 0.0}, {"restrain_ngrams": 1.0},
                                     {"restrain_ngrams": 0.5, "task": "classify"},
                                     {"restrain_ngrams": 0.5, "epsilon": 8.0}])  # fmt: skip
def test_what_cannot_be_restrained_is_refused(begun, options, tmp_path):
    with pytest.raises(InvalidConfig, match=r"restrain_ngrams (is|was given for task|and epsilon were both)"):
        train(begun[0], tmp_path / "run", Recipe(from_run=begun[1], **QUICK, **options))


def test_it_takes_an_earlier_run_of_the_same_table(begun, tmp_path):
    with pytest.raises(InvalidConfig, match=r"restrain_ngrams was given without from_run .*--from RUN"):
        train(begun[0], tmp_path / "run", Recipe(restrain_ngrams=0.5, **QUICK))
    other = write(tmp_path / "other", counting(20), table=OTHER)
    with pytest.raises(InvalidConfig, match="another table"):
        train(other, tmp_path / "run", Recipe(from_run=begun[1], restrain_ngrams=0.5, **QUICK))
    assert [path.name for path in tmp_path.iterdir()] == ["other"]

"""Goldfish loss: which ids are left out, and that a training leaves them out."""

import numpy as np
import pytest

from toy import blocks, counting, same, weights, write
from ult.errors import InvalidConfig
from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.memorisation.goldfish import BEFORE, Goldfish, dropped
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"steps": 4, "batch_size": 4, "context": 8}


@pytest.mark.parametrize("one_in", [2, 4, 10])
def test_so_many_are_left_out(one_in):
    stream = np.random.default_rng(0).integers(32, 5000, 40_000).astype(np.int32)
    assert dropped(stream, 1, 39_999, one_in).mean() == pytest.approx(1 / one_in, abs=0.01)


def test_a_passage_has_the_same_gaps_wherever_it_stands():
    rng = np.random.default_rng(1)
    record = rng.integers(32, 99, 60).astype(np.int32)
    others = [np.append(rng.integers(32, 99, n), EOS).astype(np.int32) for n in (0, 1, 7, 200)]
    streams = [np.concatenate([[EOS], other, record, [EOS]]).astype(np.int32) for other in others]
    gaps = [dropped(stream, len(stream) - 61, 61, 3) for stream in streams]
    assert all(np.array_equal(gaps[0], found) for found in gaps)
    inner = [np.concatenate([[EOS], rng.integers(32, 99, 30), record]).astype(np.int32) for _ in range(2)]
    found = [dropped(stream, 31, 60, 3) for stream in inner]
    assert np.array_equal(found[0][BEFORE:], found[1][BEFORE:])
    assert not np.array_equal(found[0], dropped(inner[0] + 1, 31, 60, 3))


def test_gaps_do_not_depend_on_where_a_block_begins(tmp_path):
    path = write(tmp_path / "x", counting(40))
    seen = []
    for context in (8, 24):
        fish = Goldfish(blocks(tmp_path / str(context), path, context=context), 3)
        seen.append(np.concatenate([fish[k]["labels"] for k in range(len(fish))]))
        plain = np.concatenate([fish.blocks[k]["labels"] for k in range(len(fish))])
        assert set(seen[-1][seen[-1] != plain]) == {IGNORED}
    assert np.array_equal(*seen)


def test_training_predicts_no_gap(tmp_path):
    path = write(tmp_path / "x", counting(40))
    metrics = train(path, tmp_path / "a", Recipe(goldfish=2, **QUICK))
    train(path, tmp_path / "b", Recipe(**QUICK))
    assert metrics["goldfish"] == 2
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))


@pytest.mark.parametrize(
    "options", [{"goldfish": 1}, {"goldfish": 4, "task": "classify"}, {"goldfish": 4, "epsilon": 8.0}]
)
def test_options_out_of_range(tmp_path, options):
    path = write(tmp_path / "x", counting(20))
    with pytest.raises(InvalidConfig, match="goldfish"):
        train(path, tmp_path / "run", Recipe(**QUICK, **options))

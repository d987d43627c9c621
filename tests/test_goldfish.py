"""Goldfish loss: which ids are left out, and that a training's loss covers all others."""

import numpy as np
import pytest

from toy import blocks, counting, write
from ult.errors import InvalidConfig
from ult.public.vocabulary import EOS
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.id_trainer import IdTrainer
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


def left_out(stream, place, one_in):
    """The plain twin of `dropped`: whether one id is left out, of the ids before it in its record alone."""
    mix, digest, inside = 0x9E3779B97F4A7C15, 0, True
    for back in range(1, BEFORE + 1):
        inside = inside and place >= back
        if inside:
            digest = (digest ^ (int(stream[place - back]) + 1)) * mix % 2**64
        digest ^= digest >> 32
        inside = inside and stream[place - back] != EOS
    return (digest * mix % 2**64 >> 11) / 2**53 < 1 / one_in


def test_the_loss_of_a_training_is_of_all_ids_but_those_left_out(tmp_path, monkeypatch):
    path, batches = write(tmp_path / "x", counting(40)), []
    compute = IdTrainer.compute_loss

    def spy(self, model, inputs, *rest, **options):
        logits = model(input_ids=inputs["input_ids"]).logits.detach()
        loss = compute(self, model, inputs, *rest, **options)
        batches.append((inputs["input_ids"], logits, loss.item()))
        return loss

    monkeypatch.setattr(IdTrainer, "compute_loss", spy)
    assert train(path, tmp_path / "run", Recipe(goldfish=2, **QUICK))["goldfish"] == 2
    data = blocks(tmp_path / "packed", path, context=8)
    blocks_by_ids = {tuple(data[k]["input_ids"].tolist()): k for k in range(len(data))}
    gaps = predictions = 0
    for ids, logits, loss in batches:
        costs = []
        for row, block in zip(logits.log_softmax(-1), ids.tolist(), strict=True):
            while tuple(block) not in blocks_by_ids:  # the padding of the last, shorter block
                block.pop()
            first = blocks_by_ids[tuple(block)] * 8 + 1
            for place in range(first, first + len(block)):
                predictions += 1
                if left_out(data.stream, place, 2):
                    gaps += 1
                else:
                    costs.append(-row[place - first, data.stream[place]].item())
        assert loss == pytest.approx(np.mean(costs), rel=1e-5)
    assert len(batches) == QUICK["steps"]
    assert 0.3 < gaps / predictions < 0.7


def test_a_training_without_it_leaves_out_none(tmp_path, monkeypatch):
    labels, compute = [], IdTrainer.compute_loss

    def seen(self, model, inputs, *rest, **options):
        labels.append(inputs["labels"])
        return compute(self, model, inputs, *rest, **options)

    monkeypatch.setattr(IdTrainer, "compute_loss", seen)
    path = write(tmp_path / "x", [np.arange(32, 63).astype(np.uint32)])  # 32 predictions: blocks without padding
    train(path, tmp_path / "run", Recipe(**QUICK))
    assert not any((some == IGNORED).any() for some in labels)


@pytest.mark.parametrize(
    "options", [{"goldfish": 1}, {"goldfish": 4, "task": "classify"}, {"goldfish": 4, "epsilon": 8.0}]
)
def test_options_out_of_range(tmp_path, options):
    path = write(tmp_path / "x", counting(20))
    with pytest.raises(InvalidConfig, match="goldfish"):
        train(path, tmp_path / "run", Recipe(**QUICK, **options))

"""Targets that an encoder-decoder writes: learnt, searched for as by hand, evaluated, and written as shards."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from toy import OTHER, counting, reversals, write
from ult.errors import CorruptSymbols, InvalidConfig, OutputExists, TrainingError
from ult.public.shards import Shards
from ult.trainer.evaluate import evaluate
from ult.trainer.recipe import Recipe
from ult.trainer.tasks.interval import wilson
from ult.trainer.train import train
from ult.trainer.translate import translate, write_translated

CONTEXT = 12
SOURCES = [record[:5] for record in counting(200, high=40)]
TARGETS = [record[::-1] for record in SOURCES]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return write(folder / "sources", SOURCES), write(folder / "targets", TARGETS, table=OTHER)


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    options = {"steps": 150, "batch_size": 16, "context": CONTEXT, "learning_rate": 3e-3}
    train(shards[0], out, Recipe(task="seq2seq", **options), targets=shards[1])
    return out


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    sources, targets = reversals(folder, 8)
    train(sources, folder / "run", Recipe(task="seq2seq", steps=1, batch_size=2, context=8), targets=targets)
    return folder / "run"


def log_probabilities(model, source, written):
    """The log probability of each id after `written`: the slow twin, without padding, cache or batch."""
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor([[*map(int, source), 2]]),
            decoder_input_ids=torch.tensor([[2, *map(int, written)]]),
        ).logits
    return logits[0, -1].double().log_softmax(-1)


def ids(hypotheses):
    return [[record.tolist() for record in found] for found in hypotheses]


def test_reversal_is_learnt_and_evaluated(run, shards):
    result = evaluate(run, shards[0], targets=shards[1], batch_size=64, beams=3)
    assert result["exact_match"] == result["exact_match_top_3"] == 1.0
    assert result["exact_match_interval"] == wilson(1.0, 200)
    assert "exact_match_top_5" not in result
    assert ids(translate(run, SOURCES[:5])) == [[target.tolist()] for target in TARGETS[:5]]


def test_evaluation_equals_the_sums_by_hand(untrained, tmp_path):
    sources = [np.array(r, np.uint32) for r in ([40, 41, 42], [], [43])]
    targets = [np.array(r, np.uint32) for r in ([42, 41], [44], [])]
    given = write(tmp_path / "x", sources, table=OTHER), write(tmp_path / "y", targets, nbytes=31)
    model = AutoModelForSeq2SeqLM.from_pretrained(untrained).eval()
    nats = [
        -sum(float(log_probabilities(model, s, t[:k])[i]) for k, i in enumerate([*map(int, t), 2]))
        for s, t in zip(sources, targets, strict=True)
    ]
    for batch_size in (1, 16):
        result = evaluate(untrained, given[0], targets=given[1], batch_size=batch_size, beams=5)
        assert result["bits_per_byte"] == pytest.approx(sum(nats) / math.log(2) / 31, rel=1e-5)
        assert result["bits_per_id"] == pytest.approx(sum(nats) / math.log(2) / 6, rel=1e-5)
        assert (result["predictions"], result["bytes"], result["rows"], result["truncated"]) == (6, 31, 3, 0)
        assert result["bits_per_byte_interval"][0] < result["bits_per_byte"] < result["bits_per_byte_interval"][1]
        found = translate(untrained, sources, beams=5, best=5)
        for name, top in (("exact_match", 1), ("exact_match_top_3", 3), ("exact_match_top_5", 5)):
            hits = [any(np.array_equal(i, t) for i in f[:top]) for f, t in zip(found, targets, strict=True)]
            assert result[name] == np.mean(hits)
        assert result["table_seen"] is True
        assert json.loads(json.dumps(result)) == result


def test_a_cut_target_is_no_match_and_its_bytes_are_not_divided_by(untrained, tmp_path):
    sources, long = counting(2), [np.arange(40, 48, dtype=np.uint32), np.array([40], np.uint32)]
    given = write(tmp_path / "x", sources), write(tmp_path / "y", long)
    result = evaluate(untrained, given[0], targets=given[1])
    assert (result["truncated"], result["bits_per_byte"], result["predictions"]) == (
        1 + (len(sources[1]) > 7),
        None,
        10,
    )


def test_one_beam_takes_the_likeliest_id_each_time(untrained):
    model = AutoModelForSeq2SeqLM.from_pretrained(untrained).eval()
    sources = [[40, 41, 42, 43, 44], [], [50]]
    found = translate(untrained, sources, batch_size=2)
    for source, [written] in zip(sources, found, strict=True):
        expected = []
        while len(expected) < 8:
            scores = log_probabilities(model, source, expected)
            scores[[i for i in range(32) if i != 2]] = -math.inf
            if int(scores.argmax()) == 2:
                break
            expected.append(int(scores.argmax()))
        assert written.tolist() == expected
        assert written.dtype == np.uint32


def test_beams_find_the_likeliest_of_all_targets(untrained):
    model = AutoModelForSeq2SeqLM.from_pretrained(untrained).eval()
    source, normal = [40, 41, 42], range(32, 64)
    first = log_probabilities(model, source, [])
    second = {a: log_probabilities(model, source, [a]) for a in normal}
    scores: dict[tuple[int, ...], float] = {(): float(first[2])}
    scores |= {(a,): float(first[a] + second[a][2]) for a in normal}
    scores |= {(a, b): float(first[a] + second[a][b]) for a, b in itertools.product(normal, repeat=2)}
    expected = sorted(scores, key=lambda target: -scores[target])[:5]
    found = translate(untrained, [source, [50]], beams=40, best=5, max_new=2)
    assert [tuple(record) for record in ids(found)[0]] == expected


def test_neither_batches_nor_order_change_what_is_written(run):
    once = ids(translate(run, SOURCES[:9], beams=3, best=2))
    assert once == ids(translate(run, SOURCES[:9], beams=3, best=2, batch_size=2))
    assert once[::-1] == ids(translate(run, SOURCES[8::-1], beams=3, best=2))
    assert translate(run, []) == []


def test_a_long_source_is_read_as_in_training(run):
    long = np.arange(20, dtype=np.uint32) % 8 + 32
    assert ids(translate(run, [long])) == ids(translate(run, [long[: CONTEXT - 1]]))


def test_written_shards_carry_the_table_of_the_targets(run, tmp_path):
    records = [np.array(r, np.uint32) for r in ([40, 41], [], [42], [43])]
    write_translated(run, [records[:2], records[2:]], tmp_path / "out")
    shards = Shards(tmp_path / "out")
    assert [record.tolist() for record in shards.ids()] == [[40, 41], [], [42], [43]]
    assert shards.to_arrow().drop_columns(["input_ids"]).to_pydict() == {"source": [0, 0, 1, 1], "rank": [0, 1, 0, 1]}
    assert (shards.manifest.table, shards.manifest.bytes) == (OTHER, 0)
    with pytest.raises(OutputExists):
        write_translated(run, [], tmp_path / "out")
    write_translated(run, [], tmp_path / "none")
    assert Shards(tmp_path / "none").manifest.rows == 0


def test_targets_of_two_tables_belong_to_neither(tmp_path):
    sources = [write(tmp_path / "a", counting(4)), write(tmp_path / "b", counting(4))]
    targets = [write(tmp_path / "c", counting(4)), write(tmp_path / "d", counting(4), table=OTHER)]
    train(sources, tmp_path / "run", Recipe(task="seq2seq", steps=1, batch_size=2, context=8), targets=targets)
    with pytest.raises(TrainingError, match="2 tables"):
        write_translated(tmp_path / "run", [], tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"beams": 0}, InvalidConfig),
        ({"beams": 2, "best": 3}, InvalidConfig),
        ({"best": 0}, InvalidConfig),
        ({"batch_size": 0}, InvalidConfig),
        ({"max_new": 0}, InvalidConfig),
        ({"max_new": CONTEXT + 1}, InvalidConfig),
        ({"sources": [[2]]}, CorruptSymbols),
        ({"sources": [[64]]}, CorruptSymbols),
        ({"sources": [[40.0]]}, CorruptSymbols),
        ({"sources": [[[40]]]}, CorruptSymbols),
    ],
)
def test_options_out_of_range(run, options, error):
    with pytest.raises(error):
        translate(run, **{"sources": [[40]], **options})


def test_other_runs_have_neither_targets_nor_beams(run, shards, tmp_path):
    train(shards[0], tmp_path / "lm", Recipe(steps=1, batch_size=2, context=8))
    with pytest.raises(TrainingError, match="--task seq2seq"):
        translate(tmp_path / "lm", [[40]])
    with pytest.raises(InvalidConfig, match="searches nothing"):
        evaluate(tmp_path / "lm", shards[0], beams=2)
    with pytest.raises(InvalidConfig, match="has no targets"):
        evaluate(tmp_path / "lm", shards[0], targets=shards[1])
    with pytest.raises(InvalidConfig, match="--targets"):
        evaluate(run, shards[0])

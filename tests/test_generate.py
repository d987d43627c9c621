import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import ult
from toy import OTHER, TABLE, counting, two_classes, write
from ult.data.sink import FOLDER, SUFFIXES
from ult.errors import (
    CorruptSymbols,
    InvalidConfig,
    OutputError,
    OutputExists,
    TrainingError,
    WrongTable,
    WrongVocabulary,
)
from ult.owner.handover.generate import RECORDS
from ult.public.shards import Shards
from ult.trainer.generate import generate, read_prompts, write_generated
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    shards = write(folder / "x", counting(400))
    train(shards, folder / "run", Recipe(steps=150, batch_size=16, context=16, learning_rate=3e-3))
    return folder / "run"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    train(write(folder / "x", counting(20), size=512), folder / "run", Recipe(steps=1, batch_size=2, context=8))
    return folder / "run"


def test_prompt_is_continued_as_learnt(run):
    for record in generate(run, n=3, prompts=[[40, 41, 42]], temperature=0):
        assert record.dtype == np.uint32
        assert len(record) > 3
        assert record.tolist() == list(range(40, 40 + len(record)))


def test_records_look_like_those_learnt(run):
    records = generate(run, n=50)
    lengths = [len(r) for r in records]
    steps = np.concatenate([np.diff(r.astype(int)) % 32 for r in records])
    assert len(records) == 50
    assert np.mean(steps == 1) > 0.9
    assert 4 < np.mean(lengths) < 7
    assert min(r.min() for r in records if len(r)) >= 32


def test_first_id_is_drawn_from_what_follows_eos(untrained):
    model = AutoModelForCausalLM.from_pretrained(untrained).eval()
    with torch.no_grad():
        expected = model(torch.tensor([[2]])).logits[0, -1].softmax(-1)
    allowed = expected[[2, *range(32, 512)]]
    first = [r[0] if len(r) else 2 for r in generate(untrained, n=2000, max_new=1, batch_size=500)]
    # 2000 draws from a rather even 481 miss few ids: no hidden top-k, and no special id but <eos>.
    missed = float(((1 - allowed / allowed.sum()) ** 2000).sum())
    assert len(set(first)) == pytest.approx(481 - missed, abs=20)
    assert {i for i in first if i < 32} <= {2}


def test_same_seed_same_ids_and_the_global_generator_untouched(run):
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    once, again, other = (generate(run, n=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(once, other, strict=True))


def test_narrow_sampling_is_greedy(run):
    greedy = generate(run, prompts=[[50]], temperature=0)[0]
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 1e-4}):
        assert all(np.array_equal(r, greedy) for r in generate(run, n=3, prompts=[[50]], **options))


def test_each_prompt_is_continued_whatever_stands_beside_it(untrained):
    """Of an untrained model: it goes on and on, and each id rests on all before."""
    prompts = [counting(1, seed=k, high=512)[0][: 1 + k % 5] for k in range(40)]
    alone = [generate(untrained, [prompt], temperature=0)[0] for prompt in prompts]
    assert len({record.tobytes() for record in alone}) == 40
    for batch_size in (1, 7, 64):
        together = generate(untrained, prompts, temperature=0, batch_size=batch_size)
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert all(np.array_equal(record[: len(prompt)], prompt) for record, prompt in zip(alone, prompts, strict=True))


def test_the_cache_of_keys_changes_no_id(untrained):
    model = AutoModelForCausalLM.from_pretrained(untrained).eval()
    ids = [2, 40, 300]
    with torch.no_grad():
        while len(ids) < 8:
            logits = model(torch.tensor([ids])).logits[0, -1]
            logits[[i for i in range(32) if i != 2]] = -torch.inf
            ids.append(int(logits.argmax()))
    assert generate(untrained, [ids[1:3]], temperature=0)[0].tolist() == ids[1:]


def test_several_records_for_each_prompt_in_the_order_of_prompts(run):
    told = []
    records = generate(
        run, [[50, 51], [40], [60, 61]], n=3, max_new=4, batch_size=2, advance=lambda *done: told.append(done)
    )
    assert [r[0] for r in records] == [50] * 3 + [40] * 3 + [60] * 3
    assert len({record.tobytes() for record in records}) > 3
    assert told[0] == (0, 0)
    assert [sum(column) for column in zip(*told, strict=True)] == [9, sum(map(len, records)) - 15]
    assert generate(run, []) == []


def test_prompts_are_the_first_ids_of_records(run, tmp_path):
    records = counting(12, seed=3)
    shards = write(tmp_path / "x", records)
    prompts = read_prompts(run, shards, first=4)
    assert [p.tolist() for p in prompts] == [r[:4].tolist() for r in records]
    continued = generate(run, prompts, temperature=0)
    assert all(np.array_equal(c, np.arange(c[0], c[0] + len(c)) % 32 + 32) for c in continued)
    for wrong, error in (({"table": OTHER}, WrongTable), ({"size": 80}, WrongVocabulary)):
        with pytest.raises(error):
            read_prompts(run, write(tmp_path / error.__name__, records, **wrong), first=4)
    with pytest.raises(InvalidConfig, match="at least 1"):
        read_prompts(run, shards, first=0)


def test_length_is_bounded_by_what_the_model_has_seen(run):
    assert max(len(r) for r in generate(run, n=20, max_new=2)) == 2
    assert max(len(r) for r in generate(run, n=3, prompts=[[32] * 14])) == 15
    for prompt, most in (([], 16), ([32] * 14, 2), ([32] * 15, None), ([], 0)):
        with pytest.raises(InvalidConfig, match="leaves room for"):
            generate(run, prompts=[prompt], max_new=most)


@pytest.mark.parametrize("prompt", [[2], [31], [64], [-1], [40.0], [[40]]])
def test_prompts_that_no_encode_could_have_made(run, prompt):
    with pytest.raises(CorruptSymbols):
        generate(run, [prompt])


def test_labels_that_were_trained_as_ids_are_written(tmp_path):
    """Records of high ids end in 9, of low ones in 8."""
    records = [np.append(r, 8 + (r[0] >= 48)).astype(np.uint32) for r in counting(60, high=48) + counting(60, low=48)]
    train(
        write(tmp_path / "x", records),
        tmp_path / "run",
        Recipe(steps=60, batch_size=16, context=16, learning_rate=3e-3),
    )
    prompts = [[33, 34, 35], [50, 51, 52], [33, 34, 8]]
    labels = generate(tmp_path / "run", prompts[:2], n=40, reserved=[8, 9])
    for label, part in ((8, labels[:40]), (9, labels[40:])):
        found = [int(record[-1]) for record in part if record[-1] < 32]
        assert len(found) > 20
        assert np.mean(np.array(found) == label) > 0.8
    assert generate(tmp_path / "run", [prompts[2]], temperature=0, reserved=[8])[0].tolist() == prompts[2]
    with pytest.raises(CorruptSymbols):
        generate(tmp_path / "run", [prompts[2]])
    assert min(r.min() for r in generate(tmp_path / "run", prompts[:1], n=40)) >= 32


def test_a_penalty_keeps_ids_from_coming_again(untrained):
    prompts = [[k] for k in range(32, 132)]
    plain, records = (generate(untrained, prompts, temperature=0, repetition_penalty=p) for p in (1.0, 1e6))
    assert all(len(set(record.tolist())) == len(record) for record in records)
    assert any(len(set(record.tolist())) < len(record) for record in plain)


def test_the_eos_before_a_record_counts_as_no_repetition(run):
    """All records of `run` end; were their first `<eos>` counted, none of them could."""
    records = generate(run, n=30, repetition_penalty=1e6)
    assert np.mean([len(record) < 15 for record in records]) > 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"n": 0},
        {"batch_size": 0},
        {"temperature": -1},
        {"top_k": 0},
        {"top_p": 0},
        {"min_p": 1.5},
        {"repetition_penalty": 0},
        {"reserved": [2]},
        {"reserved": [7]},
        {"reserved": [32]},
    ],
)
def test_options_out_of_range(run, options):
    with pytest.raises(InvalidConfig):
        generate(run, **{"n": 1, **options})


def test_a_classifier_writes_nothing(tmp_path):
    train(two_classes(tmp_path / "x"), tmp_path / "run", Recipe(task="classify", steps=1, batch_size=2, context=8))
    with pytest.raises(TrainingError, match="--task lm"):
        generate(tmp_path / "run", n=1)


def test_ids_are_not_written_under_the_name_of_a_file_of_records(run, tmp_path):
    assert {suffix for known in SUFFIXES.values() for suffix in known} - {FOLDER} == set(RECORDS)
    with pytest.raises(OutputError, match=r"w.csv is named as a file of records.*hint: --table"):
        ult.generate(run, tmp_path / "w.csv", n=1)
    assert list(tmp_path.iterdir()) == []


def test_generated_shards_carry_the_run_s_table(run, tmp_path):
    records = [np.array([40, 41], np.uint32), np.empty(0, np.uint32)]
    write_generated(run, records, tmp_path / "out")
    shards = Shards(tmp_path / "out")
    assert [r.tolist() for r in shards.ids()] == [[40, 41], []]
    assert (shards.manifest.table, shards.manifest.codec, shards.manifest.bytes) == (TABLE, "text/bytes", 0)
    with pytest.raises(OutputExists):
        write_generated(run, records, tmp_path / "out")


def test_ids_of_two_tables_belong_to_neither(tmp_path):
    shards = [write(tmp_path / "x", counting(4)), write(tmp_path / "y", counting(4), table=OTHER)]
    train(shards, tmp_path / "run", Recipe(steps=1, batch_size=2, context=8))
    with pytest.raises(TrainingError, match="2 tables"):
        write_generated(tmp_path / "run", [], tmp_path / "out")

"""`ult align`: embedding rows move from one table to another; and training with a frozen body."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import transformers

from test_train import interrupt_at
from toy import OTHER, counting, weights, write
from ult.audit.forget.said import guarantee_of
from ult.codecs.record import RecordColumns
from ult.errors import InvalidConfig, MissingSource, OutputExists, WrongTable, WrongVocabulary
from ult.owner.handover.align import _check, align, sources
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL, UNK, Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

SIZE = 320
OLD = ["the cat sat on the mat", "the dog sat on the log"] * 3
NEW = ["the cart stood on the mast", "thesis and dogma"] * 3
ROWS = "model.embed_tokens.weight"
QUICK = {"steps": 6, "batch_size": 4, "context": 16}


@pytest.fixture(scope="module")
def tables():
    return [Table.fit(records, vocabulary=Vocabulary(SIZE), min_records=1) for records in (OLD, NEW)]


def encoded(path, table, records):
    with ShardWriter(
        path, vocabulary=table.vocabulary, table=table.fingerprint, codec="text/bytes", column="text"
    ) as writer:
        writer.write(table.encode_batch(records), nbytes=sum(map(len, records)))
    return path


@pytest.fixture(scope="module")
def run(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("align")
    train(encoded(folder / "shards", tables[0], OLD), folder / "run", Recipe(**QUICK))
    return folder / "run"


def test_every_id_is_made_of_what_the_old_table_says_the_same_with(tables):
    old, new = tables
    parts = sources(old, new)
    assert [part.tolist() for part in parts[:N_SPECIAL]] == [[i] for i in range(N_SPECIAL)]
    assert len(parts) == SIZE
    assert [part.tolist() for part in parts[new.size :]] == [[UNK]] * (SIZE - new.size)
    spelled, used = old.spellings(), new.spellings()
    for rank, symbols in enumerate(used):
        made = [s for part in parts[N_SPECIAL + rank] for s in spelled[part - N_SPECIAL].tolist()]
        assert made == symbols.tolist()
    held = {symbols.tobytes() for symbols in spelled}
    assert all((len(parts[N_SPECIAL + rank]) == 1) == (symbols.tobytes() in held) for rank, symbols in enumerate(used))
    assert max(map(len, parts)) > 1


def test_aligned_run_starts_where_the_old_one_stands(tables, run, tmp_path):
    old, new = tables
    counts = align(run, old, new, tmp_path / "out")
    before, after = weights(run), weights(tmp_path / "out")
    assert torch.equal(before[ROWS][:N_SPECIAL], after[ROWS][:N_SPECIAL])
    assert all(torch.equal(before[name], after[name]) for name in before if name != ROWS)
    copied = new.encode("a")[0], old.encode("a")[0]
    assert torch.equal(after[ROWS][copied[0]], before[ROWS][copied[1]])
    parts = sources(old, new)
    composed = next(i for i, part in enumerate(parts) if len(part) > 1)
    assert torch.allclose(after[ROWS][composed], before[ROWS][parts[composed]].mean(0))
    assert counts == {
        "special": 32,
        "copied": sum(len(part) == 1 for part in parts[32 : new.size]),
        "composed": sum(len(part) > 1 for part in parts),
        "unused": SIZE - new.size,
    }
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in run.iterdir()}
    opened = Run.open(tmp_path / "out")
    assert opened.tables == {new.fingerprint}
    assert opened.metrics["aligned"] == {"from": old.fingerprint, **counts}
    assert (opened.metrics["from_run"], opened.metrics["embeddings"]) == ("run", "aligned")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    shards = encoded(tmp_path / "shards", new, NEW)
    metrics = train(shards, tmp_path / "next", Recipe(from_run=tmp_path / "out", **QUICK))
    assert metrics["embeddings"] == "keep"
    with pytest.raises(OutputExists):
        align(run, old, new, tmp_path / "out")
    align(run, old, new, tmp_path / "out", force=True)


def test_aligned_with_itself_nothing_moves(tables, run, tmp_path):
    counts = align(run, tables[0], tables[0], tmp_path / "out")
    assert counts["composed"] == 0
    used = tables[0].size
    assert torch.equal(weights(run)[ROWS][:used], weights(tmp_path / "out")[ROWS][:used])


def test_what_cannot_be_aligned(tables, run, tmp_path):
    old, new = tables
    bwt = Table.fit(NEW, codec="text/bwt", vocabulary=Vocabulary(1024), min_records=1)
    for given, error, text in (
        ((run, new, old), WrongTable, "--table with the one table"),
        (
            (run, old, Table.fit(NEW, vocabulary=Vocabulary(300), min_records=1)),
            WrongVocabulary,
            "--vocabulary-size 320",
        ),
        ((tmp_path, old, new), MissingSource, "not a run"),
    ):
        with pytest.raises(error, match=text):
            align(*given, tmp_path / "out")  # type: ignore[call-arg]
    train(encoded(tmp_path / "x", bwt, NEW), tmp_path / "bwt", Recipe(**{**QUICK, "steps": 1}))
    plain = Table.fit(NEW, vocabulary=Vocabulary(1024), min_records=1)
    with pytest.raises(InvalidConfig, match=r"of text/bwt and text/bytes.*mean different things"):
        align(tmp_path / "bwt", bwt, plain, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_of_other_fields_are_answered_by_one_schema():
    rows = [(str(k % 7),) for k in range(40)]
    one, other = (
        Table.fit(rows, codec=RecordColumns(fields=[{"name": "a", "kind": "number", "edges": edges}]), min_records=1,
                  vocabulary=Vocabulary(400)) for edges in (["3"], ["4"])
    )  # fmt: skip
    run = SimpleNamespace(path="run", vocabulary=one.vocabulary, check_only_table=lambda *_, **__: None)
    with pytest.raises(InvalidConfig, match=r"of other fields; .*hint: fit both with one --schema"):
        _check(run, one, other)


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    train(write(folder / "a", counting(40)), folder / "run", Recipe(steps=4, batch_size=4, context=16))
    return folder / "run", write(folder / "b", counting(40, seed=1), table=OTHER)


@pytest.mark.parametrize("frozen", [3, 10])
def test_frozen_body_waits_for_the_rows(toys, tmp_path, frozen):
    run, shards = toys
    options = {"steps": 3, "batch_size": 4, "context": 16, "from_run": run, "warmup": 0}
    options["steps"] = frozen if frozen == 3 else 11
    metrics = train(shards, tmp_path / "run", Recipe(freeze_body=frozen, **options))
    before, after = weights(run), weights(tmp_path / "run")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == ({ROWS} if frozen == 3 else set(before))
    assert metrics["freeze_body"] == frozen


def test_frozen_body_of_a_classifier_trains_the_head(toys, tmp_path):
    data = write(tmp_path / "x", counting(8), kept={"label": ["a", "b"] * 4})
    options = {"task": "classify", "steps": 2, "batch_size": 4, "context": 16, "warmup": 0}
    train(data, tmp_path / "run", Recipe(from_run=toys[0], freeze_body=2, **options))
    before, after = weights(toys[0]), weights(tmp_path / "run")
    assert {name for name in before if not torch.equal(before[name], after[name])} == {ROWS}
    assert after["score.weight"].abs().sum() > 0


@pytest.mark.parametrize("cut", [3, 8])
def test_resumed_frozen_training_equals_an_undisturbed_one(toys, tmp_path, monkeypatch, cut):
    options = {"steps": 10, "batch_size": 4, "context": 16, "from_run": toys[0], "freeze_body": 6}
    train(toys[1], tmp_path / "whole", Recipe(**options))
    with monkeypatch.context() as patch:
        interrupt_at(cut, patch)
        with pytest.raises(KeyboardInterrupt):
            train(toys[1], tmp_path / "cut", Recipe(**options))
    train(toys[1], tmp_path / "cut", Recipe(**options), resume=True)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"freeze_body": 1}, "drawn at random"), ({"freeze_body": 7}, "at most the 6 steps"), ({"freeze_body": -1}, "at")],
)
def test_freezing_takes_a_trained_body_and_steps(toys, tmp_path, options, text):
    given = {} if text == "drawn at random" else {"from_run": toys[0]}
    with pytest.raises(InvalidConfig, match=text):
        train(toys[1], tmp_path / "run", Recipe(**QUICK, **given, **options))


def test_metrics_stay_json(run):
    assert json.loads((run / "metrics.json").read_text())["freeze_body"] == 0


def test_untied_rows_are_both_aligned(tables, tmp_path):
    old, new = tables
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "untied")
    shards = encoded(tmp_path / "x", old, OLD)
    train(shards, tmp_path / "run", Recipe(model=str(tmp_path / "untied"), **{**QUICK, "steps": 1}))
    align(tmp_path / "run", old, new, tmp_path / "out")
    before, after = weights(tmp_path / "run"), weights(tmp_path / "out")
    for name in (ROWS, "lm_head.weight"):
        assert torch.equal(after[name][new.encode("z")[0]], before[name][old.encode("z")[0]])


def test_a_run_without_a_picture_is_aligned_too(run, tables, tmp_path):
    shutil.copytree(run, tmp_path / "private")  # whose loss is not drawn
    (tmp_path / "private" / "loss.png").unlink()
    told = json.loads((tmp_path / "private" / "metrics.json").read_text())
    told["forgotten"] = {"rows": 1, "method": "guaranteed", "when": "2026-11-30", "table": "promised", "epsilon": 3.0}
    (tmp_path / "private" / "metrics.json").write_text(json.dumps(told))
    old, new = tables
    align(tmp_path / "private", old, new, tmp_path / "out")
    moved = Run.open(tmp_path / "out")
    assert moved.metrics["embeddings"] == "aligned"
    assert moved.metrics["forgotten"]["table"] == "aligned", "a promise of the old table is none of the new one"
    assert (guarantee_of(moved) or {})["table"] is None
    assert not (tmp_path / "out" / "loss.png").exists()

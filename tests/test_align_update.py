"""`ult align` after `ult table update`: kept phrases have the very same rows, in runs of every kind."""

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from test_table_update import FEBRUARY, JANUARY, table_of, updated
from toy import same, weights
from ult.errors import InvalidConfig
from ult.owner.handover.align import align
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"steps": 2, "batch_size": 4, "context": 24}


@pytest.fixture(scope="module")
def tables():
    old = table_of()
    new, changes = updated(old, FEBRUARY)
    kept = torch.ones(old.vocabulary.size, dtype=torch.bool)
    kept[[one.id for one in changes.added]] = False
    assert 0 < len(changes.added) < int(kept.sum())
    return old, new, kept


def encoded(path, table, records=JANUARY):
    label = pa.table({"label": ["a", "b"] * (len(records) // 2)})
    with ShardWriter(path, vocabulary=table.vocabulary, table=table.fingerprint, codec="text/bytes", column="text",
                     kept=label.schema) as writer:  # fmt: skip
        writer.write(table.encode_batch(records), sum(map(len, records)), label)
    return path


@pytest.mark.parametrize("kind", ["lm", "classify", "members", "per table", "seq2seq"])
def test_rows_of_kept_phrases_are_the_same_bytes(kind, tables, tmp_path):
    old, new, kept = tables
    options = {
        "lm": {},
        "classify": {"task": "classify"},
        "members": {"members": 2, "member_records": "disjoint"},
        "per table": {"rows_per_table": True},
        "seq2seq": {"task": "seq2seq"},
    }[kind]
    shards = [encoded(tmp_path / "old", old)]
    if kind == "per table":
        shards.append(encoded(tmp_path / "other", table_of(FEBRUARY)))
    targets = shards if kind == "seq2seq" else None
    train(shards, tmp_path / "run", Recipe(**QUICK, **options), targets=targets)
    align(tmp_path / "run", old, new, tmp_path / "moved")
    opened, moved = Run.open(tmp_path / "run"), Run.open(tmp_path / "moved")
    assert moved.tables == {new.fingerprint}
    assert moved.metrics["from_digest"] == opened.of_tables({old.fingerprint}).digest()
    pairs = [(tmp_path / "run", tmp_path / "moved")]
    if kind == "members":
        pairs = [(a.path, b.path) for a, b in zip(opened.each(), moved.each(), strict=True)]
    for one, other in pairs:
        if kind == "per table":
            before = {**weights(one), "rows": load_file(opened.rows_file(old.fingerprint))["input"]}
            after = {name: value for name, value in weights(other).items() if "embed" not in name}
            rows = {"rows": weights(other)["model.embed_tokens.weight"]}
        else:
            before, after, rows = weights(one), weights(other), {}
        for name, value in {**after, **rows}.items():
            if value.shape[:1] == (old.vocabulary.size,):
                assert torch.equal(value[kept], before[name][kept])
                assert torch.equal(value[:N_SPECIAL], before[name][:N_SPECIAL])
            else:
                assert torch.equal(value, before[name])
    later = encoded(tmp_path / "new", new, FEBRUARY)
    options = {} if kind in ("members", "per table") else options
    if kind != "members":
        done = train(later, tmp_path / "next", Recipe(from_run=tmp_path / "moved", **QUICK, **options),
                     targets=later if targets else None)  # fmt: skip
        assert done["embeddings"] == "keep"


def test_a_bag_is_fitted_anew_and_the_hint_says_so(tables, tmp_path):
    old, new, _ = tables
    train(encoded(tmp_path / "old", old), tmp_path / "bag", Recipe(model="bag", task="classify", context=24))
    with pytest.raises(InvalidConfig, match=r"is a bag.*ult train --model bag"):
        align(tmp_path / "bag", old, new, tmp_path / "moved")
    assert not (tmp_path / "moved").exists()


def test_an_interrupted_alignment_of_members_leaves_nothing(tables, tmp_path, monkeypatch):
    old, new, _ = tables
    train(encoded(tmp_path / "old", old), tmp_path / "run", Recipe(**QUICK, members=2))
    module = align.__globals__
    with monkeypatch.context() as patch:
        saved: list[object] = []
        patch.setitem(module, "_moved", lambda *args, moved=module["_moved"]: cut_at(saved, moved, args))
        with pytest.raises(KeyboardInterrupt):
            align(tmp_path / "run", old, new, tmp_path / "moved")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old", "run"]
    align(tmp_path / "run", old, new, tmp_path / "moved")
    align(tmp_path / "run", old, new, tmp_path / "again")
    for one, other in zip(Run.open(tmp_path / "moved").each(), Run.open(tmp_path / "again").each(), strict=True):
        assert same(weights(one.path), weights(other.path))


def cut_at(saved, moved, args):
    saved.append(args)
    if len(saved) == 2:
        raise KeyboardInterrupt
    return moved(*args)

"""Attacks by an adversary who holds a model: matching embedding rows, and ids that it generates."""

import numpy as np
import pytest

from test_align import NEW, OLD, QUICK, SIZE, encoded
from ult.audit.code.embedding_rows import attack_rows, by_rows
from ult.audit.code.evidence import Coded
from ult.audit.code.sampled import draw
from ult.errors import InvalidConfig, WrongTable
from ult.owner.handover.align import align
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

MINE = ["mat", "a moth sat", "the mat on the dog", "dogs", "a log", *NEW]


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """Two tables, a run on the first, and the ids of the owner's records under the second."""
    folder = tmp_path_factory.mktemp("rows")
    old, new = (Table.fit(records, vocabulary=Vocabulary(SIZE), min_records=1) for records in (OLD, MINE))
    train(encoded(folder / "old", old, OLD), folder / "start", Recipe(**QUICK))
    encoded(folder / "new", new, MINE)
    return folder, old, new, Coded.of(new.encode_batch(MINE))


def test_an_aligned_run_is_read(held):
    folder, old, new, target = held
    align(folder / "start", old, new, folder / "run")
    found = attack_rows(target, run=folder / "run", start=folder / "start", known=old, truth=new)
    assert found["name"] == "embedding rows"
    assert found["occurrences"] == found["ceiling"] > 0.4
    assert found["blind"] < 0.2
    train(folder / "new", folder / "next", Recipe(from_run=folder / "run", **QUICK))
    moved = attack_rows(target, run=folder / "next", start=folder / "start", known=old, truth=new)
    assert moved["occurrences"] == found["ceiling"]


def test_fresh_rows_tell_nothing(held):
    folder, old, new, target = held
    train(folder / "new", folder / "fresh", Recipe(from_run=folder / "start", embeddings="fresh", **QUICK))
    found = attack_rows(target, run=folder / "fresh", start=folder / "start", known=old, truth=new)
    assert found["occurrences"] <= found["blind"] + 0.05


def test_rows_that_do_not_belong_together(held, tmp_path):
    folder, old, new, target = held
    with pytest.raises(WrongTable, match="--from-table with the one table"):
        attack_rows(target, run=folder / "start", start=folder / "start", known=new, truth=new)
    other = Coded.of([np.array([SIZE])])
    with pytest.raises(InvalidConfig, match="expected a run made from the other"):
        attack_rows(other, run=folder / "start", start=folder / "start", known=old, truth=new)


@pytest.mark.parametrize("block", [4096, 7])
def test_rows_turned_a_little_are_matched(block, monkeypatch):
    monkeypatch.setattr("ult.audit.code.embedding_rows.BLOCK", block)
    rng = np.random.default_rng(0)
    known, secret = rng.normal(size=(60, 32)), rng.permutation(60)[:40]
    rows = known[secret] + 0.3 * rng.normal(size=(40, 32))
    assert by_rows(2 * rows, known).tolist() == secret.tolist()


def test_what_a_run_writes_ends_before_what_no_phrase_has(held):
    folder, old, _, _ = held
    records, of = draw(folder / "start", samples=5, truth=old)
    assert len(records) == 5
    assert of["table"] == old.fingerprint
    assert all(len(ids) <= QUICK["context"] for ids in records)
    assert max(int(ids.max()) for ids in records if len(ids)) < old.size < SIZE
    assert min(int(ids.min()) for ids in records if len(ids)) >= N_SPECIAL
    again, _ = draw(folder / "start", samples=5)
    assert any(len(one) > len(two) for one, two in zip(again, records, strict=True))
    assert all(one[: len(two)].tolist() == two.tolist() for one, two in zip(again, records, strict=True))

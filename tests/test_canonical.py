"""SMILES made canonical by several processes: the same records, in the same order, and the same remarks as by one."""

import multiprocessing

import pytest

from ult.data import open_source
from ult.errors import SourceError
from ult.owner.pipeline import canonical
from ult.owner.pipeline.engine import Local

pytest.importorskip("rdkit")
BATCH = 1024  # rows


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(canonical, "_ALONE", 1)


def sources(path, **of):
    rewritten = canonical.rewriting(Local(2))
    return [
        open_source([path], modality="molecule", canonical=True, **how, **of) for how in ({}, {"rewritten": rewritten})
    ]


def test_several_processes_give_what_one_does(tmp_path):
    lines = [f"{'C' * (k % 7)}O" for k in range(5 * BATCH + 1)]
    lines[BATCH + 1 : BATCH + 10] = ["N" + "c1ccc(cc1)" * 90 + "C"] * 9  # the first batch of the workers is done last
    for k in (3, BATCH, 2 * BATCH - 1, 3 * BATCH, 5 * BATCH):
        lines[k] = "no smiles"
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    one, several = sources(tmp_path / "a.txt")
    found, others = (list(source.batches()) for source in (one, several))
    assert len(found) == 6
    assert [batch.records for batch in found] == [batch.records for batch in others]
    assert [batch.where.place(0) for batch in found] == [batch.where.place(0) for batch in others]
    assert one.invalid == several.invalid
    assert several.invalid.rows == [4, BATCH + 1, 2 * BATCH, 3 * BATCH + 1, 5 * BATCH + 1]
    assert found[0].records[2] == "CCO"


def test_workers_end_with_a_reading_that_fails(tmp_path):
    (tmp_path / "a.txt").write_text("OCC>>C\n" * 6 * BATCH + "no reaction\n")
    _, source = sources(tmp_path / "a.txt", side="left")
    batches = source.batches()
    assert [next(batches).records[-1] for _ in range(6)] == ["CCO>>"] * 6
    assert len(multiprocessing.active_children()) == 2
    with pytest.raises(SourceError, match=f"line {6 * BATCH + 1} holds"):
        list(batches)
    assert not multiprocessing.active_children()

"""Counts of parts add up to the counts of the whole and give the same table, for any split and order."""

import itertools
import os
import random
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ult
from ult.codecs.text import TextBytes
from ult.data import open_source
from ult.errors import EngineError, InvalidConfig, InvalidRecord, WrongKey
from ult.owner.bpe.counts import PatchCounts
from ult.owner.pipeline import pieces
from ult.owner.pipeline.engine import Local
from ult.owner.pipeline.summing import Aside, Tree, runs

CODEC = TextBytes()
VOCABULARY = ult.Vocabulary(330)
words = st.sampled_from(["to", "be", "or", "not", "bee", "boot", "ñandú", "..."])
records = st.lists(st.lists(words, max_size=5).map(" ".join), min_size=1, max_size=25)


def counted(part, min_records):
    counts = PatchCounts(min_records=min_records)
    counts.add(CODEC.encode_batch(part))
    return counts


def plain(counts):
    """Each patch with its count and its holders: how many, and which as long as all are known."""
    symbols, ends, weights, holders = counts.patches()
    found = {}
    for k, patch in enumerate(np.split(symbols, ends[:-1]) if len(ends) else []):
        nodes, node = set(), holders.last[k]
        while node != -1:
            nodes.add(int(holders.record[node]))
            node = holders.link[node]
        assert len(nodes) == holders.held[k]
        full = len(nodes) == counts.min_records
        found[patch.astype(np.uint8).tobytes()] = (int(weights[k]), len(nodes), frozenset() if full else nodes)
    return found


@given(records, st.integers(1, 5), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_split_in_any_order_is_the_whole(many, min_records, parts, draw):
    whole = counted(many, min_records)
    split = [[] for _ in range(parts)]
    for record in many:
        draw.choice(split).append(record)
    total = PatchCounts(min_records=min_records)
    for part in split:
        total.merge(counted(part, min_records).counted())
    assert total.records == whole.records
    assert plain(total) == plain(whole)
    fitted = ult.Table.fit(many, vocabulary=VOCABULARY, min_records=min_records)
    merged = ult.Table.from_counts(total, codec=CODEC, vocabulary=VOCABULARY)
    assert merged.fingerprint == fitted.fingerprint


@pytest.mark.parametrize("min_records", [1, 2, 5])
def test_many_patches_grow_the_arrays(min_records):
    draw = random.Random(0)  # noqa: S311
    many = [" ".join(str(draw.randrange(30_000)) for _ in range(20)) for _ in range(3000)]
    total = PatchCounts(min_records=min_records)
    for start in range(0, len(many), 700):
        total.merge(counted(many[start : start + 700], min_records).counted())
    assert plain(total) == plain(counted(many, min_records))
    total.add(CODEC.encode_batch(many))  # goes on after a merge
    twice = counted([*many, *many], min_records)
    assert plain(total) == plain(twice)


def test_merging_is_a_tree_too():
    one, two, three = (counted([text], 2) for text in ("to be", "or not", "to be"))
    one.merge(two.counted())
    one.merge(three.counted())
    three.merge(two.counted())
    three.merge(counted(["to be"], 2).counted())
    assert plain(one) == plain(three)
    assert plain(one)[b"to"][:2] == (2, 1)


def test_counts_of_another_limit_are_refused():
    with pytest.raises(InvalidConfig, match="min_records 2; expected 3"):
        PatchCounts(min_records=3).merge(PatchCounts(min_records=2).counted())


def test_workers_and_pieces_change_no_table(tmp_path: Path):
    many = [f"record {i} of {i % 97}, {i % 89}" for i in range(6000)]
    (tmp_path / "x.txt").write_text("\n".join(many) + "\n", encoding="utf-8")
    source = open_source([tmp_path / "x.txt"], modality="text")
    fitted = ult.Table.fit(many, vocabulary=VOCABULARY, min_records=3)
    for workers, nbytes in itertools.product((1, 2), (1, 10**9)):
        counts = pieces.count(partial(source.pieces, nbytes), CODEC, min_records=3, engine=Local(workers))
        table = ult.Table.from_counts(counts, codec=CODEC, vocabulary=VOCABULARY)
        assert table.fingerprint == fitted.fingerprint


class Spread(Local):
    """One process that counts as several machines."""

    spread = True

    def __init__(self):
        super().__init__(1)
        self.tasks = []

    def map(self, prepare, state, pieces):
        return super().map(prepare, state, map(self.noted, pieces))

    def noted(self, task):
        self.tasks.append(task[1])
        return task


def test_counts_are_added_up_in_a_tree_by_workers(tmp_path, monkeypatch):
    """Of 40 pieces in two passes, whose counts are put aside encrypted, the first process adds up no more than 8."""
    many = [f"rare canary {i} of {i % 97}, {i % 89}" for i in range(6000)]
    (tmp_path / "x.txt").write_text("\n".join(many) + "\n", encoding="utf-8")
    monkeypatch.setattr(pieces, "PIECE_BYTES", 4000)
    monkeypatch.setattr(pieces, "count", partial(pieces.count, capacity=9000))
    plain = {"encrypt": False, "vocabulary_size": 330, "workers": 1}
    alone = ult.fit(tmp_path / "x.txt", tmp_path / "alone.ult", **plain)
    assert alone.exact_from  # so there are two passes
    engine, last = Spread(), Tree.last
    monkeypatch.setattr("ult.owner.fit.choose", lambda *_: engine)
    held, ended = [], []

    def seen(tree):
        held.extend(path.read_bytes() for path in (tmp_path / ".spread.ult.partial").glob("counts.*"))
        ended.append(list(last(tree)))
        return ended[-1]

    monkeypatch.setattr(Tree, "last", seen)
    ult.fit(tmp_path / "x.txt", tmp_path / "spread.ult", **plain)
    assert (tmp_path / "spread.ult").read_bytes() == (tmp_path / "alone.ult").read_bytes()
    merges = [names for run, names in engine.tasks if not run]
    assert len(engine.tasks) - len(merges) > 2 * 8 * 4
    assert max(map(len, merges)) == 8
    assert [len(some) <= 8 for some in ended] == [True, True]
    assert held
    assert all(one.startswith(b"age-encryption.org/") and b"canary" not in one for one in held)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.ult", "spread.ult", "x.txt"]


@pytest.mark.parametrize("what", ["gone", "altered"])
def test_counts_that_were_put_aside_and_are_not_there_are_an_error(tmp_path, what):
    aside = Aside.at(tmp_path)
    name = aside.put(counted(["to be"], 2).counted())
    if what == "gone":
        aside.remove([name])
    else:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1] + b"\0")
    with pytest.raises(EngineError if what == "gone" else WrongKey):
        aside.get(name)


def test_runs_hold_more_pieces_as_there_are_more_and_each_once():
    unread: list[Any] = [SimpleNamespace(rows=None, k=k) for k in range(2000)]
    found: list[Any] = list(runs(iter(unread)))
    assert [piece.k for run in found for piece in run] == list(range(2000))
    assert [len(run) for run in found[:65]] == [1] * 64 + [2]
    assert max(map(len, found)) <= 16
    read: list[Any] = [SimpleNamespace(rows=1)] * 200  # in memory
    assert all(len(run) == 1 for run in runs(read))


# ---- the engine


@pytest.mark.parametrize("workers", [1, 3])
def test_every_piece_is_answered_once(workers):
    found = dict(Local(workers).map(partial, (pow, 2), ((n, (n,)) for n in range(20))))
    assert found == {n: 2**n for n in range(20)}
    assert list(Local(workers).map(partial, (pow, 2), iter(()))) == []


def test_one_piece_starts_no_process():
    assert list(Local(8).map(lambda: lambda n: n, (), [(0, (7,))])) == [(0, 7)]  # a lambda goes through no pipe


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_work_is_raised_with_its_hint(workers):
    error = InvalidRecord("this is wrong", hint="try that")
    with pytest.raises(InvalidRecord, match=r"this is wrong \(hint: try that\)"):
        list(Local(workers).map(partial, (raise_,), ((n, (error,)) for n in range(3))))


def raise_(error):
    raise error


def test_a_worker_that_is_lost_is_an_error():
    with pytest.raises(EngineError, match="worker process ended"):
        list(Local(2).map(partial, (os._exit,), ((n, (1,)) for n in range(5))))


def test_an_error_of_the_source_ends_the_workers():
    def source():
        yield 0, (0,)
        yield 1, (0,)
        raise InvalidRecord("no more")

    with pytest.raises(InvalidRecord):
        list(Local(2).map(partial, (SimpleNamespace,), source()))

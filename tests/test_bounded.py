"""Counting within a capacity: counts are exact, only rare patches are left out, and order changes no byte."""

import itertools
import random
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ult
from ult.cli import owner
from ult.codecs.text import TextBytes
from ult.data import open_source
from ult.errors import InvalidConfig, SourceError
from ult.owner.bpe import counts
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.patch_table import Sieve, leave_out
from ult.owner.pipeline import pieces
from ult.owner.pipeline.engine import Local

CODEC = TextBytes()
VOCABULARY = ult.Vocabulary(400)
LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopabcdef")


def zipf(records, seed=0):
    """Records of words of which few are frequent and most are rare."""
    draw = random.Random(seed)  # noqa: S311
    return [" ".join(word(int(draw.paretovariate(0.6))) for _ in range(20)) for _ in range(records)]


def word(n):
    """A word of its own for each number, one patch."""
    return format(n, "x").translate(LETTERS)


def distinct(records):
    """Records of words that never come twice, but for one."""
    return [" ".join([word(i * 19 + k) for k in range(19)] + ["often"]) for i in range(records)]


def add_all(counts, many):
    for start in range(0, len(many), 50):
        counts.add(CODEC.encode_batch(many[start : start + 50]))
    return counts


def bounded(many, capacity, min_records=3):
    counts = add_all(PatchCounts(min_records=min_records, capacity=capacity), many)
    return add_all(counts.second_pass(), many) if counts.over_capacity else counts


def plain(counts):
    """Each patch with its count and the number of its holders."""
    symbols, ends, weights, holders = counts.patches()
    split = np.split(symbols, ends[:-1]) if len(ends) else []
    return {
        p.astype(np.uint8).tobytes(): (int(w), int(h)) for p, w, h in zip(split, weights, holders.held, strict=True)
    }


def symbols_of(found):
    return sum(map(len, found))


@pytest.mark.parametrize("many", [zipf(1500), distinct(300)], ids=["zipf", "distinct"])
@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.99])
def test_beside_exact_counting(many, share):
    exact = plain(add_all(PatchCounts(min_records=3), many))
    capacity = max(1, int(share * symbols_of(exact)))
    counts = bounded(many, capacity)
    found = plain(counts)
    assert symbols_of(found) <= capacity
    assert found == {patch: exact[patch] for patch in found}  # what is counted is counted exactly, holders too
    left_out = [exact[patch][0] for patch in exact if patch not in found]
    assert max(left_out) < counts.exact_from
    assert all(patch in found for patch, (count, _) in exact.items() if count >= counts.exact_from)


def test_what_is_left_out_is_rare():
    many = zipf(1500)
    exact = plain(add_all(PatchCounts(), many))
    counts = bounded(many, symbols_of(exact) // 4)
    rare = sum(count for patch, (count, _) in exact.items() if patch not in plain(counts))
    assert counts.exact_from <= 4
    assert rare < 0.1 * sum(count for count, _ in exact.values())


def test_within_capacity_all_is_exact_in_one_pass():
    many = zipf(300)
    exact = add_all(PatchCounts(min_records=3), many)
    size = symbols_of(plain(exact))
    roomy = add_all(PatchCounts(min_records=3, capacity=size), many)
    assert not roomy.over_capacity
    assert roomy.exact_from == 0
    assert plain(roomy) == plain(exact)
    assert add_all(PatchCounts(min_records=3, capacity=size - 1), many).over_capacity


@given(st.integers(1, 400), st.integers(1, 7), st.randoms(use_true_random=False))
def test_any_parts_in_any_order_are_the_whole(capacity, n, draw):
    many = zipf(60, seed=1)
    whole = bounded(many, capacity)
    parts = [[] for _ in range(n)]
    for record in many:
        draw.choice(parts).append(record)
    total = PatchCounts(min_records=3, capacity=capacity)
    for _ in range(2):
        for part in parts:
            total.merge(add_all(PatchCounts(**total.settings()), part).counted())
        if not total.over_capacity:
            break
        draw.shuffle(parts)
        total = total.second_pass()
    assert total.records == whole.records
    assert total.exact_from == whole.exact_from
    assert plain(total) == plain(whole)


def test_every_order_of_merges_gives_the_same_table():
    parts = [zipf(40, seed) for seed in range(4)]
    tables = set()
    for order in itertools.permutations(parts):
        first = PatchCounts(min_records=2, capacity=400)
        for part in order:
            first.merge(add_all(PatchCounts(min_records=2, capacity=400), part).counted())
        assert first.over_capacity
        second = first.second_pass()
        for part in reversed(order):
            second.merge(add_all(PatchCounts(**second.settings()), part).counted())
        tables.add(ult.Table.from_counts(second, codec=CODEC, vocabulary=VOCABULARY).cleartext())
    assert len(tables) == 1


@pytest.mark.slow
def test_a_table_is_the_same_by_any_way(tmp_path):
    many = zipf(2000)
    (tmp_path / "x.txt").write_text("\n".join(many) + "\n", encoding="utf-8")
    source = open_source([tmp_path / "x.txt"], modality="text")
    fitted = ult.Table.fit(many, vocabulary=VOCABULARY, min_records=3, capacity=3000)
    assert fitted.cleartext() != ult.Table.fit(many, vocabulary=VOCABULARY, min_records=3).cleartext()
    for workers, nbytes in ((1, 10**9), (1, 1), (2, 1), (3, 50_000)):
        read = partial(source.pieces, nbytes)
        counts = pieces.count(read, CODEC, min_records=3, engine=Local(workers), capacity=3000)
        table = ult.Table.from_counts(counts, codec=CODEC, vocabulary=VOCABULARY)
        assert table.cleartext() == fitted.cleartext()


def test_too_few_records_hold_what_too_few_held():
    """Leaving patches out only ever bars phrases: none enters that exact counting would have barred."""
    many = ["abcdefgh " + record for record in zipf(400)] + ["zyxwvuts zyxwvuts zyxwvuts zyxwvuts"]
    table = ult.Table.fit(many, vocabulary=VOCABULARY, min_records=2, capacity=1500)
    spelled = [bytes(symbols.astype(np.uint8)) for symbols in table.spellings()]
    assert b"abcdefgh" in spelled
    assert not any(len(one) > 1 and one in b" zyxwvuts" for one in spelled)


def test_records_that_can_be_read_once_are_refused_once_they_are_too_many():
    with pytest.raises(InvalidConfig, match=r"read only once.*hint: give them as a list"):
        ult.Table.fit(iter(zipf(100)), vocabulary=VOCABULARY, capacity=100, min_records=1)
    assert ult.Table.fit(iter(zipf(100)), vocabulary=VOCABULARY, min_records=1).records == 100


def test_an_input_that_changes_between_the_passes_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("\n".join(zipf(100)), encoding="utf-8")
    source = open_source([path], modality="text")

    def read():
        yield from source.pieces(1)
        path.write_text("short", encoding="utf-8")

    with pytest.raises(SourceError, match="not what it was"):
        pieces.count(read, CODEC, min_records=1, engine=Local(1), capacity=100)


def test_fit_says_what_is_left_out(tmp_path, monkeypatch, capsys):
    path = tmp_path / "x.txt"
    path.write_text("\n".join(zipf(200)), encoding="utf-8")
    owner.fit(inputs=[str(path)], out=tmp_path / "all.ult", no_encryption=True, workers=1)
    assert "left out" not in capsys.readouterr().err
    monkeypatch.setattr(pieces, "count", partial(pieces.count, capacity=300))
    owner.fit(inputs=[str(path)], out=tmp_path / "some.ult", no_encryption=True, workers=1)
    least = bounded(zipf(200), 300, min_records=5).exact_from
    assert f"some of those that occur under {least} times are left out" in capsys.readouterr().err
    table = ult.Table.fit(zipf(200), vocabulary=ult.Vocabulary(8192), min_records=5, capacity=300)
    assert ult.Table.load(tmp_path / "some.ult").fingerprint == table.fingerprint


def test_passes_and_capacities_do_not_mix():
    first = add_all(PatchCounts(capacity=50), zipf(20))
    with pytest.raises(InvalidConfig, match="more than 50 symbols"):
        first.patches()
    with pytest.raises(InvalidConfig, match="first pass and of a second"):
        first.merge(first.second_pass().counted())
    with pytest.raises(InvalidConfig, match="capacity 60; expected 50"):
        first.merge(PatchCounts(capacity=60).counted())
    with pytest.raises(InvalidConfig, match="capacity is 0"):
        PatchCounts(capacity=0)


@pytest.mark.parametrize("least", [2, 5, 20, 1000])
def test_leaving_out_is_never_having_counted(least):
    """In place, and what is left can be added to as ever."""
    many = zipf(1000)
    sieve = add_all(PatchCounts(min_records=4, capacity=2000), many).second_pass().settings()["sieve"]
    counts, fresh = (PatchCounts(min_records=4, sieve=sieve) for _ in range(2))
    fresh._least = least
    add_all(counts, many)
    assert plain(counts) != plain(add_all(fresh, many))
    leave_out(counts._unique, Sieve(sieve, least))
    counts._least = counts._sieved = least
    assert plain(counts) == plain(fresh)
    assert plain(add_all(counts, many[:300])) == plain(add_all(fresh, many[:300]))


def test_a_grade_never_falls_and_never_promises_too_much():
    weights = np.unique(np.concatenate([np.arange(5000), 2 ** np.arange(54) - 1, 2 ** np.arange(54)]))
    grades = counts._grade(weights).astype(int)
    assert (np.diff(grades) >= 0).all()
    assert (grades[0], grades[-1]) == (0, 212)
    for weight, grade in zip(weights.tolist(), grades.tolist(), strict=True):
        assert counts._occurrences(grade) <= max(weight, 1)
        assert counts._occurrences(grade + 1) > weight

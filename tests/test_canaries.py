"""Canaries: planted where the table says, found again only with it, and exposed by a run that memorised them."""

import math
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from toy import write
from ult.__main__ import main
from ult.audit.model.exposure import chance_interval, exposure, rate
from ult.codecs.record import RecordColumns
from ult.data import Batch
from ult.errors import InvalidConfig, WrongTable
from ult.owner.canaries import SPACE, Planted, canary, canary_record, plant, secret_digits
from ult.owner.table import Table
from ult.public.manifest import Canaries
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

TEXTS = [f"the random number of {who} is {k}" for k, who in enumerate(["canary", "patient", "doctor"] * 10)]
NO = pa.table({})


@pytest.fixture(scope="module")
def table():
    return Table.fit(TEXTS, vocabulary=Vocabulary(400), min_records=5)


def pieces(sizes=(30, 30, 2), kept=False):
    many = []
    for size in sizes:
        texts = TEXTS[:size]
        many.append(Batch(texts, pa.table({"row": np.arange(size)}) if kept else NO))
    return many


def test_canaries_follow_from_the_table_alone(table):
    digits = secret_digits(table, 8)
    assert secret_digits(table, 3) == digits[:3]
    assert len(set(digits)) == 8
    assert all(0 <= d < SPACE for d in digits)
    other = Table.fit(TEXTS[1:], vocabulary=Vocabulary(400), min_records=5)
    assert not set(secret_digits(other, 8)) & set(digits)


def test_canaries_are_spread_over_all_pieces_but_the_last(table):
    texts = [canary(k, d) for k, d in enumerate(secret_digits(table, 4))]
    first, second, last = (piece.read() for piece in plant(pieces, table, 4, 25))
    assert last.records == TEXTS[:2]
    planted = [t for batch in (first, second) for t in batch.records if t in texts]
    assert sorted(planted) == sorted(texts * 25)
    for batch in (first, second):
        assert 25 < len(batch.records) - 30 < 75
        assert [t for t in batch.records if t not in texts] == TEXTS[:30]
    again = [piece.read() for piece in plant(pieces, table, 4, 25)]
    assert [b.records for b in again] == [first.records, second.records, last.records]


def test_encode_records_what_it_planted(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.save("t.ult", encrypt=False)
    Path("x.txt").write_text("\n".join(TEXTS) + "\n")
    for options, told in (([], None), (["--canaries", "2", "--repeats", "3"], Canaries(2, 3))):
        monkeypatch.setattr(
            sys, "argv", ["ult", *["encode", "x.txt", "-t", "t.ult", "-o", "x.shards", "--force"], *options]
        )
        with pytest.raises(SystemExit, match="0"):
            main()
        assert Shards("x.shards").manifest.canaries == told


def test_a_planted_record_has_the_kept_values_of_its_neighbour(table):
    (piece,) = plant(lambda: pieces((30,), kept=True), table, 3, 5)
    assert isinstance(piece, Planted)
    assert piece.rows == 45
    batch = piece.read()
    rows = batch.kept["row"].to_pylist()
    assert rows == sorted(rows)
    assert set(rows) == set(range(30))
    assert len(rows) == len(batch.records) == 45
    assert all(TEXTS[row] == text for row, text in zip(rows, batch.records, strict=True) if text in TEXTS)
    assert not any(text in repr(piece) for text in batch.records)


def test_what_cannot_be_planted(table):
    with pytest.raises(InvalidConfig, match="repeats is 0"):
        list(plant(pieces, table, 3, 0))
    with pytest.raises(InvalidConfig, match="canaries is 0"):
        list(plant(pieces, table, 0, 1))
    with pytest.raises(InvalidConfig, match="no records"):
        list(plant(list, table, 1, 1))
    series = Table.fit([np.arange(9.0)], codec="series/mulaw", vocabulary=Vocabulary(512), min_records=1)
    with pytest.raises(InvalidConfig, match="series"):
        secret_digits(series, 1)


def test_a_record_of_fields_holds_a_canary_in_its_first_text():
    rows = {"name": "rows", "kind": "rows", "required": True, "fields": [{"name": "code", "kind": "category"}]}
    age = {"name": "age", "kind": "number", "required": True}
    flag = {"name": "flag", "kind": "category", "type": "bool"}
    for fields, expected in (
        ([age, flag, {"name": "note", "kind": "text"}, rows], lambda text: (None, None, text, ())),
        ([age, flag, rows], lambda text: (None, None, ((text,),))),
    ):
        codec = RecordColumns(fields=fields)
        records = [(*("true" if one is flag else None for one in fields[:-1]), (("K",),))] * 3
        table = Table.fit(records, codec=codec, vocabulary=Vocabulary(400), min_records=1)
        (digits,) = secret_digits(table, 1)
        made = canary_record(table, 0, digits)
        assert made == expected(canary(0, digits))
        assert table.decode(table.encode(made)) == made
        found = list(plant([Batch(records, NO), Batch(records, NO)].copy, table, 1, 1))
        assert made in [record for piece in found for record in piece.read().records]
    numbers = Table.fit([("5",)], codec=RecordColumns(fields=[age]), vocabulary=Vocabulary(400), min_records=1)
    with pytest.raises(InvalidConfig, match="record/columns, hold none"):
        secret_digits(numbers, 1)


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("canaries")
    (planted,) = plant(lambda: pieces((30,)), table, 4, 20)
    for name, records, steps in (("leak", planted.read().records, 60), ("clean", TEXTS, 15)):
        shards = write(folder / f"{name}.shards", table.encode_batch(records), size=400, table=table.fingerprint)
        train(shards, folder / name, Recipe(steps=steps, batch_size=8, context=24, learning_rate=4e-3))
    return folder


def test_planted_canaries_are_exposed(folder, table):
    found = exposure(Run.open(folder / "leak"), table, 4, alternatives=60)
    assert found["most"] == pytest.approx(math.log2(61))
    assert found["interpolated_mean"] > found["chance_interval"][1]
    assert found["extrapolated_mean"] > found["chance_interval"][1]
    assert found["p_value"] < 0.01
    assert found["space"] == 10**8


def test_canaries_never_seen_are_not(folder, table):
    found = exposure(Run.open(folder / "clean"), table, 4, alternatives=60)
    low, high = found["chance_interval"]
    assert low < found["interpolated_mean"] < high
    assert found["p_value"] > 0.025
    assert found["alternatives"] == 60


def test_other_table_or_too_few_alternatives(folder, table):
    run = Run.open(folder / "clean")
    with pytest.raises(WrongTable):
        exposure(run, Table.fit(TEXTS[1:], vocabulary=Vocabulary(400), min_records=1), 4)
    with pytest.raises(InvalidConfig, match="alternatives"):
        exposure(run, table, 4, alternatives=9)


def test_exposures_by_hand():
    """As TensorFlow Privacy's exposures_test.py, which ranks 3.5 fourth among 1 .. 16, but out of 17."""
    losses = np.array([[own, *np.arange(1.0, 17)] for own in (0.0, 3.5, 20.0)])
    found = rate(losses)
    assert found["interpolated"] == pytest.approx([math.log2(17), math.log2(17 / 4), 0])
    assert found["chance_mean"] == pytest.approx(np.mean(math.log2(17) - np.log2(np.arange(1, 18))))


def test_extrapolation_reads_a_skew_normal():
    rng = np.random.default_rng(0)
    true = stats.skewnorm(3.0, 40.0, 5.0)
    own = true.ppf([2.0**-20, 2.0**-6, 0.5])
    found = rate(np.column_stack([own, true.rvs((3, 4000), random_state=rng)]))
    assert found["extrapolated"] == pytest.approx([20, 6, 1], rel=0.15)
    assert min(found["fit"]) > 0.01
    assert rate(np.column_stack([[-1e6], true.rvs((1, 500), random_state=rng)]))["extrapolated"] == [math.log2(SPACE)]


def test_chance_is_what_simulation_says():
    rng = np.random.default_rng(1)
    ranks = rng.integers(1, 302, (4000, 8))
    means = (math.log2(301) - np.log2(ranks)).mean(1)
    low, high = chance_interval(8)
    assert 0.93 < np.mean((low <= means) & (means <= high)) < 0.97
    p_values = stats.gamma.sf(means * 8 * math.log(2), 8)
    assert np.mean(p_values < 0.05) == pytest.approx(0.05, abs=0.012)

"""`series/levels`: levels that fit each column, in whatever order records come, with an outlier, under epsilon."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import ult
from ult.__main__ import main
from ult.audit.code.reconstruct import Rebuilder
from ult.codecs.columns import Columns
from ult.codecs.levels import SeriesLevels
from ult.codecs.placing import Placing, placed
from ult.codecs.series import SeriesMulaw
from ult.errors import InvalidConfig, InvalidRecord
from ult.owner import private_levels

DRAW = np.random.default_rng(3)
LABS = np.column_stack([
    DRAW.normal(140, 3, 500).round(1),  # sodium
    np.exp(DRAW.normal(6, 1.5, 500)).round(),  # nt-proBNP
    DRAW.integers(0, 2, 500),  # sex
    DRAW.integers(20, 90, 500),  # age
    np.where(DRAW.random(500) < 0.3, np.nan, DRAW.lognormal(0, 0.4, 500)),  # creatinine, often missing
])  # fmt: skip
NAMES = ("sodium", "ntprobnp", "sex", "age", "creatinine")


def root_mean_square(codec, values):
    return float(np.sqrt(np.mean((codec.decode(codec.encode(values).symbols) - values) ** 2)))


def placed_on(values, most=64, clip=0.0):
    return placed(*np.unique(values, return_counts=True), most, clip)


def test_columns_of_different_scales_all_come_back():
    codec = SeriesLevels.calibrated(list(LABS), by_column=1)
    for record in LABS:
        again = codec.decode(codec.encode(record).symbols)
        for k in (0, 2, 3):  # with fewer values than levels: exactly
            assert again[k] == record[k]
        assert abs(again[1] - record[1]) <= 0.25 * record[1]
        assert np.isnan(again[4]) == np.isnan(record[4])
    assert sum(codec.clipped(record) for record in LABS) == 0
    assert codec.clipped(np.array([1e9, 0.0, 1.0, np.nan, -1.0])) == 3


def test_one_outlier_takes_one_level_and_comes_back():
    values = DRAW.normal(0, 1, 500)
    values[7] = 1e6
    for codec in (SeriesLevels.calibrated([values], levels=64), SeriesLevels(columns=[placed_on(values)])):
        assert codec.decode(codec.encode(values).symbols)[7] == 1e6
        assert len(np.unique(codec.encode(values).symbols)) == 64
        assert root_mean_square(codec, np.delete(values, 7)) < 0.05
    assert len(np.unique(SeriesMulaw.calibrated([values]).encode(values).symbols)) == 3


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_levels_are_better_than_quantiles_and_even_ones(scale):
    for values in (DRAW.normal(5, 1, 3000), DRAW.lognormal(0, 1.5, 3000), DRAW.standard_t(2, 3000)):
        ours = SeriesLevels(columns=[(np.array(placed_on(values * scale)) / scale).tolist()])
        for others in (np.quantile(values, np.linspace(0, 1, 64)), np.linspace(values.min(), values.max(), 64)):
            other = SeriesLevels(columns=[others.tolist()])
            assert root_mean_square(ours, values) < 1.01 * root_mean_square(other, values)


def test_a_value_that_most_records_have_is_a_level():
    values = np.where(DRAW.random(3000) < 0.9, 0.1234567, DRAW.normal(0, 1, 3000))
    levels = placed_on(values, 16)
    assert 0.1234567 in levels
    assert len(levels) > 12
    assert [x for x in levels if len(str(abs(x))) > 6] == [0.1234567]


NARROW = [0.0, 1e-90, 1e-16, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9e307]  # most gaps are nothing beside the widest


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40), st.integers(2, 12))
@example(NARROW, 9)
def test_levels_rise_cover_all_values_and_are_no_more_than_asked(values, most):
    values = np.array(values) + 0.0
    levels = placed_on(values, most)
    assert len(levels) <= most
    assert (np.diff(levels) > 0).all()
    assert levels[0] <= values.min() <= values.max() <= levels[-1]
    if len(np.unique(values)) <= most:
        assert len(levels) == len(np.unique(values))


def test_clip_leaves_that_share_outside():
    values = np.arange(1000.0)
    codec = SeriesLevels.calibrated([values], clip=0.01)
    assert codec.clipped(values) == 10
    assert SeriesLevels.calibrated([values]).clipped(values) == 0


def test_order_does_not_matter_beyond_what_is_told_apart(monkeypatch):
    monkeypatch.setattr("ult.codecs.placing.LEAST_CELLS", 64)
    monkeypatch.setattr("ult.codecs.placing.CELLS", 64)
    monkeypatch.setattr("ult.codecs.placing._PENDING", 100)
    rows = DRAW.lognormal(0, 2, (300, 3)) * [1, -1, 1e9]
    found = [SeriesLevels.calibrated(list(some), by_column=1, levels=16).columns for some in (rows, rows[::-1])]
    assert found[0] == found[1]
    for k in range(3):
        counted = Placing(16, by_column=False)
        counted.add(rows[:, k])
        assert tuple(counted.levels(0.0)[0]) == found[0][k]
        assert len(found[0][k]) > 12
        assert found[0][k][0] <= rows[:, k].min() * 1.5 or k == 1


def test_records_of_other_lengths_are_refused():
    with pytest.raises(InvalidRecord, match=r"^records\[1\]: record has 2 values where others have 3"):
        SeriesLevels.calibrated([np.zeros(3), np.zeros(2)], by_column=1)
    with pytest.raises(InvalidRecord, match="has 6 values; expected at most 5"):
        SeriesLevels.calibrated(list(LABS), by_column=1).encode(np.zeros(6))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"columns": []}, "expected lists of levels"),
        ({"columns": "12"}, "expected lists of levels"),
        ({"columns": [1.0]}, r"columns\[0\] is 1.0; expected 1 to 65536 levels"),
        ({"columns": [[1.0], []]}, r"columns\[1\] is \[\]"),
        ({"columns": [[1.0, 1.0]]}, "do not increase"),
        ({"columns": [[0.0, float("inf")]]}, "no finite number"),
        ({"columns": [[0.0, True]]}, "no finite number"),
        ({"apart": 2}, "apart is 2"),
        ({"tilings": 0}, "tilings is 0"),
        ({"tilings": 4, "patch_size": 10}, "patch_size is 10 with 4 tilings; expected 1"),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(InvalidConfig, match=match):
        SeriesLevels(**options)


@pytest.mark.parametrize("tilings", [2, 4, 8, 31, 40])
def test_neighbouring_levels_share_all_tiles_but_one(tilings):
    codec = SeriesLevels(columns=[[float(k) for k in range(32)]], tilings=tilings)
    symbols = codec.encode(np.arange(32.0)).symbols.reshape(32, tilings)
    apart = (symbols[:, None] != symbols).sum(2)
    assert (apart == np.minimum(np.abs(np.arange(32)[:, None] - np.arange(32)), tilings)).all()
    assert (codec.decode(symbols.ravel()) == np.arange(32)).all()
    assert len(set(symbols[:, 0].tolist())) == 31 // tilings + 1


def test_tiles_stay_ids_of_their_own():
    codec = SeriesLevels.calibrated(list(LABS), by_column=1, tilings=4)
    table = ult.Table.fit(list(LABS), codec=codec, vocabulary=ult.Vocabulary(4096), min_records=1)
    assert len(table.encode(LABS[0])) == 4 * 5
    np.testing.assert_array_equal(table.decode(table.encode(LABS[3]))[[0, 2, 3]], LABS[3][[0, 2, 3]])


def test_a_column_that_given_levels_lose_is_refused():
    columns = Columns(SeriesLevels(columns=[[0.0, 200.0, 300.0], [1.0, 2.0]]))
    for value in np.linspace(120, 150, 60):
        columns.add(np.array([value, 1.0]))
    with pytest.raises(InvalidConfig, match=r"value 1 of each record .* keeps 1 of the 3 levels") as raised:
        columns.check()
    assert raised.value.hint.startswith("--option levels=256")


def test_a_table_of_named_columns_in_python():
    table = ult.Table.fit(
        list(LABS), codec="series/levels", vocabulary=ult.Vocabulary(512), fields=NAMES, min_records=1
    )
    assert len(table.codec.config()["columns"]) == 5
    np.testing.assert_array_equal(table.decode(table.encode(LABS[3]))[[0, 2, 3]], LABS[3][[0, 2, 3]])


def test_an_audit_measures_what_it_rebuilds_by_the_widest_range():
    codec = SeriesLevels(columns=[[0.0, 1.0], [0.0, 5.0, 100.0]])
    assert Rebuilder(codec, [np.zeros(2)])._decibels(1.0, 1) == pytest.approx(40.0)


def run(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["ult", *shlex.split(words)])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [",".join("" if np.isnan(x) else f"{x:g}" for x in row) for row in LABS]
    Path("labs.csv").write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    Path("odd.csv").write_text("\n".join([",".join(NAMES), "0,400,1,30,1", *lines[:9]]) + "\n")
    fit = "fit labs.csv --codec series/levels --no-encryption --workers 1 --vocabulary-size 1024 -o t.ult --force"
    assert run(monkeypatch, fit + " --option apart=1 --option levels=32 --option tilings=4") == 0
    assert "worst kept is column 'creatinine'" in capsys.readouterr().out
    assert run(monkeypatch, "inspect t.ult") == 0
    assert "5 of 2 to 32 levels" in capsys.readouterr().out.replace("\n", " ").replace("   ", "")
    assert run(monkeypatch, "encode odd.csv -t t.ult -o x.shards") == 0
    assert "1 of 50 values (2.00%) lie outside the range" in capsys.readouterr().err
    assert run(monkeypatch, "decode x.shards -t t.ult -o back.csv") == 0
    assert len(Path("back.csv").read_text().splitlines()) == 11
    capsys.readouterr()
    assert run(monkeypatch, fit + " --epsilon 40") == 0
    assert "edges of the bins of 5 numbers learnt at 4 of epsilon" in capsys.readouterr().out
    found = ult.Table.load("t.ult").codec.config()["columns"]
    assert [len(levels) <= 31 for levels in found] == [True] * 5
    assert sum(120 < level < 160 for level in found[0]) > 5


def test_wrong_options_under_epsilon():
    for wrong in ({"levels": 100}, {"clip": 0.1}, {"levels": 5}, {"by_column": 2}):
        with pytest.raises(InvalidConfig):
            private_levels.learnt([list(LABS)], NAMES, wrong, epsilon=40.0, delta=None)
    with pytest.raises(InvalidRecord, match=r"records\[1\] has 1 values; expected 2"):
        private_levels.learnt([[np.zeros(2), np.zeros(1)]], (), {"by_column": 1}, epsilon=40.0, delta=None)


def test_series_under_epsilon_count_with_one_value_each():
    records = [DRAW.normal(50, 5, DRAW.integers(1, 9)) for _ in range(400)]
    options, told = private_levels.learnt([records[:300], records[300:]], (), {"apart": 0}, epsilon=100.0, delta=1e-3)
    (levels,) = options["columns"]
    assert options["apart"] == 0
    assert told.records == 400
    assert 45 < np.median(levels) < 55

"""`series/mulaw` has one range for all columns: a column on too few levels is refused, and the worst is named."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import ult
from ult.__main__ import main
from ult.codecs.columns import Columns
from ult.codecs.series import SeriesMulaw
from ult.errors import InvalidConfig

DRAW = np.random.default_rng(0)
LABS = {
    "sodium": DRAW.normal(140, 4, 500),
    "platelets": DRAW.normal(250e3, 6e4, 500),
    "sex": DRAW.integers(0, 2, 500).astype(float),
    "device": np.full(500, 7.5),
    "creatinine": DRAW.normal(1, 0.2, 500),
}


def looked_at(columns: dict[str, np.ndarray], *, named: bool = True, **options: float) -> Columns:
    rows = np.column_stack(list(columns.values()))
    found = Columns(SeriesMulaw.calibrated(list(rows), **options), tuple(columns) if named else ())
    for row in rows:
        found.add(row)
    found.check()
    return found


def some(*names: str) -> dict[str, np.ndarray]:
    return {name: LABS[name] for name in names}


@pytest.mark.parametrize("named", [True, False])
def test_a_column_that_the_others_leave_no_levels_is_refused(named: bool) -> None:
    name = "column 'sodium'" if named else "value 1 of each record"
    with pytest.raises(InvalidConfig, match=rf"{name} \(12.* to 15.*\) keeps 2 of the 256 levels") as raised:
        looked_at(some("sodium", "platelets"), named=named)
    assert "--option levels" not in raised.value.hint  # none would do
    with pytest.raises(InvalidConfig, match="and 3 more are too coarse"):
        looked_at(LABS)


def test_the_hint_is_enough() -> None:
    with pytest.raises(InvalidConfig, match=r"column 'sodium' .* keeps 1[0-5] of the 256 levels") as raised:
        looked_at(some("sodium", "sex", "device", "creatinine"))
    assert raised.value.hint.startswith("--codec series/levels, whose levels fit each column; or ")
    levels = int(re.search(r"--option levels=(\d+)", raised.value.hint)[1])  # type: ignore[index]
    found = looked_at(some("sodium", "sex", "device", "creatinine"), levels=levels)
    assert re.fullmatch(
        r"worst kept is column 'sodium': values of 124.4 to 152.3 come back within 0\.\d+, .*", found.worst()
    )


def test_one_outlier_is_refused_and_the_hint_is_enough() -> None:
    values = DRAW.normal(0, 1, 500)
    values[7] = 1e6
    codec = SeriesMulaw.calibrated([values])
    found = Columns(codec)
    found.add(values)
    with pytest.raises(InvalidConfig, match="keeps 3 of the 256 levels") as raised:
        found.check()
    clip = re.search(r"--option clip=(\S+)", raised.value.hint)[1]  # type: ignore[index]
    found = Columns(SeriesMulaw.calibrated([values], clip=float(clip)))
    found.add(values)
    found.check()
    assert found.clipped == 4


def test_what_is_constant_missing_or_short_is_kept() -> None:
    looked_at({"a": np.full(9, 7.5), "b": np.full(9, np.nan), "c": np.linspace(0, 9, 9), "d": np.zeros(9)})
    looked_at({"a": DRAW.normal(0, 1e-17, 300), "b": DRAW.normal(0, 1, 300)})  # what arithmetic left of zero
    looked_at({"padding": np.where(DRAW.random(300) < 0.02, 1.0, 0.0), "b": DRAW.normal(0, 1, 300)})
    with pytest.raises(InvalidConfig, match=r"column 'a' \(3\) keeps 1"):
        looked_at({"a": np.full(9, 3.0), "b": np.linspace(0, 1e6, 9)})  # it would come back as 0
    with pytest.raises(InvalidConfig, match="column 'a'"):
        looked_at({"a": np.array([0.0, 0, 3, 1] * 99), "b": np.linspace(0, 1e5, 396)})  # and rare counts too
    for record in (np.zeros(0), np.array([5.0]), np.array([np.nan])):
        found = Columns(SeriesMulaw(low=0.0, high=9.0))
        found.add(record)
        found.check()
        assert "nan" not in found.worst()


def test_series_of_several_lengths_are_looked_at_as_a_whole() -> None:
    found = Columns(SeriesMulaw(low=-1.0, high=1.0))
    for length in (3, 3, 4, 3):
        found.add(np.linspace(-1, 1, length))
    found.check()
    assert found.worst().startswith("worst kept is the series: values of -1 to 1 come back within 0.0")
    assert (found.values, found.clipped) == (13, 0)


def test_a_table_of_named_columns_in_python() -> None:
    rows = list(np.column_stack([LABS["sodium"], LABS["platelets"]])[:40])
    with pytest.raises(InvalidConfig, match="column 'sodium'"):
        ult.Table.fit(
            rows, codec="series/mulaw", vocabulary=ult.Vocabulary(512), fields=("sodium", "platelets"), min_records=1
        )
    given = SeriesMulaw(low=0.0, high=4e5)
    with pytest.raises(InvalidConfig, match="column 'sodium'"):
        ult.Table.fit(
            iter(rows), codec=given, vocabulary=ult.Vocabulary(512), fields=("sodium", "platelets"), min_records=1
        )


def run(monkeypatch: pytest.MonkeyPatch, words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ult", *shlex.split(words)])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = "fit labs.csv --codec series/mulaw --no-encryption --workers 1 -o t.ult"
    lines = [f"p{k},{a:.1f},{b:.0f}" for k, (a, b) in enumerate(zip(LABS["sodium"], LABS["platelets"], strict=True))]
    Path("labs.csv").write_text("\n".join(["id,sodium,platelets", *lines]) + "\n")
    for options in ("", " --epsilon 8 --option low=0 --option high=400000"):
        assert run(monkeypatch, fit + " --keep id --keep-identifier" + options) == 1
        assert "column 'sodium'" in capsys.readouterr().err
        assert not Path("t.ult").exists()
    assert run(monkeypatch, fit + " --keep id --keep-identifier --keep platelets --force") == 0
    assert "worst kept is column 'sodium'" in capsys.readouterr().out

"""Windows of series, their scales and levels, forecasts and their scores, by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ult.public.vocabulary import EOS, N_SPECIAL

sys.path.insert(0, str(Path(__file__).parent.parent / "runs"))

from lib import forecast
from lib.forecast import CONTEXT, HORIZON, Windows

HOURS = np.arange(600.0)
DAILY = np.sin(2 * np.pi * HOURS / 24)
SERIES = np.stack([5 + DAILY, 100 * DAILY + HOURS], 1)


def cut(first, last, step=24):
    return Windows.cut(SERIES, first, last, step)


def test_windows_are_of_all_variables_and_foretell_hours_of_their_part_only():
    found = cut(200, 273)
    assert found.origin.tolist() == [200, 200, 224, 224, 248, 248]
    assert found.variable.tolist() == [0, 1] * 3
    assert np.array_equal(found.values[3], SERIES[224 - CONTEXT : 224 + HORIZON, 1])
    assert np.array_equal(found.future[4], SERIES[248:272, 0])
    assert found.context.shape == (6, CONTEXT)


def test_scales_rest_on_what_is_known():
    asked = cut(400, 500)
    off, size = forecast.scales("window", asked)
    scaled = (asked.context - off) / size
    assert scaled.mean(1) == pytest.approx(0, abs=1e-9)
    assert scaled.std(1) == pytest.approx(1)
    off, size = forecast.scales("mean", asked)
    assert np.abs((asked.context - off) / size).mean(1) == pytest.approx(1)


@pytest.mark.parametrize("kind", [forecast.Bins, forecast.MuLaw])
def test_an_id_is_a_value(kind):
    train = np.random.default_rng(0).normal(size=(50, 40))
    code = kind(train)
    ids = np.stack(code.encode(train[:5]))
    assert ids.shape == (5, 40)
    assert N_SPECIAL <= ids.min() <= ids.max() < code.size == len(code.values)
    inside = np.abs(train[:5]) < 2
    assert np.abs(code.values[ids] - train[:5])[inside].max() < 0.2
    allowed = forecast.Numbers(code.values).allowed(0, 3)
    assert allowed[ids].all()
    assert not allowed[EOS]
    assert allowed.sum() == forecast.LEVELS


def test_forecasts_of_what_repeats_or_goes_on_straight():
    known, asked = cut(168, 400, 1), cut(400, 500)
    naive, line = forecast.seasonal_naive(known, asked), forecast.ridge(known, asked)
    daily = asked.variable == 0
    assert naive[:, daily] == pytest.approx(np.broadcast_to(asked.future[daily], naive[:, daily].shape))
    assert naive[4, ~daily] == pytest.approx(asked.future[~daily])  # its errors were 24 each day
    assert np.abs(line[4] - asked.future)[daily].max() < 0.05


def test_scores_by_hand():
    known, asked = cut(168, 400), cut(400, 448)
    assert set(asked.origin) == {400, 424}
    exact = np.repeat(asked.future[None], 9, axis=0)
    assert {name: found.tolist() for name, found in forecast.scored(exact, known, asked).items()} == {
        "MASE": [0, 0],
        "quantile loss": [0, 0],
    }
    off = exact + np.where(asked.variable == 1, 12.0, 0.0)[:, None]
    found = forecast.scored(off, known, asked)
    assert found["MASE"] == pytest.approx([0.25, 0.25])  # the second variable moves by 24 a day; half of two
    size = np.abs(asked.future[asked.variable == 1]).mean()
    assert found["quantile loss"] == pytest.approx([12 / size / 2] * 2)  # 2 x mean of (1 - q), over the mean of two

"""Augmentation by mixtures: between their parents, of one class only, the same for the same seed."""

import numpy as np
import pytest

from ult.data.augment import mixtures
from ult.errors import InvalidConfig, InvalidRecord

VALUES = np.array([[0.0, 10.0], [1.0, 20.0], [100.0, 0.0], [101.0, 5.0], [102.0, 2.0]])
LABELS = np.array(["a", "a", "b", "b", "b"])


def test_mixtures_lie_between_two_records_of_their_class():
    mixed, labels = mixtures(VALUES, LABELS, each=200)
    assert labels.tolist() == ["a"] * 200 + ["b"] * 200
    assert mixed.shape == (400, 2)
    np.testing.assert_allclose(mixed[:200, 1], 10 + 10 * mixed[:200, 0])  # on the line from one to the other
    assert mixed[200:, 0].min() >= 100 - 1e-9
    assert mixed[200:, 0].max() <= 102 + 1e-9


def test_shares_are_beta():
    """Of two records 0 and 1: half are a record with itself; of the others the share has Beta's deviation."""
    mixed, _ = mixtures([[0.0], [1.0]], [0, 0], each=20_000, alpha=2.0)
    inside = mixed[(mixed > 0) & (mixed < 1)]
    assert len(inside) / 20_000 == pytest.approx(0.5, abs=0.02)
    assert inside.std() == pytest.approx(np.sqrt(1 / 20), abs=0.005)  # 1 / (4 (2 alpha + 1))


def test_the_seed_decides_and_nan_stays():
    one, two = mixtures(VALUES, LABELS, each=5, seed=3)[0], mixtures(VALUES, LABELS, each=5, seed=3)[0]
    np.testing.assert_array_equal(one, two)
    assert (one != mixtures(VALUES, LABELS, each=5, seed=4)[0]).any()
    assert np.isnan(mixtures([[np.nan, 1.0]], ["a"], each=1)[0]).tolist() == [[True, False]]


def test_jitter_is_noise_of_its_columns_deviation():
    values = np.array([[0.0, 5.0, np.nan], [4.0, 5.0, 2.0], [8.0, 5.0, 6.0]])
    still = mixtures(values, [0, 0, 0], each=20_000, seed=1)[0]
    moved = mixtures(values, [0, 0, 0], each=20_000, jitter=0.5, seed=1)[0] - still
    assert moved[:, 0].std() == pytest.approx(0.5 * values[:, 0].std(), rel=0.03)
    assert moved[:, 0].mean() == pytest.approx(0, abs=0.05)
    assert not moved[:, 1].any()  # a column that never varies stays
    assert (np.isnan(moved[:, 2]) == np.isnan(still[:, 2])).all()
    assert np.nanstd(moved[:, 2]) == pytest.approx(0.5 * 2.0, rel=0.03)


def test_what_is_no_table_of_records_is_refused():
    with pytest.raises(InvalidRecord, match=r"\(2,\) with labels"):
        mixtures([1.0, 2.0], ["a", "b"], each=1)
    with pytest.raises(InvalidRecord):
        mixtures(VALUES, LABELS[:2], each=1)
    for wrong in ({"each": 0}, {"each": 1, "alpha": 0.0}, {"each": 1, "jitter": -1.0}, {"each": 1, "jitter": np.nan}):
        with pytest.raises(InvalidConfig):
            mixtures(VALUES, LABELS, **wrong)
    with pytest.raises(InvalidConfig):
        mixtures(np.empty((0, 2)), [], each=1)

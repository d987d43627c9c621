"""What classifiers of the rows see: kernels of features, and means of a frozen body's states."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parent.parent / "runs"))

from lib import frozen, linear, seriation

from ult.codecs.levels import SeriesLevels

RNG = np.random.default_rng(0)


def test_without_a_bend_it_is_logistic_regression_on_the_features():
    known, asked = RNG.normal(size=(40, 90)), RNG.normal(size=(30, 90))
    labels = np.where(known[:, 0] > 0, "a", "b")
    (said,) = linear._each((known, labels, asked), [(0.0, 1.0)])
    plain = LogisticRegression(C=1.0, max_iter=1000).fit(known - known.mean(0), labels)
    assert said.tolist() == plain.predict(asked - known.mean(0)).tolist()


def test_folds_choose_the_bend_that_tells_a_ring_from_its_middle():
    points = RNG.normal(size=(200, 2))
    labels = np.where((points**2).sum(1) > 1.4, "ring", "middle")

    def make(train, held):
        return points[:100][train], labels[:100][train], points[:100][held] if len(held) else points[100:]

    right = [
        (linear.told(make, labels[:100], bends) == labels[100:]).mean() for bends in (linear.STRAIGHT, linear.BENDS)
    ]
    assert right[0] < 0.75
    assert right[1] > 0.9


def test_a_mean_of_states_weighs_each_id_and_no_padding():
    rows = torch.tensor([[9.0, 9.0], [9.0, 9.0], [1.0, 0.0], [0.0, 1.0]])

    class Body(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList()

        def forward(self, input_ids, **_):
            return SimpleNamespace(hidden_states=[rows[input_ids]])

    model = SimpleNamespace(model=Body(), config=SimpleNamespace(hidden_size=2))
    ids = [np.array([2, 2, 3, 3]), np.array([2, 3]), np.array([3])]
    weights = np.stack([np.ones(4, np.float32), frozen.rarity(ids, 4)])
    found = frozen.pooled(model, ids, weights, first=1, depths=[0], most=3)[:, :, 0]
    assert np.allclose(found[:, 0], [[2 / 3, 1 / 3], [0.5, 0.5], [0, 1]])
    assert np.allclose(weights[1], np.log([4, 4, 4 / 3, 1]))  # all texts have id 3, which then weighs nothing
    assert np.allclose(found[:2, 1], [[1, 0], [1, 0]])


def test_the_order_of_levels_is_read_from_tiled_ids_but_not_from_plain_ones():
    values = np.round(RNG.normal(size=(400, 3)), 6)
    agreed = {}
    for tilings in (1, 16):
        codec = SeriesLevels.calibrated(list(values), by_column=1, levels=17, apart=1, tilings=tilings)
        known, asked = (seriation.names(codec, part, 7) for part in (values[:300], values[300:]))
        found = seriation.read(known, asked)
        assert [part.shape for part in found] == [(300, 3), (100, 3)]
        agreed[tilings] = [abs(np.corrcoef(found[1][:, k], values[300:, k])[0, 1]) for k in range(3)]
    assert min(agreed[16]) > 0.9
    assert max(agreed[1]) < 0.8

"""The statistics of audits, against published numbers and by simulation."""

import math

import numpy as np
import pytest
from scipy import special, stats

from ult.audit.bounds import (
    MISS,
    _one_run,
    auc,
    auc_deviation,
    auc_interval,
    clopper_pearson,
    epsilon_independent,
    epsilon_one_run,
    one_run_p_value,
    roc,
    summarize,
    tpr_at,
)
from ult.errors import InvalidConfig


def quantiles(mean, n):
    """Normal scores without chance, as jax_privacy's tests use them."""
    return stats.norm.ppf(np.linspace(0, 1, n, endpoint=False) + 1 / (2 * n)) + mean


def responses(rng, n, epsilon):
    """Randomised response: bits of members and of others, each told truly with e^epsilon / (1 + e^epsilon)."""
    member, truly = rng.random(n) < 0.5, rng.random(n) < special.expit(epsilon)
    told = np.where(truly, member, ~member).astype(float)
    return told[member], told[~member]


def gaussian_epsilon(shift, delta):
    """The epsilon of the Gaussian mechanism (Balle and Wang 2018, theorem 8), by bisection."""
    low, high = 0.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        here = stats.norm.cdf(shift / 2 - middle / shift) - math.exp(middle) * stats.norm.cdf(
            -shift / 2 - middle / shift
        )
        low, high = (middle, high) if here > delta else (low, middle)
    return high


# Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 5.
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)],
)
def test_shares_as_published(k, n, low, high):
    assert clopper_pearson(k, n) == pytest.approx([low, high], abs=6e-5)
    assert clopper_pearson(n - k, n) == pytest.approx([1 - high, 1 - low], abs=6e-5)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
def test_shares_are_missed_rarely(share):
    intervals = [clopper_pearson(k, 80) for k in range(81)]
    held = sum(stats.binom.pmf(k, 80, share) for k, (low, high) in enumerate(intervals) if low <= share <= high)
    assert held >= 0.95


def test_area_as_published():
    """Hanley and McNeil, Radiology 143 (1982) 29-36: 109 images rated from 1 to 5, area 0.893, deviation 0.032."""
    normal = np.repeat(np.arange(1.0, 6), [33, 6, 6, 11, 2])
    abnormal = np.repeat(np.arange(1.0, 6), [3, 2, 2, 11, 33])
    area = auc(abnormal, normal)
    assert area == pytest.approx(0.893, abs=5e-4)
    assert auc_deviation(area, len(abnormal), len(normal)) == pytest.approx(0.032, abs=6e-4)
    low, high = auc_interval(area, len(abnormal), len(normal))
    assert low < area - 1.8 * 0.032 < area + 1.3 * 0.032 < high < 1


def test_area_by_counting_pairs():
    rng = np.random.default_rng(0)
    members, others = rng.integers(0, 9, 30) / 2.0, rng.integers(0, 7, 20) / 2.0
    pairs = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert auc(members, others) == pytest.approx(np.mean(pairs))
    false, true = roc(members, others)
    assert np.trapezoid(true, false) == pytest.approx(np.mean(pairs))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)


def test_area_of_chance_has_the_deviation_of_the_rank_test():
    assert auc_deviation(0.5, 12, 30) == pytest.approx(math.sqrt((12 + 30 + 1) / (12 * 12 * 30)))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_areas_are_missed_rarely(shift):
    rng = np.random.default_rng(1)
    true, held = stats.norm.cdf(shift / math.sqrt(2)), 0
    for _ in range(400):
        low, high = auc_interval(auc(rng.normal(shift, 1, 60), rng.normal(0, 1, 30)), 60, 30)
        held += low <= true <= high
    assert stats.binom.cdf(held, 400, 0.95) > 1e-3


def test_a_perfect_attack_on_few_is_no_certainty():
    low, high = auc_interval(1.0, 10, 10)
    assert 0.7 < low < 0.9
    assert high == 1
    assert auc_interval(0.0, 10, 10) == pytest.approx([1 - high, 1 - low], abs=1e-6)


def test_rate_at_a_false_positive_rate():
    members, others = np.arange(100) + 90.5, np.arange(1000.0) / 10
    found = tpr_at(members, others, 0.01)  # ten of the others may pass: 99.9 down to 99.0
    assert found["others_above"] == 0.01
    assert found["tpr"] == 0.91  # above 98.9
    assert found["interval"] == clopper_pearson(91, 100)
    few = tpr_at(members, others[:50], 0.001)
    assert (few["others_above"], few["tpr"]) == (0, 1)
    assert few["others_above_interval"][1] == pytest.approx(1 - 0.025 ** (1 / 50))
    assert tpr_at(np.ones(5), np.ones(5), 0.01)["tpr"] == 0  # ties are no finds


def naive_p_value(total, guesses, right, epsilon, delta):
    """The algorithm of Steinke et al. (2023), appendix D, line by line."""
    share = special.expit(epsilon)
    tail, best, summed = stats.binom.sf(right - 1, guesses, share), 0.0, 0.0
    for step in range(1, right + 1):
        summed += stats.binom.pmf(right - step, guesses, share)
        best = max(best, summed / step)
    return min(1.0, tail + best * delta * 2 * total)


@pytest.mark.parametrize("delta", [0, 1e-6, 1e-2])
def test_p_value_against_its_plain_twin(delta):
    for guesses, right in ((1, 1), (10, 0), (10, 9), (100, 60), (100, 100)):
        for epsilon in (0.0, 0.5, 2.0):
            expected = naive_p_value(200, guesses, right, epsilon, delta)
            assert one_run_p_value(200, guesses, right, epsilon, delta) == pytest.approx(expected, abs=1e-12)


def test_one_run_as_published():
    """jax_privacy's tests/auditing_test.py: 4.395568 for two normals 4 apart, tried at every corner of their curve."""
    members, others = quantiles(4, 10_000), quantiles(0, 10_000)
    thresholds = np.append(np.union1d(members, others), np.inf)
    counts = [np.searchsorted(np.sort(scores), thresholds).tolist() for scores in (members, others)]
    corners = []
    for point in zip(*counts, strict=True):
        while len(corners) > 1 and _turns(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    tries = [(20_000 - missed - spared, 10_000 - missed) for missed, spared in corners]
    best = 0.0
    for guesses, right in sorted(tries, key=lambda t: -t[1] / (t[0] + 20)):
        if guesses and right > guesses * special.expit(best):
            best = max(best, _one_run(20_000, guesses, right, 1e-6, MISS / len(tries)))
    assert best == pytest.approx(4.395568, rel=1e-5)


def _turns(a, b, c):
    return (b[1] - a[1]) * (c[0] - b[0]) <= (c[1] - b[1]) * (b[0] - a[0])


@pytest.mark.parametrize("bound", [epsilon_one_run, epsilon_independent])
@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_a_known_epsilon_is_exceeded_rarely(bound, epsilon):
    rng = np.random.default_rng(2)
    over = sum(bound(*responses(rng, 400, epsilon), delta=0) > epsilon for _ in range(100))
    assert stats.binom.sf(over - 1, 100, MISS) > 1e-3


@pytest.mark.parametrize("bound", [epsilon_one_run, epsilon_independent])
@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_a_known_epsilon_is_approached(bound, epsilon):
    found = bound(*responses(np.random.default_rng(3), 200_000, epsilon), delta=0)
    assert 0.93 * epsilon < found < epsilon


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_a_gaussian_mechanism_is_approached_and_not_exceeded(shift):
    """Two normals `shift` apart are all that a sensitivity of one under deviation 1 / shift leaks."""
    true = gaussian_epsilon(shift, 0.1)
    members, others = quantiles(shift, 200_000), quantiles(0, 200_000)
    assert 0.75 * true < epsilon_independent(members, others, delta=0.1) < true
    assert epsilon_one_run(members, others, delta=1e-6) < gaussian_epsilon(shift, 1e-6)
    assert gaussian_epsilon(1.0, 1e-5) == pytest.approx(4.3770, abs=1e-3)


def test_summary_of_chance_and_of_a_leak():
    rng = np.random.default_rng(4)
    chance = summarize(rng.normal(0, 1, 200), rng.normal(0, 1, 300))
    assert chance["auc_interval"][0] < 0.5 < chance["auc_interval"][1]
    assert (chance["epsilon_at_least"], chance["epsilon_at_least_if_independent"]) == (0, 0)
    leak = summarize(rng.normal(9, 1, 200), rng.normal(0, 1, 300))
    assert leak["auc_interval"][0] > 0.98
    assert [t["tpr"] for t in leak["tpr"]] == [1, 1]
    assert 3 < leak["epsilon_at_least"] < math.log(500)
    assert 2.5 < leak["epsilon_at_least_if_independent"] < math.log(500)


@pytest.mark.parametrize("scores", [[1.0], [1.0, math.nan], [[1.0, 2.0]], []])
def test_what_are_no_scores(scores):
    with pytest.raises(InvalidConfig, match="scores of members"):
        summarize(scores, [1.0, 2.0])

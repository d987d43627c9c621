"""The privacy accountant against published figures, closed forms and a simulated attack; sources of randomness."""

import math
import sys

import numpy as np
import pytest
from scipy.stats import kstest, norm

from ult.errors import InvalidConfig, MissingExtra
from ult.privacy import accountant
from ult.privacy.accountant import check, default_delta, noise_multiplier, spent
from ult.privacy.randomness import NOISE, SAMPLE, Secure, Seeded, source


def moments(noise, delta, *, rate, steps):
    """The moments accountant at whole orders (Abadi et al. 2016; arXiv:1908.10530, equation 6), independent of ours."""
    found = []
    for order in range(2, 64):
        terms = [
            math.lgamma(order + 1)
            - math.lgamma(k + 1)
            - math.lgamma(order - k + 1)
            + (order - k) * math.log1p(-rate)
            + k * math.log(rate)
            + (k * k - k) / (2 * noise**2)
            for k in range(order + 1)
        ]
        spent_at_order = steps * np.logaddexp.reduce(terms) / (order - 1)
        found.append(spent_at_order + math.log(1 / delta) / (order - 1))
    return min(found)


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "published", "off"),
    [
        (1.3, 256 / 60000, 20 * 60000 / 256, 1.34, 0.01),  # Bu et al., HDSR 2020 (2.3), figure 4: MNIST
        (0.7, 256 / 60000, 70 * 60000 / 256, 8.68, 0.3),  # the same, at a broken order: whole ones give 8.95
        (4.0, 0.01, 10000, 1.26, 0.005),  # Abadi et al., CCS 2016, section 3.2
    ],
)
def test_published_figures_of_the_moments_accountant_bound_ours_closely(noise, rate, steps, published, off):
    assert moments(noise, 1e-5, rate=rate, steps=steps) == pytest.approx(published, abs=off)
    assert 0.7 * published < spent(noise, 1e-5, rate=rate, steps=round(steps)) < published


def test_gaussian_mechanism_without_sampling_costs_what_the_closed_form_says():
    noise, delta = 1.2, 1e-5
    epsilon = spent(noise, delta, rate=1.0, steps=1)
    exact = norm.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * norm.cdf(-0.5 / noise - epsilon * noise)
    assert exact == pytest.approx(delta, rel=0.01)  # Balle and Wang, ICML 2018, theorem 8


def test_no_attack_on_a_simulated_training_gets_more_than_epsilon_and_the_best_one_gets_half():
    noise, rate, steps, delta, n = 0.7, 0.3, 8, 1e-3, 200_000
    rng = np.random.default_rng(0)
    out = noise * rng.standard_normal((n, steps))
    seen = noise * rng.standard_normal((n, steps)) + (rng.random((n, steps)) < rate)

    def score(sums):  # the likelihood ratio, which no other attack betters
        return np.log1p(rate * np.expm1((2 * sums - 1) / (2 * noise**2))).sum(1)

    thresholds = np.quantile(score(out), 1 - np.geomspace(1e-3, 0.5, 50))
    false, true = ((score(sums)[:, None] > thresholds).mean(0) for sums in (out, seen))
    best = np.log((true - delta) / false).max()
    epsilon = spent(noise, delta, rate=rate, steps=steps)
    assert epsilon / 2 < best < epsilon


def test_noise_is_the_least_that_keeps_epsilon():
    about = {"rate": 0.05, "steps": 40}
    noise = noise_multiplier(3.0, 1e-5, **about)
    assert spent(noise, 1e-5, **about) <= 3.0 < spent(noise * 0.997, 1e-5, **about)
    assert noise_multiplier(0.5, 1e-5, **about) > noise


def test_guarantees_that_say_nothing_are_refused():
    check(8.0, default_delta(1000), 1000)
    for epsilon, delta in ((0.0, 1e-5), (float("nan"), 1e-5), (101.0, 1e-5), (8.0, 0.0), (8.0, 1e-3)):
        with pytest.raises(InvalidConfig):
            check(epsilon, delta, 1000)
    assert default_delta(1000) == pytest.approx(1000**-1.1)
    assert default_delta(1) < 1


def test_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(MissingExtra, match=r"\[privacy\]"):
        accountant.name()


def test_secure_numbers_have_the_distributions_that_they_should():
    secure = source(secure=True, seed=0).at(NOISE, 3)
    normal, uniform = secure.standard_normal((40, 500)), secure.random(20_000)
    assert normal.shape == (40, 500)
    assert kstest(normal.ravel(), "norm").pvalue > 1e-6
    assert kstest(uniform, "uniform").pvalue > 1e-6
    assert 0 <= uniform.min() <= uniform.max() < 1
    neighbours = np.corrcoef(normal[:, :-1].ravel(), normal[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 0.05
    assert not (Secure().standard_normal((9,)) == Secure().standard_normal((9,))).any()
    assert secure.standard_normal((0,)).shape == (0,)


def test_seeded_numbers_depend_on_seed_purpose_and_step_alone():
    drawn = {
        (seed, purpose, step): tuple(Seeded(seed).at(purpose, step).random(3))
        for seed in (0, 1)
        for purpose in (SAMPLE, NOISE)
        for step in (0, 1)
    }
    assert len(set(drawn.values())) == 8
    assert drawn[1, NOISE, 1] == tuple(source(secure=False, seed=1).at(NOISE, 1).random(3))

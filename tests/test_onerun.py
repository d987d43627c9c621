"""Lower bounds on epsilon from one run, against published figures and simulated mechanisms of known epsilon."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import special, stats

from test_bounds import gaussian_epsilon as gaussian_by_bisection
from test_bounds import quantiles, responses
from ult.audit.bounds import MISS, promised_delta, summarize
from ult.audit.onerun import epsilon_at_least, gaussian_epsilon, proofs, refutes, shift_at_least, tries
from ult.audit.onerun import epsilon_curve as curve_of
from ult.audit.release.proven import proven


def corners(members, others):
    """Every way to guess "member" from some score on that no mixture of others betters; the chance is shared alike."""
    thresholds = np.append(np.union1d(members, others), np.inf)
    counts = [np.searchsorted(np.sort(scores), thresholds).tolist() for scores in (members, others)]
    found = []
    for c in zip(*counts, strict=True):
        while len(found) > 1:
            a, b = found[-2:]
            if (b[1] - a[1]) * (c[0] - b[0]) > (c[1] - b[1]) * (b[0] - a[0]):
                break
            found.pop()
        found.append(c)
    total = len(members) + len(others)
    return [(total - missed - spared, len(members) - missed, 1 / len(found)) for missed, spared in found]


@pytest.mark.parametrize(("shift", "published"), [(1, 2.164749), (2, 4.7218075), (4, 9.133752)])
def test_gaussian_mechanisms_as_published(shift, published):
    """jax_privacy's tests/auditing_test.py, by f-DP: 10,000 scores on each side, without chance, at every corner."""
    many = corners(quantiles(shift, 10_000), quantiles(0, 10_000))
    assert gaussian_epsilon(shift_at_least(20_000, many, MISS), 1e-6) == pytest.approx(published, rel=1e-5)


@pytest.mark.parametrize(("shift", "before", "least"), [(1, 1.55, 2.5), (2, 2.92, 5.6), (4, 4.33, 10.5)])
def test_both_ends_and_the_curve_prove_more_than_before(shift, before, least):
    """Before, the same scores proved this at delta 1e-5, from the highest alone and by the theorem of 2023."""
    found = proofs(quantiles(shift, 10_000), quantiles(0, 10_000), delta=1e-5, miss=MISS)
    assert found["epsilon_at_least"] > 1.4 * before
    assert least < found["epsilon_at_least_if_gaussian"] < gaussian_by_bisection(shift, 1e-5)


@pytest.mark.parametrize(("shift", "delta"), [(0.5, 1e-5), (1.0, 1e-5), (2.0, 1e-3)])
def test_the_epsilon_of_a_gaussian(shift, delta):
    assert gaussian_epsilon(shift, delta) == pytest.approx(gaussian_by_bisection(shift, delta), abs=1e-4)
    assert gaussian_epsilon(0.0, delta) == 0


def coins(rng, n, score):
    """Scores of members and of others, of whom a coin decided."""
    member = rng.random(n) < 0.5
    scores = score(rng, member)
    return scores[member], scores[~member]


def answers(epsilon):
    return lambda rng, member: np.where(rng.random(len(member)) < special.expit(epsilon), member, ~member).astype(float)


def named(delta):
    """Each record is named with probability `delta`, by itself."""
    return lambda rng, member: np.where(
        rng.random(len(member)) < delta, np.where(member, 2.0, -2.0), rng.random(len(member))
    )


def published(delta):
    """All are named at once with probability `delta`: no bound may rest on records that are independent."""
    return lambda rng, member: np.where(member, 2.0, -2.0) if rng.random() < delta else rng.random(len(member))


def normal(shift):
    return lambda rng, member: rng.normal(0, 1, len(member)) + shift * member


@pytest.mark.parametrize(
    ("score", "epsilon", "delta"),
    [
        (answers(1.0), 1.0, 0.0),
        (answers(3.0), 3.0, 0.0),
        (named(0.02), 0.0, 0.02),
        (published(0.04), 0.0, 0.04),
        (normal(1.0), gaussian_by_bisection(1.0, 0.05), 0.05),
        (normal(2.0), gaussian_by_bisection(2.0, 0.01), 0.01),
    ],
    ids=["responses 1", "responses 3", "named", "published", "normal 1", "normal 2"],
)
def test_a_known_epsilon_is_exceeded_rarely(score, epsilon, delta):
    rng, over = np.random.default_rng(5), 0
    for _ in range(100):
        scores = coins(rng, 200, score)
        over += epsilon_at_least(200, tries(*scores), delta, MISS) > epsilon + 1e-5
    assert stats.binom.sf(over - 1, 100, MISS) > 1e-3


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
def test_a_known_shift_is_exceeded_rarely(shift):
    rng = np.random.default_rng(6)
    over = sum(shift_at_least(200, tries(*coins(rng, 200, normal(shift))), MISS) > shift for _ in range(100))
    assert stats.binom.sf(over - 1, 100, MISS) > 1e-3


def test_a_known_epsilon_is_approached():
    scores = responses(np.random.default_rng(3), 200_000, 2.0)
    assert 1.95 < epsilon_at_least(200_000, tries(*scores), 0.0, MISS) < 2.0


def test_guesses_by_hand():
    """Ten records, of which the highest eight hold four of five members, and the lowest four three of five others."""
    members, others = np.array([9.0, 8.0, 7.0, 3.0, 0.0]), np.array([6.0, 5.0, 4.0, 2.0, 1.0])
    found = tries(members, others)
    assert [one[:2] for one in found] == [(8, 5), (10, 6), (8, 4), (10, 5)]  # both ends of 4 and of 5; the highest
    assert sum(share for *_, share in found) == pytest.approx(1.0)
    assert tries(np.ones(3), np.ones(2)) == [(5, 3, 1.0)]  # of equal scores nobody can tell the highest


def test_all_right_by_a_coin_is_as_probable_as_it_is():
    """Of n guesses all are right with at most (e^epsilon / (1 + e^epsilon))^n."""
    for n in (5, 20):
        least = special.expit(1.0) ** n
        assert refutes(n, n, n, curve_of(1.0, 0.0), 1.05 * least)
        assert not refutes(n, n, n, curve_of(1.0, 0.0), 0.95 * least)


def test_bounds_are_kept_for_the_delta_of_any_promise():
    found = summarize(quantiles(3, 500), quantiles(0, 500), delta=3e-4)
    kept = found["epsilon_at_least_by_delta"]
    assert [at for at, _ in kept] == sorted({at for at, _ in kept})
    assert [3e-4, found["epsilon_at_least"]] in kept
    assert all(a >= b for (_, a), (_, b) in pairwise(kept))
    assert proven(found, 3e-4) == found["epsilon_at_least"]
    assert proven(found, 5e-6) == dict(map(tuple, kept))[1e-5] > found["epsilon_at_least"]
    assert proven(found, 0.5) == 0
    older = {"delta": 1e-5, "epsilon_at_least": 2.0}
    assert (proven(older, 1e-6), proven(older, 1e-4)) == (2.0, 0.0)  # 2 at 1e-5 proves nothing of 1e-4
    assert math.isfinite(found["epsilon_at_least_if_gaussian"])


def test_the_delta_of_a_promise_is_that_of_its_bounds():
    assert promised_delta({"epsilon": 2.0, "delta": 3e-4}) == 3e-4
    assert promised_delta(None) == 1e-5

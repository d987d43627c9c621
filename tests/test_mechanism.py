"""The audit of the mechanisms refutes planted faults, and not the code as it is; what it says of its power holds."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ult.__main__ import main
from ult.audit.mechanism import claims, refits
from ult.audit.mechanism.audit import audit_mechanism
from ult.errors import InvalidConfig
from ult.owner import table as tables
from ult.owner.bpe import private_counts as real
from ult.owner.bpe.hashtable import EMPTY
from ult.owner.bpe.patch_table import Holders
from ult.owner.pipeline import pieces
from ult.trainer.dp import clipping, dp_trainer

pytestmark = pytest.mark.slow

FEW, MANY = {"trials": 250, "delta": 0.05}, {"trials": 700, "delta": 0.05, "miss": 0.02}


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Draw all noise and samples from one seed, so that nothing is refuted by chance on some days."""
    rng = np.random.default_rng(7)
    monkeypatch.setattr(real, "Secure", lambda: type("Drawn", (), {"at": staticmethod(lambda purpose, step: rng)}))


def verdicts(setting, **options):
    found = audit_mechanism(("table",), settings=[setting], again=False, **options)
    return [claim["refuted"] for claim in found["mechanisms"][0]["claims"]]


def rounded_first(counts, kept, *, draw=None):
    """`release` as it was: the count is rounded, then compared with the threshold."""
    symbols, ends, times, _ = counts.patches()
    secure = real.Secure()  # type: ignore[attr-defined]  # that of the fixture
    noisy = np.rint(times + kept.noise * secure.at(0, 0).standard_normal((len(times),)))
    order = real._canonical(symbols, ends, np.flatnonzero(noisy > kept.threshold))
    none = np.full(len(order), EMPTY, np.int32)
    holders = Holders(np.zeros(len(order), np.int32), none, np.empty(0, np.uint64), np.empty(0, np.int32))
    return *real._chosen(symbols, ends, order), noisy[order].astype(np.int64), holders


def released_with(**factors):
    """`release` of a promise whose noise or threshold are others than was said."""

    def release(counts, kept, *, draw=None):
        return real.release(counts, replace(kept, **{name: how(kept) for name, how in factors.items()}), draw=draw)

    return release


@pytest.mark.parametrize("setting", [(1.0, 4), (8.0, 1)])
def test_the_code_is_not_refuted(setting):
    assert verdicts(setting, **FEW) == [False, False]


def test_the_old_rounding_is_refuted(monkeypatch):
    monkeypatch.setattr(tables, "release", rounded_first)
    assert verdicts((8.0, 1), **FEW)[0]


@pytest.mark.parametrize(
    "how",
    [
        lambda kept: kept.threshold - 0.6 * kept.noise,
        lambda kept: 1 + kept.noise * -stats.norm.ppf(0.05 / kept.patches),  # all of delta, and once more
    ],
    ids=["lower", "twice the delta"],
)
def test_a_lower_threshold_is_refuted(monkeypatch, how):
    monkeypatch.setattr(tables, "release", released_with(threshold=how))
    assert verdicts((1.0, 4), **MANY)[0]


@pytest.mark.parametrize(
    "how", [lambda kept: kept.noise / 2, lambda kept: kept.noise / math.sqrt(kept.patches)], ids=["half", "sensitivity"]
)
def test_too_little_noise_is_refuted(monkeypatch, how):
    """The noise is of half the deviation, or that of a record with one patch: sqrt(patches) was forgotten."""
    monkeypatch.setattr(tables, "release", released_with(noise=how))
    assert verdicts((1.0, 4), **MANY)[1]


def test_noise_of_twice_the_epsilon_is_refuted(monkeypatch):
    monkeypatch.setattr(
        tables, "release", released_with(noise=lambda kept: real.promise(2.0, 0.05, patches=4, records=19).noise)
    )
    assert verdicts((1.0, 4), trials=1600, delta=0.05, miss=0.05)[1]


@pytest.mark.parametrize("most", ["all", "often"])
def test_records_that_count_too_much_are_refuted(monkeypatch, most):
    """A record counts in all of its patches, or as often as it says them."""
    bounded = (lambda patches, _: real.bounded(patches, 2**20)) if most == "all" else (lambda patches, _: patches)
    monkeypatch.setattr(pieces, "bounded", bounded)
    assert any(verdicts((1.0, 4), **MANY))


def test_a_wrong_sensitivity_of_the_promise_itself_is_refuted(monkeypatch):
    """What audits and fits take the noise from is one function."""

    def promise(epsilon, delta, *, patches, records):
        kept = real.promise(epsilon, delta, patches=patches, records=records)
        return replace(kept, noise=kept.noise / 2, threshold=1 + (kept.threshold - 1) / 2)

    monkeypatch.setattr(refits, "promise", promise)
    assert any(verdicts((1.0, 4), **MANY))


class Drawn:
    """Samples and noise of a seed, the noise of so many times the deviation that was asked for."""

    def __init__(self, times):
        self.rng, self.times = np.random.default_rng(3), times

    def at(self, purpose, step):
        return self

    def random(self, size):
        return self.rng.random(size)

    def standard_normal(self, size):
        return self.rng.standard_normal(size) * self.times


def longer(*arguments, clip, **options):
    """Gradients clipped to four times the length."""
    return clipping.clipped_sum(*arguments, clip=4 * clip, **options)


@pytest.mark.parametrize(
    ("times", "clipped", "refuted"),
    [(1.0, clipping.clipped_sum, False), (0.25, clipping.clipped_sum, True), (1.0, longer, True)],
    ids=["as it is", "little noise", "long gradients"],
)
def test_steps_of_a_training(monkeypatch, times, clipped, refuted):
    monkeypatch.setattr(dp_trainer, "source", lambda **_: Drawn(times))
    monkeypatch.setattr(dp_trainer, "clipped_sum", clipped)
    (found,) = audit_mechanism(("training",), settings=[(1.0, 4)], delta=0.1, trials=360, miss=0.02, again=False)[
        "mechanisms"
    ]
    assert [claim["refuted"] for claim in found["claims"]] == [refuted]


def test_what_is_refuted_once_is_tried_again(monkeypatch):
    answers = iter([True, False, True, True])

    def refit(*_, **__):
        return {"mechanism": "table", "claims": [{"refuted": next(answers)}]}

    monkeypatch.setattr(refits, "refit", refit)
    found = [audit_mechanism(("table",), settings=[(1.0, 4)]) for _ in range(2)]
    assert [one["refuted"] for one in found] == [False, True]
    assert [one["mechanisms"][0]["claims"][0]["again"]["refuted"] for one in found] == [False, True]


def test_power_is_what_it_says():
    """A fault of the size that would be found is found in most audits, one of half that excess in fewer."""
    rng = np.random.default_rng(0)
    told = claims.rare("x", 0, 2000, 0.01, whole=0.02, miss=1e-3)["would_find"]["delta"]
    found = [
        claims.rare("x", rng.binomial(2000, told), 2000, 0.01, whole=0.02, miss=1e-3)["refuted"] for _ in range(200)
    ]
    assert np.mean(found) > 0.9
    epsilon, delta, n = 1.0, 0.025, 2000

    def scores(shift, claimed):
        with_, without = rng.normal(1, 1 / shift, n), rng.normal(0, 1 / shift, n)
        return [(x - 0.5) * claimed**2 for x in (with_, without)]

    def judged(shift):
        with_, without = scores(shift, claimed)
        return claims.alike("x", with_, without, epsilon, delta, miss=1e-3)

    claimed = claims.shift_of(epsilon, delta)
    first = judged(claimed)
    assert not first["refuted"]
    would = claims.shift_of(first["would_find"]["epsilon"], delta)
    found = [judged(would)["refuted"] for _ in range(20)]
    assert np.mean(found) > 0.8


def test_what_holds_is_rarely_refuted():
    rng = np.random.default_rng(1)
    refuted = [claims.rare("x", k, 500, 0.02, whole=0.04, miss=0.05)["refuted"] for k in rng.binomial(500, 0.02, 300)]
    assert np.mean(refuted) < 0.08


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"of": ()}, "expected some of table, training"),
        ({"of": ("loss",)}, "expected some of"),
        ({"trials": 1}, "at least 2"),
        ({"settings": [(1.0, 200)]}, "160 at most"),
        ({"settings": [(1.0, 4)], "records": 5}, "pass the threshold"),
        ({"settings": [(1.0, 4)], "delta": 0.2}, "below 1 /"),
    ],
)
def test_what_cannot_be_audited_is_refused(options, text):
    with pytest.raises(InvalidConfig, match=text):
        audit_mechanism(**({"of": ("table",), "trials": 2} | options))


def ult(capsys, *arguments):
    sys.argv = ["ult", *map(str, arguments)]
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    return end.value.code or 0, " ".join(told.out.split()), told.err


def test_the_command_says_the_verdict_and_exits_by_it(tmp_path, monkeypatch, capsys):
    asked = ("audit", "mechanism", "--of", "table", "--epsilon", "8", "--patches-per-record", "1", "--trials", "150")
    status, out, _ = ult(capsys, *asked, "--json", tmp_path / "a.json")
    assert (status, "verdict not refuted" in out) == (0, True)
    assert "would have found delta" in out
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["format"], told["refuted"]) == ("ult-audit-mechanism/1", False)
    assert ult(capsys, *asked, "--json", tmp_path / "a.json")[0] == 1  # it is there
    monkeypatch.setattr(tables, "release", rounded_first)
    status, out, _ = ult(capsys, *asked, "--json", tmp_path / "b.json")
    assert (status, "verdict REFUTED" in out, "report this as a bug" in out) == (1, True, True)
    assert json.loads((tmp_path / "b.json").read_text())["refuted"]

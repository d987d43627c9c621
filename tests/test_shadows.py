"""Reference and shadow runs: scores by hand, a planted leak that is found, and nothing where nothing leaks."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from leak import random_records
from toy import OTHER, write
from ult.audit.bounds import auc
from ult.audit.model.audit import audit_model
from ult.audit.model.membership import rmia
from ult.audit.model.references import OFFLINE, Reference, average_outside, lira, read_references, tuned
from ult.audit.model.shadows import check_repeatable, cost, read_shadows
from ult.audit.model.sides import read_sides
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

RECIPE = {"steps": 60, "batch_size": 4, "context": 32, "learning_rate": 3e-3}


def test_the_mean_is_of_references_that_never_saw_a_record():
    logs = [np.log([0.2, 0.4, 0.6]), np.log([0.4, 0.8, 0.2])]
    many = [Reference(logs[0], np.array([True, False, True])), Reference(logs[1], np.array([False, False, True]))]
    assert np.exp(average_outside(many)) == pytest.approx([0.4, 0.6, 0.4])
    unknown = [Reference(logs[0], None), Reference(logs[1], None)]
    assert np.exp(average_outside(unknown)) == pytest.approx([0.3, 0.6, 0.4])


def test_a_is_what_tells_most_of_references_about_each_other():
    """Whoever saw a record says more of it by a share of what is left to say, so that a small `a` tells too little."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(-3, -0.5, 400)
    many: list[Any] = []
    for _ in range(4):
        seen = rng.random(400) < 0.5
        many.append(Reference(hard + 0.3 * seen + rng.normal(0, 0.1, 400), seen))
    a, how = tuned(many, rmia)
    outside = [average_outside([*many[:k], *many[k + 1 :]]) for k in range(4)]
    areas = {}
    for tried in (0.0, a):
        each = [rmia(one.averages, beside, tried) for one, beside in zip(many, outside, strict=True)]
        areas[tried] = np.mean([auc(s[one.seen], s[~one.seen]) for s, one in zip(each, many, strict=True)])
    assert a > 0.7
    assert areas[a] > areas[0.0] + 0.05
    assert how == "attacks of 4 references by the others"
    for few in (many[:1], [Reference(one.averages, None) for one in many]):
        assert tuned(few, rmia)[0] == OFFLINE


def test_lira_by_hand():
    seen = np.array([[True, True], [True, False], [False, True], [False, False]])
    logs = np.array([[-1.0, -2.0], [-1.4, -3.0], [-2.0, -2.2], [-2.6, -3.2]])
    many = [Reference(one, mask) for one, mask in zip(logs, seen, strict=True)]
    inside = [np.mean([-1.0, -1.4]), np.mean([-2.0, -2.2])]
    outside = [np.mean([-2.0, -2.6]), np.mean([-3.0, -3.2])]
    spread = [np.mean([np.var([-1.0, -1.4], ddof=1), np.var([-2.0, -2.2], ddof=1)]),
              np.mean([np.var([-2.0, -2.6], ddof=1), np.var([-3.0, -3.2], ddof=1)])]  # fmt: skip
    of = np.array([-1.2, -3.0])
    expected = [
        stats.norm(inside[k], spread[0] ** 0.5).logpdf(of[k]) - stats.norm(outside[k], spread[1] ** 0.5).logpdf(of[k])
        for k in (0, 1)
    ]
    assert lira(of, many) == pytest.approx(expected)
    assert lira(of, many)[0] > 0 > lira(of, many)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Members, three copies of each, nonmembers, and a run on the members."""
    folder = tmp_path_factory.mktemp("shadows")
    write(folder / "in", random_records(14, 1) * 3)
    write(folder / "out", random_records(14, 2) * 3)
    train(folder / "in", folder / "run", Recipe(**RECIPE))
    return folder


def test_shadows_find_a_leak_and_are_gone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told = []
    found, curves = audit_model(folder / "run", folder / "in", folder / "out", shadows=4, samples=0,
                                tell=lambda stage, n: told.append((stage, n)))  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert curves.keys() == {"loss", "min-k", "min-k++", "lira", "reference", "rmia"}
    assert found["membership"]["lira"]["shadows"] == found["shadows"] == 4
    assert found["membership"]["lira"]["auc_interval"][0] > 0.5
    assert found["membership"]["rmia"]["a_from"] == "attacks of 4 references by the others"
    assert told.count(("shadow runs", 1)) == 4


def test_each_record_is_in_one_of_two_shadows_with_its_copies(folder, monkeypatch):
    sides = read_sides(Run.open(folder / "run"), folder / "in", folder / "out")
    trained = []

    def fake(shards, out, recipe):
        from ult.public.shards import Shards

        trained.append((sorted(ids.tobytes() for ids in Shards(shards).ids()), recipe))
        raise InterruptedError if len(trained) > 4 else RuntimeError

    monkeypatch.setattr("ult.audit.model.shadows.train", fake)
    with pytest.raises(RuntimeError):
        read_shadows(Run.open(folder / "run"), sides, 4, seed=0, batch_size=8, advance=print)
    records, recipe = trained[0]
    assert len(records) == 3 * len(set(records)) == 42
    assert (recipe.model, recipe.batch_size, recipe.context) == ("tiny", 4, 32)
    assert recipe.steps == pytest.approx(60, abs=8)
    assert recipe.learning_rate == 3e-3


def test_what_cannot_be_repeated(folder, tmp_path):
    sides = read_sides(Run.open(folder / "run"), folder / "in", folder / "out")
    for count in (3, 5, 2):
        with pytest.raises(InvalidConfig, match="even number from 4"):
            check_repeatable(Run.open(folder / "run"), sides, count)
    train(folder / "in", tmp_path / "on", Recipe(from_run=folder / "run", **{**RECIPE, "steps": 1}))
    with pytest.raises(InvalidConfig, match="it went on from run"):
        check_repeatable(Run.open(tmp_path / "on"), sides, 4)
    more = write(tmp_path / "more", random_records(4, 3))
    train([folder / "in", more], tmp_path / "both", Recipe(mixture=[1, 2], **{**RECIPE, "steps": 1}))
    with pytest.raises(InvalidConfig, match="not among the members; it was trained with mixture"):
        check_repeatable(Run.open(tmp_path / "both"), sides, 4)
    assert cost(Run.open(folder / "run"), 8).startswith("8 shadow runs of some 60 steps are trained; the run itself")


def test_what_a_reference_saw_is_told_by_digests(folder, tmp_path):
    sides = read_sides(Run.open(folder / "run"), folder / "in", folder / "out")
    train(folder / "out", tmp_path / "there", Recipe(**{**RECIPE, "steps": 1}))
    (found,) = read_references([Run.open(tmp_path / "there")], sides, batch_size=8, advance=print)
    assert found.seen.tolist() == [False] * 14 + [True] * 14
    train(
        write(tmp_path / "z", random_records(4, 3), table=OTHER), tmp_path / "strange", Recipe(**{**RECIPE, "steps": 1})
    )
    with pytest.raises(Exception, match="was encoded with table"):
        read_references([Run.open(tmp_path / "strange")], sides, batch_size=8, advance=print)

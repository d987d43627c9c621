"""`ult audit update`: planted flips are found, counted for whom they hit, and runs that cannot be compared refused."""

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import ult
from toy import OTHER, TABLE, counting, two_classes, write
from ult.audit.model.update import Told, audit_update, figures, notes
from ult.cli import app
from ult.errors import InvalidConfig, WrongTable
from ult.public.run import Run
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

SHORT = {"steps": 4, "batch_size": 4, "context": 16}


def told(old, new, labels=None, record=None):
    n = len(old)
    return Told(
        np.array(old, bool),
        np.array(new, bool),
        np.arange(n) if record is None else np.array(record),
        None if labels is None else np.array(labels),
        ["a", "b"],
    )


def test_planted_flips_are_counted_and_it_is_said_whom_they_hit():
    old = [1] * 80 + [0] * 20
    new = [1] * 60 + [0] * 20 + [1] * 20  # as accurate, and 20 that were right are wrong
    found = figures(told(old, new, labels=[0] * 60 + [1] * 40), seed=0)
    assert found["old"]["share"] == found["new"]["share"] == 0.8
    assert found["negative"]["count"] == found["positive"]["count"] == 20
    low, high = found["negative"]["interval"]
    assert low < 0.2 < high < 0.3
    assert found["gain"]["value"] == 0.0
    assert found["gain"]["interval"][0] < 0 < found["gain"]["interval"][1]
    assert found["lost"]["share"] == 0.25
    hit, spared = found["labels"]
    assert (hit["label"], hit["negative"], hit["right"], hit["positive"]) == ("b", 20, 20, 20)
    assert (spared["label"], spared["negative"], spared["right"]) == ("a", 0, 60)
    assert found["verdict"] == (
        "the new run is as accurate, as far as shown; of 80 records that the old run has right it has 20 "
        "wrong (25.0%); label b loses most, 20 of 20"
    )
    better = figures(told([0] * 50 + [1] * 50, [1] * 100), seed=0)
    assert "more accurate" in better["verdict"]
    assert better["negative"]["count"] == 0
    assert "less accurate" in figures(told([1] * 100, [0] * 50 + [1] * 50), seed=0)["verdict"]


def test_the_interval_of_ids_is_over_records():
    alike = figures(told([1] * 100, [0] * 50 + [1] * 50, record=np.arange(100) // 50), seed=0)  # two records of 50 ids
    apart = figures(told([1] * 100, [0] * 50 + [1] * 50, record=np.arange(100) % 50), seed=0)
    width = [one["negative"]["interval"][1] - one["negative"]["interval"][0] for one in (alike, apart)]
    assert width[0] > 0.9
    assert width[1] < 0.3
    assert alike["labels"] == []
    assert alike["lost"]["interval"] is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("flips")
    two_classes(root / "shards")
    two_classes(root / "moved", table=OTHER)
    write(root / "wrong", counting(64), kept={"label": ["high", "low"] * 32})
    write(root / "three", counting(63), kept={"label": ["high", "low", "new"] * 21})
    for name, shards, steps in (
        ("old", "shards", 40),
        ("new", "wrong", 40),
        ("other", "moved", 40),
        ("third", "three", 4),
    ):
        train(root / shards, root / name, Recipe(task="classify", **{**SHORT, "steps": steps}))
    train(root / "shards", root / "lm", Recipe(**SHORT))
    train(root / "shards", root / "lm-later", Recipe(**{**SHORT, "steps": 40}))
    return root


def test_runs_are_compared(folder):
    same = audit_update(folder / "old", folder / "old", [folder / "shards"])
    assert same["negative"]["count"] == same["positive"]["count"] == 0
    broken = audit_update(folder / "old", folder / "new", [folder / "shards"])
    assert broken["old"]["share"] == 1.0
    assert broken["learned"] == ["old"]
    (note,) = notes(broken)
    assert note.startswith("the old run learned these shards")
    lost = broken["negative"]["count"]
    assert lost == broken["old"]["count"] - broken["new"]["count"] > 10
    assert sum(one["negative"] for one in broken["labels"]) == lost
    back = audit_update(folder / "new", folder / "old", [folder / "shards"])
    assert back["positive"]["count"] == lost
    other = audit_update(folder / "old", folder / "third", [folder / "three"])  # a label that the old run has not
    new = next(one for one in other["labels"] if one["label"] == "new")
    assert (new["right"], new["negative"]) == (0, 0)
    ids = audit_update(folder / "lm", folder / "lm-later", [folder / "shards"])
    assert ids["new"]["share"] > ids["old"]["share"]
    evaluated = ult.evaluate(folder / "old", folder / "wrong")
    assert audit_update(folder / "old", folder / "new", [folder / "wrong"])["old"]["share"] == evaluated.accuracy.value


def test_an_earlier_run_is_asked_in_its_own_ids(folder, tmp_path):
    found = audit_update(folder / "other", folder / "old", [folder / "shards"], old_shards=[folder / "moved"])
    assert found["old"]["share"] == 1.0
    assert found["old_shards"][0]["name"] == "moved"
    with pytest.raises(InvalidConfig, match="in their order: their labels differ"):
        audit_update(folder / "other", folder / "new", [folder / "wrong"], old_shards=[folder / "moved"])
    labels = ["low", "high"] * 32
    strange = write(tmp_path / "strange", counting(64), kept={"label": labels}, table=OTHER, nbytes=7)
    with pytest.raises(InvalidConfig, match="in their order: their bytes of data differ"):
        audit_update(folder / "other", folder / "old", [folder / "shards"], old_shards=[strange])
    turned = [write(tmp_path / name, counting(64), kept={"label": labels, "row": list(range(64))[::step]}, table=table)
              for name, step, table in (("one", 1, TABLE), ("back", -1, OTHER))]  # fmt: skip
    with pytest.raises(InvalidConfig, match="in their order: their values of row differ"):
        audit_update(folder / "other", folder / "old", turned[:1], old_shards=turned[1:])
    with pytest.raises(WrongTable, match=r"was encoded with table.*ult align OLD"):
        audit_update(folder / "other", folder / "old", [folder / "shards"])
    with pytest.raises(WrongTable, match="shards of the new run's table"):
        audit_update(folder / "other", folder / "old", [folder / "moved"])


def test_what_cannot_be_compared(folder, tmp_path):
    shutil.copytree(folder / "new", tmp_path / "later")
    told = json.loads((tmp_path / "later" / "metrics.json").read_text())
    told["from_digest"] = Run.open(folder / "old").digest()
    (tmp_path / "later" / "metrics.json").write_text(json.dumps(told))
    with pytest.raises(InvalidConfig, match=r"went on from .*old, and was named as the earlier one"):
        audit_update(tmp_path / "later", folder / "old", [folder / "shards"])
    with pytest.raises(InvalidConfig, match="has another task"):
        audit_update(folder / "old", folder / "lm", [folder / "shards"])
    with pytest.raises(InvalidConfig, match=r"ids of two tables.*ult align"):
        audit_update(folder / "lm", folder / "lm", [folder / "shards"], old_shards=[folder / "shards"])


def test_by_command(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, f"audit update old new --on shards --json {tmp_path / 'flips.json'}".split())
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "flips.json").read_text())
    assert told["format"] == "ult-audit-update/1"
    assert "negative flips" in done.output
    assert told["verdict"] in " ".join(done.output.split())
    audit = ult.audit.audit_update("old", "new", "shards")
    assert audit.document["negative"] == told["negative"]
    assert "verdict" in repr(audit)

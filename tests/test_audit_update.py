"""`ult audit update`: planted flips and moved ids turn it red, and runs that cannot be compared are refused."""

import json
import shutil
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import ult
from toy import OTHER, TABLE, counting, two_classes, write
from ult.audit.model.update import Told, audit_update, figures
from ult.audit.model.update_verdict import judge
from ult.audit.release.finding import verdict
from ult.cli import app
from ult.errors import InvalidConfig, WrongTable
from ult.owner.handover.align import align
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


def whole(found):
    return {"kept_ids": None, "learned": [], **found}


def levels(found):
    """The level of each topic."""
    return {one.topic: one.level for one in judge(whole(found))}


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
    assert levels(found) == {"accuracy": "amber", "flips": "amber", "labels": "green"}  # b loses as many as it wins
    hit = figures(told(old, new, labels=[0] * 60 + [1] * 20 + [0] * 20), seed=0)
    assert levels(hit) == {"accuracy": "amber", "flips": "amber", "labels": "red"}
    assert "label b loses 20 of 20, and wins 0" in str(judge(whole(hit)))
    better = figures(told([0] * 50 + [1] * 50, [1] * 100), seed=0)
    assert levels(better) == {"accuracy": "green", "flips": "amber"}
    assert better["negative"]["count"] == 0
    worse = figures(told([1] * 100, [0] * 50 + [1] * 50), seed=0)
    assert levels(worse) == {"accuracy": "red", "flips": "red"}


def test_a_run_that_gives_one_answer_to_all_has_nothing_to_lose():
    """By its flips alone such a run may be replaced by any other that is no better."""
    one = figures(told([1] * 900 + [0] * 900, [1] * 900 + [0] * 900, labels=[0] * 900 + [1] * 900), seed=0)
    assert levels(one) == {"accuracy": "green", "flips": "green", "told apart": "amber", "labels": "green"}
    both = figures(told([1] * 900 + [0] * 900, [1] * 900 + [0] * 900, labels=[0, 1] * 900), seed=0)
    assert levels(both) == {"accuracy": "green", "flips": "green", "labels": "green"}


def test_the_interval_of_ids_is_over_records():
    alike = figures(told([1] * 100, [0] * 50 + [1] * 50, record=np.arange(100) // 50), seed=0)  # two records of 50 ids
    apart = figures(told([1] * 100, [0] * 50 + [1] * 50, record=np.arange(100) % 50), seed=0)
    width = [one["negative"]["interval"][1] - one["negative"]["interval"][0] for one in (alike, apart)]
    assert width[0] > 0.9
    assert width[1] < 0.3
    assert alike["labels"] == []
    assert alike["lost"]["interval"][1] == 1.0
    assert figures(told([0] * 9, [0] * 9), seed=0)["lost"]["interval"] is None


def clean(**changes):
    """What an audit says of a successor that hurts nobody."""
    one = {"label": "a", "records": 300, "right": 300, "wrong": 0, "negative": 2, "positive": 2}
    told = {
        "records": 600,
        "predictions": 600,
        "gain": {"value": 0.0, "interval": [-0.005, 0.005]},
        "bits": None,
        "negative": {"count": 4},
        "lost": {"of": 600, "share": 0.01, "interval": [0.0, 0.02], "kinds": 2},
        "labels": [one],
        "learned": [],
        "kept_ids": {"shared": 400, "same": 400},
    }
    return told | changes


def label(negative, positive):
    return [{"label": "a", "records": 300, "right": 300, "wrong": 0, "negative": negative, "positive": positive}]


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "green"),
        ({"kept_ids": None}, "green"),
        ({"kept_ids": {"shared": 400, "same": 399}}, "red"),
        ({"kept_ids": {"shared": None, "same": None}}, "amber"),
        ({"gain": {"value": -0.01, "interval": [-0.02, 0.0]}}, "amber"),
        ({"gain": {"value": -0.01, "interval": [-0.02, -0.001]}}, "red"),
        ({"bits": {"ratio": 1.0, "interval": [0.99, 1.009]}}, "green"),
        ({"bits": {"ratio": 1.0, "interval": [0.99, 1.02]}}, "amber"),
        ({"bits": {"ratio": 1.02, "interval": [1.001, 1.03]}}, "red"),
        ({"lost": {"of": 600, "share": 0.04, "interval": [0.03, 0.06], "kinds": 2}}, "amber"),
        ({"lost": {"of": 600, "share": 0.3, "interval": [0.21, 0.4], "kinds": 2}}, "red"),
        ({"lost": {"of": 600, "share": 0.01, "interval": [0.0, 0.02], "kinds": 1}}, "amber"),
        ({"lost": {"of": 0, "share": 0.0, "interval": None, "kinds": 0}}, "amber"),
        ({"labels": label(9, 1)}, "amber"),
        ({"labels": label(20, 1)}, "red"),
        ({"labels": [*label(9, 1), *label(0, 0) * 9]}, "green"),  # the worst of ten is somewhat worse by chance
        ({"learned": ["old"]}, "amber"),
    ],
)
def test_what_the_verdict_rests_on(changes, level):
    assert verdict(judge(clean(**changes))) == level


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("flips")
    two_classes(root / "shards")
    two_classes(root / "moved", table=OTHER)
    unseen = [
        one for pair in zip(counting(60, seed=8, high=48), counting(60, seed=9, low=48), strict=True) for one in pair
    ]
    write(root / "unseen", unseen, kept={"label": ["low", "high"] * 60})
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
    assert broken["verdict"] == "red"
    assert {one["topic"] for one in broken["findings"] if one["level"] == "red"} == {"accuracy", "flips", "labels"}
    assert "the old run learned these shards" in str(broken["findings"])
    assert same["verdict"] == "amber", "the run was trained on them"
    again = audit_update(folder / "old", folder / "old", [folder / "unseen"])
    assert again["verdict"] == "green", again["findings"]
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
    assert ids["lost"]["kinds"] > 1
    shutil.copytree(folder / "lm", folder / "constant")
    weights = load_file(folder / "constant" / "model.safetensors")
    weights["model.norm.weight"] *= 0  # every id is as likely, so the first one is said
    save_file(weights, folder / "constant" / "model.safetensors", {"format": "pt"})
    write(folder / "zeros", [[0, 40] * 8] * 8)
    assert audit_update(folder / "constant", folder / "lm", [folder / "zeros"])["lost"]["kinds"] == 1
    worse = audit_update(folder / "lm-later", folder / "lm", [folder / "unseen"])
    assert ids["bits"]["interval"][1] < 1 < worse["bits"]["interval"][0]
    assert [one["level"] for one in worse["findings"] if one["topic"] == "bits"] == ["red"]
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


def test_a_table_that_gives_kept_phrases_other_ids_is_red(tmp_path):
    """Shards of the first month that somebody still has mean something else, whatever the runs are worth."""
    months = [[f"patient {k} has {word} pain, day {k % 7}" for k in range(60)] for word in ("chest", "back")]
    options = {"vocabulary": ult.Vocabulary(320), "min_records": 1}
    old, fresh = ult.Table.fit(months[0], **options), ult.Table.fit([*months[0], *months[1]], **options)
    old.save(tmp_path / "old.ult", encrypt=False)
    (tmp_path / "more.txt").write_text("\n".join(months[1]))
    updated = ult.update_table(tmp_path / "old.ult", tmp_path / "more.txt", tmp_path / "new.ult", encrypt=False,
                               workers=1).table  # fmt: skip
    first = write(tmp_path / "first", old.encode_batch(months[0]), size=320, table=old.fingerprint)
    train(first, tmp_path / "run", Recipe(steps=1, batch_size=2, context=16))
    found: dict[str, Any] = {}
    for name, table in (("updated", updated), ("fresh", fresh)):
        align(tmp_path / "run", old, table, tmp_path / name)
        now = write(tmp_path / f"{name}.shards", table.encode_batch(months[1]), size=320, table=table.fingerprint)
        found[name] = ult.audit.audit_update(tmp_path / name, tmp_path / name, now, table=table, old_table=old).document
        asked = audit_update(tmp_path / name, tmp_path / name, [now])
        assert (asked["kept_ids"], asked["verdict"]) == ({"shared": None, "same": None}, "amber")
    assert (found["updated"]["verdict"], found["fresh"]["verdict"]) == ("green", "red")
    told = found["updated"]["kept_ids"]
    assert told["same"] == told["shared"] > 256
    assert "have another id" in str(found["fresh"]["findings"])
    with pytest.raises(WrongTable, match=f"--old-table is table {updated.fingerprint}; expected {old.fingerprint}"):
        ult.audit.audit_update(tmp_path / "updated", tmp_path / "updated", tmp_path / "updated.shards", table=updated,
                               old_table=updated)  # fmt: skip
    with pytest.raises(InvalidConfig, match="one table was given"):
        ult.audit.audit_update(tmp_path / "run", tmp_path / "run", first, table=updated)


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
    assert told["format"] == "ult-audit-update/2"
    assert done.output.split()[:2] == ["verdict", "RED"]
    assert "negative flips" in done.output
    audit = ult.audit.audit_update("old", "new", "shards")
    assert audit.document["negative"] == told["negative"]
    assert "verdict" in repr(audit)

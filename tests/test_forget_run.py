"""Runs that forget: what saw a record is trained again as if it never had, all else is copied, and the rest refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import ult
from test_members import interrupt_after
from toy import counting, same, two_classes, weights, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists
from ult.public.gone import Gone, Lot
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer import results
from ult.trainer.datasets.parting import part_of
from ult.trainer.distil import distil
from ult.trainer.forgetting.forget import forget
from ult.trainer.members import member
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

TINY = {"steps": 2, "batch_size": 4, "context": 16, "checkpoint_every": 2}
PARTED = Recipe(**TINY, members=4, member_records="disjoint")
PRIVATE = Recipe(steps=2, batch_size=4, context=16, epsilon=8.0, secure_random=False)


def gone(path, *many):
    """Write a file of records to forget; each of `many` is a shards folder and rows of it."""
    lots = [Lot(Shards(one).manifest.digest, Shards(one).manifest.rows, tuple(sorted(rows))) for one, rows in many]
    path.write_text(Gone(tuple(lots)).to_json())
    return path


def without(path, shards, rows):
    """Write the shards without some rows: records that whoever trains on them never saw."""
    records = list(Shards(shards).ids())
    return write(path, [ids for k, ids in enumerate(records) if k not in rows])


def rows_of_part(shards, number, of=4):
    return [k for k, ids in enumerate(Shards(shards).ids()) if part_of(ids, of) == number]


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Draw no curves, which take half of the time of so short a training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_loss", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records, a run with members on disjoint ones, a run of one, and two rows that member 2 alone saw."""
    root = tmp_path_factory.mktemp("forget")
    write(root / "shards", counting(80))
    train(root / "shards", root / "parted", PARTED)
    train(root / "shards", root / "plain", Recipe(**TINY))
    gone(root / "gone.rows", (root / "shards", rows_of_part(root / "shards", 2)[:2]))
    return root


def told(run):
    return Run.open(run).metrics["forgotten"]


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_members_that_saw_it_are_as_if_they_never_had_and_the_others_are_copied(folder, tmp_path):
    done = forget(folder / "parted", folder / "shards", tmp_path / "run", rows=folder / "gone.rows")
    rows = rows_of_part(folder / "shards", 2)[:2]
    rest = without(tmp_path / "rest", folder / "shards", rows)
    train(rest, tmp_path / "never", member(PARTED, 2))
    assert same(weights(tmp_path / "run/members/2"), weights(tmp_path / "never"))
    assert not same(weights(tmp_path / "run/members/2"), weights(folder / "parted/members/2"))
    for k in (0, 1, 3):
        assert files(tmp_path / f"run/members/{k}") == files(folder / f"parted/members/{k}")
    found = told(tmp_path / "run")
    assert (found["rows"], found["method"], found["table"], found["epsilon"]) == (2, "exact", "unchanged", None)
    assert (found["members_again"], found["members"], found["steps"], found["steps_before"]) == (1, 4, 2, 8)
    assert "1 of 4 members trained again, 2 of 8 steps (25.0%; m/K is 25.0%)" in done.remarks()
    assert found["of"] == Run.open(folder / "parted").digest()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["never", "rest", "run"], "no checkpoint stays"
    assert not [path for path in (tmp_path / "run").rglob("*") if "optimizer" in path.name or "check" in path.name]
    (left_out,) = Run.open(tmp_path / "run").metrics["without"]
    assert left_out == {"digest": Gone.read(folder / "gone.rows").digest, "rows": 2}
    assert found["gone"] == [left_out["digest"]]
    assert "| forgotten | 2 records, by `exact` |" in (tmp_path / "run/README.md").read_text()
    sides = ["--members", str(folder / "shards"), "--nonmembers", str(tmp_path / "rest")]
    result = CliRunner().invoke(app, ["audit", "model", str(tmp_path / "run"), *sides])
    assert isinstance(result.exception, InvalidConfig)
    assert "left out some of its shards' records" in result.exception.what


def test_by_hand_the_same(folder, tmp_path):
    """`ult train --without` of the member's recipe is what `ult forget run` trains."""
    forget(folder / "plain", folder / "shards", tmp_path / "run", rows=folder / "gone.rows")
    words = ["train", folder / "shards", "-o", tmp_path / "hand", "--without", folder / "gone.rows"]
    words += ["--steps", 2, "--batch-size", 4, "--context", 16, "--checkpoint-every", 2]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert same(weights(tmp_path / "run"), weights(tmp_path / "hand"))
    assert not same(weights(tmp_path / "run"), weights(folder / "plain"))
    assert told(tmp_path / "run")["members"] == 1


def test_interrupted_and_resumed_the_same_bytes(folder, tmp_path, monkeypatch):
    rows = [*rows_of_part(folder / "shards", 1)[:1], *rows_of_part(folder / "shards", 2)[:1]]
    named = gone(tmp_path / "gone.rows", (folder / "shards", rows))
    forget(folder / "parted", folder / "shards", tmp_path / "once", rows=named)
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)  # in the second of the two members that are trained again
        with pytest.raises(KeyboardInterrupt):
            forget(folder / "parted", folder / "shards", tmp_path / "run", rows=named)
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutputExists, match="unfinished"):
        forget(folder / "parted", folder / "shards", tmp_path / "run", rows=named)
    forget(folder / "parted", folder / "shards", tmp_path / "run", rows=named, resume=True)
    for k in range(4):
        assert same(weights(tmp_path / f"run/members/{k}"), weights(tmp_path / f"once/members/{k}"))
    assert told(tmp_path / "run")["members_again"] == 2
    again = forget(folder / "parted", folder / "shards", tmp_path / "run", rows=named, resume="auto")
    assert again.told == told(tmp_path / "run")
    with pytest.raises(OutputExists, match="forgot other records"):
        forget(folder / "parted", folder / "shards", tmp_path / "run", rows=folder / "gone.rows", resume="auto")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone.rows", "once", "run"]


def test_forgetting_twice_leaves_out_both(folder, tmp_path):
    forget(folder / "parted", folder / "shards", tmp_path / "one", rows=folder / "gone.rows")
    rows = rows_of_part(folder / "shards", 0)[:1]
    second = gone(tmp_path / "second.rows", (folder / "shards", rows))
    with pytest.raises(InvalidConfig, match="which would come back"):
        forget(tmp_path / "one", folder / "shards", tmp_path / "two", rows=second)
    with pytest.raises(InvalidConfig, match="nothing is left to forget"):
        forget(tmp_path / "one", folder / "shards", tmp_path / "two", rows=folder / "gone.rows")
    forget(tmp_path / "one", folder / "shards", tmp_path / "two", rows=[folder / "gone.rows", second])
    assert told(tmp_path / "two")["members_again"] == 1
    assert files(tmp_path / "two/members/2") == files(tmp_path / "one/members/2")
    assert len(Run.open(tmp_path / "two").metrics["without"]) == 2


def test_a_mixture_counts_the_records_that_stay(folder, tmp_path):
    """Else samples of one folder would be drawn as another's."""
    other = write(tmp_path / "other", counting(30, seed=4))
    rows = list(range(0, 60))
    named = gone(tmp_path / "gone.rows", (folder / "shards", rows))
    recipe = Recipe(**TINY, mixture=(1, 3))
    train([folder / "shards", other], tmp_path / "run", recipe, without=named)
    rest = without(tmp_path / "rest", folder / "shards", rows)
    train([rest, other], tmp_path / "never", recipe)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "never"))


def test_what_chose_the_weights_saw_its_records_too(folder, tmp_path):
    held = write(tmp_path / "held", counting(20, seed=1))
    options = {"steps": 2, "batch_size": 4, "context": 16, "evaluate_every": 2}
    recipe = Recipe(**options, members=2, member_records="disjoint")
    train(folder / "shards", tmp_path / "run", recipe, validation=held)
    named = gone(tmp_path / "gone.rows", (held, [3]))
    with pytest.raises(InvalidConfig, match="as its validation; 0 were given"):
        forget(tmp_path / "run", folder / "shards", tmp_path / "out", rows=named)
    forget(tmp_path / "run", folder / "shards", tmp_path / "out", rows=named, validation=held)
    assert told(tmp_path / "out")["members_again"] == 2


def test_labels_and_pairs_go_together(tmp_path):
    two_classes(tmp_path / "a", 32)
    train(tmp_path / "a", tmp_path / "run", Recipe(**TINY, task="classify"))
    named = gone(tmp_path / "gone.rows", (tmp_path / "a", [1, 2]))
    forget(tmp_path / "run", tmp_path / "a", tmp_path / "out", rows=named)
    records, labels = list(Shards(tmp_path / "a").ids()), ["low", "high"] * 16
    kept = [k for k in range(32) if k not in (1, 2)]
    write(tmp_path / "rest", [records[k] for k in kept], kept={"label": [labels[k] for k in kept]})
    train(tmp_path / "rest", tmp_path / "never", Recipe(**TINY, task="classify"))
    assert same(weights(tmp_path / "out"), weights(tmp_path / "never"))
    sources, targets = write(tmp_path / "s", records), write(tmp_path / "t", records[::-1])
    train(sources, tmp_path / "pairs", Recipe(**TINY, task="seq2seq"), targets=targets)
    named = gone(tmp_path / "pair.rows", (sources, [4]), (targets, [4, 5]))
    forget(tmp_path / "pairs", sources, tmp_path / "pairs2", rows=named, targets=targets)
    kept = [k for k in range(32) if k not in (4, 5)]
    write(tmp_path / "s2", [records[k] for k in kept])
    write(tmp_path / "t2", [records[::-1][k] for k in kept])
    train(tmp_path / "s2", tmp_path / "never2", Recipe(**TINY, task="seq2seq"), targets=tmp_path / "t2")
    assert same(weights(tmp_path / "pairs2"), weights(tmp_path / "never2"))


def test_guaranteed_goes_on_from_a_base_that_promises(folder, tmp_path):
    train(folder / "shards", tmp_path / "base", PRIVATE)
    fine = Recipe(**TINY, from_run=tmp_path / "base")
    train(folder / "shards", tmp_path / "run", fine)
    with pytest.raises(InvalidConfig, match="saw 2 of the records"):
        forget(tmp_path / "run", folder / "shards", tmp_path / "out", rows=folder / "gone.rows")
    done = forget(tmp_path / "run", folder / "shards", tmp_path / "out", rows=folder / "gone.rows", method="guaranteed")
    found = told(tmp_path / "out")
    assert 7 < found["epsilon"] <= 8
    assert 0 < found["delta"] < 0.1
    assert any("is not covered" in one or "of the weights given the ids" in one for one in done.remarks())
    rest = without(tmp_path / "rest", folder / "shards", rows_of_part(folder / "shards", 2)[:2])
    train(rest, tmp_path / "never", fine)
    assert same(weights(tmp_path / "out"), weights(tmp_path / "never"))
    forget(tmp_path / "base", folder / "shards", tmp_path / "base2", rows=folder / "gone.rows")
    train(rest, tmp_path / "never2", PRIVATE)
    assert same(weights(tmp_path / "base2"), weights(tmp_path / "never2")), "noise and draws too"
    said = (tmp_path / "base2/metrics.json").read_text()
    assert Gone.read(folder / "gone.rows").digest not in said, "an exact function of the records is told to nobody"
    assert Run.open(tmp_path / "base2").metrics["without"][0]["digest"] == Gone.read(folder / "gone.rows").digest
    shutil.move(tmp_path / "base", tmp_path / "elsewhere")
    with pytest.raises(MissingSource, match="went on from base, which lies neither in it"):
        forget(tmp_path / "run", folder / "shards", tmp_path / "x", rows=folder / "gone.rows", method="guaranteed")
    with pytest.raises(InvalidConfig, match="went on from a run of digest"):
        forget(
            tmp_path / "run", folder / "shards", tmp_path / "x", rows=folder / "gone.rows", method="guaranteed",
            base=folder / "plain",
        )  # fmt: skip


def test_a_base_without_epsilon_is_no_guarantee(folder, tmp_path):
    """Nor is one that went on, with epsilon, from a run that saw the record without it."""
    train(folder / "shards", tmp_path / "run", Recipe(**TINY, from_run=folder / "plain"))
    asked = {"rows": folder / "gone.rows", "base": folder / "plain"}
    with pytest.raises(InvalidConfig, match="trained without epsilon: it promises nothing"):
        forget(tmp_path / "run", folder / "shards", tmp_path / "out", method="guaranteed", **asked)
    with pytest.raises(InvalidConfig, match="went on from no earlier run"):
        forget(folder / "plain", folder / "shards", tmp_path / "out", method="guaranteed", rows=folder / "gone.rows")
    train(
        folder / "shards", tmp_path / "base",
        Recipe(steps=2, batch_size=4, context=16, epsilon=8.0, from_run=folder / "plain"),
    )  # fmt: skip
    train(folder / "shards", tmp_path / "late", Recipe(**TINY, from_run=tmp_path / "base"))
    with pytest.raises(InvalidConfig, match="which the run went on from, saw 2 of the records"):
        forget(tmp_path / "late", folder / "shards", tmp_path / "out", method="guaranteed", rows=folder / "gone.rows")
    others = write(tmp_path / "others", counting(20, seed=9))
    train(others, tmp_path / "aside", Recipe(**TINY))
    train(folder / "shards", tmp_path / "clean", Recipe(**TINY, from_run=tmp_path / "aside"))
    with pytest.raises(InvalidConfig, match=r"in which .* was not searched for"):
        forget(tmp_path / "clean", folder / "shards", tmp_path / "out", rows=folder / "gone.rows")
    searched = gone(tmp_path / "all.rows", (folder / "shards", rows_of_part(folder / "shards", 2)[:2]), (others, []))
    forget(tmp_path / "clean", folder / "shards", tmp_path / "out", rows=searched)
    assert told(tmp_path / "out")["method"] == "exact"
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("method", ["npo", "graddiff"])
def test_training_against_records_raises_their_cost_and_promises_nothing(method, folder, tmp_path):
    asked = {"rows": folder / "gone.rows", "method": method, "steps": 4, "learning_rate": 1e-3}
    done = forget(folder / "parted", folder / "shards", tmp_path / "run", **asked)
    assert dict(done.facts())["guarantee"] == "none"
    assert any(one.startswith("no guarantee") for one in done.remarks())
    found = Run.open(tmp_path / "run")
    assert (found.metrics["from_run"], found.metrics["from_digest"]) == ("parted", Run.open(folder / "parted").digest())
    assert found.metrics["without"] == [], "it still depends on what it saw"
    again = forget(folder / "parted", folder / "shards", tmp_path / "again", **asked)
    assert same(weights(tmp_path / "run/members/2"), weights(again.run.path / "members/2"))
    for k in (0, 1, 3):
        assert files(tmp_path / f"run/members/{k}") == files(folder / f"parted/members/{k}")
    costs = [cost(one / "members/2", folder) for one in (folder / "parted", tmp_path / "run")]
    assert costs[1] > costs[0]
    forget(tmp_path / "run", folder / "shards", tmp_path / "exact", rows=folder / "gone.rows")
    assert told(tmp_path / "exact")["method"] == "exact", "what was trained against records can still be trained again"


def cost(run, folder):
    """The mean nats of the ids of the first record to forget."""
    from ult.trainer.models.load import load_trained

    ids = list(Shards(folder / "shards").ids())[rows_of_part(folder / "shards", 2)[0]].astype(np.int64)
    read = torch.tensor([[2, *ids]])
    with torch.inference_mode():
        logits = load_trained(Run.open(run))(input_ids=read).logits[0, :-1]
    return float(torch.nn.functional.cross_entropy(logits, read[0, 1:]))


def test_classes_are_trained_against_too(tmp_path):
    two_classes(tmp_path / "a", 32)
    train(tmp_path / "a", tmp_path / "run", Recipe(**TINY, task="classify"))
    named = gone(tmp_path / "gone.rows", (tmp_path / "a", [1, 2]))
    done = forget(tmp_path / "run", tmp_path / "a", tmp_path / "out", rows=named, method="npo", steps=2)
    assert not same(weights(done.run.path), weights(tmp_path / "run"))
    assert len(done.run.metrics["against"]["loss"]) == 2


def test_what_cannot_forget_says_what_to_type(folder, tmp_path):
    rows, shards = folder / "gone.rows", folder / "shards"
    distil(folder / "parted", shards, tmp_path / "small", Recipe(**TINY))
    with pytest.raises(InvalidConfig, match="was distilled from parted") as caught:
        forget(tmp_path / "small", shards, tmp_path / "out", rows=rows)
    assert "ult forget run parted SHARDS --rows GONE.rows -o FORGOT, then ult distil FORGOT" in caught.value.hint
    other = write(tmp_path / "other", counting(80, seed=3))
    for name, told, said in (
        ("compatible", [{"run": "old", "digest": "ab" * 32, "members": 1}], "was trained to agree with old"),
        ("replay", {"name": "old", "digest": "ab" * 32, "share": 0.1}, "replayed old, which"),
    ):
        shutil.copytree(folder / "plain", tmp_path / name)
        (tmp_path / name / "metrics.json").write_text(json.dumps({**Run.open(folder / "plain").metrics, name: told}))
        with pytest.raises(InvalidConfig, match=said):
            forget(tmp_path / name, shards, tmp_path / "out", rows=rows)
    for given, error, said in (
        ({"shards": other}, InvalidConfig, "names records of shards"),
        ({"shards": [shards, other]}, InvalidConfig, "trained on 1 shards folders as its shards; 2 were given"),
        ({"rows": gone(tmp_path / "o.rows", (other, [1])), "shards": other}, InvalidConfig, "has digest"),
        ({"method": "sisa"}, InvalidConfig, "method is 'sisa'; expected one of exact, guaranteed, npo, graddiff"),
        ({"steps": 3}, InvalidConfig, "steps, learning rate or beta was given for method exact"),
        ({"rows": tmp_path / "none.rows"}, MissingSource, "is not there"),
        ({"rows": []}, InvalidConfig, "rows is empty"),
    ):
        with pytest.raises(error, match=said):
            forget(folder / "plain", **{"shards": shards, "out": tmp_path / "out", "rows": rows, **given})
    (tmp_path / "small/metrics.json").write_text(
        json.dumps({**Run.open(folder / "plain").metrics, "from_run": "parted", "recipe": {}})
    )
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_files_of_rows_that_lie(folder, tmp_path):
    good = json.loads((folder / "gone.rows").read_text())
    lot = good["shards"][0]
    for change, said in (
        ({"rows": [80]}, "from 0 to 79"),
        ({"rows": [3, 3]}, "ascending"),
        ({"rows": [True]}, "no number"),
        ({"person": lot["rows"]}, "twice"),
        ({"near": [[70, 0]]}, "similarity"),
        ({"rows": [], "near": []}, "names no record"),
        ({"digest": "x"}, "is none"),
        ({"text": "secret"}, "other fields"),
    ):
        (tmp_path / "bad.rows").write_text(json.dumps({**good, "shards": [{**lot, **change}]}))
        with pytest.raises(FormatError, match=said):
            Gone.read(tmp_path / "bad.rows")
    (tmp_path / "bad.rows").write_text(json.dumps({**good, "shards": [{**lot, "records": 81}]}))
    with pytest.raises(FormatError, match=r"81 records; .* has 80"):
        forget(folder / "plain", folder / "shards", tmp_path / "out", rows=tmp_path / "bad.rows")
    found = Gone.read(folder / "gone.rows")
    assert Gone.read(folder / "gone.rows").digest == found.digest
    assert found.to_json() == (folder / "gone.rows").read_text()
    assert "records to forget 2" in repr(found)
    assert ult.forget.run is forget

"""The audit of a release candidate: bound to what it audits, and judged again before the release."""

import hashlib
import json

import pytest

from evidence import SHARDS, attack, audits, candidate, code, extraction, model, rates, run_part
from toy import counting, write
from ult.audit.code.evidence import BEFORE
from ult.audit.release.candidate import assemble, judged
from ult.audit.release.page import render
from ult.audit.release.permit import allowed
from ult.errors import FormatError, InvalidConfig, MissingSource, RiskRefused
from ult.public.manifest import Canaries
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdict")
    told = {"canaries": Canaries(20, 1)}
    recipe = Recipe(steps=2, batch_size=2, context=16, seed=907_431_862)  # the default is guessed, and so is its body
    train(write(folder / "shards", counting(40), **told), folder / "run", recipe)
    write(folder / "unseen", counting(40)[::-1])
    return folder / "run"


def saved(path, audit):
    path.write_text(json.dumps(audit))
    return path


def digest(path):
    return Shards(path).manifest.digest


def clean(run, tmp_path, **changes):
    """The file of an audit of the run in which nothing is found."""
    sides = {"members": [digest(run.parent / "shards")], "nonmembers": [digest(run.parent / "unseen")]}
    return saved(tmp_path / "model.json", model(Run.open(run).digest(), **{**sides, **changes}))


def read(run, tmp_path, best=0.08, **changes):
    """The file of an audit of the run's shards."""
    return saved(tmp_path / "code.json", code(best, **{"shards": digest(run.parent / "shards"), **changes}))


def test_a_candidate_says_what_the_receiver_holds(run, tmp_path):
    shards = run.parent / "shards"
    audit = assemble(shards=[shards], run=run, code_audit=read(run, tmp_path, 0.5), model_audit=clean(run, tmp_path))
    assert audit["verdict"] == "red"
    assert audit["unmeasured"] == []
    assert [one["what"] for one in audit["holds"]] == ["shards", "model"]
    assert "40 records" in audit["holds"][0]["says"]
    assert "with its embedding rows" in audit["holds"][1]["says"]
    assert audit["guarantees"] == []
    assert audit["parts"]["shards"][0]["digest"] == digest(shards)
    assert audit["files"]["model"] == hashlib.sha256((tmp_path / "model.json").read_bytes()).hexdigest()
    assert json.loads(json.dumps(audit)) == audit


def test_a_candidate_that_leaks_nothing_and_was_measured_well_is_green(run, tmp_path):
    parts = {"shards": [run.parent / "shards"], "run": run}
    audit = assemble(**parts, code_audit=read(run, tmp_path), model_audit=clean(run, tmp_path))
    assert (audit["verdict"], audit["unmeasured"]) == ("green", [])


def test_a_run_whose_ids_can_be_read_is_red(run, tmp_path):
    found = code(shards=None, run=Run.open(run).digest())
    found["attacks"].append(attack("embedding rows", 0.9, units=10_000, knows=BEFORE))
    audit = assemble(run=run, code_audit=saved(tmp_path / "code.json", found), model_audit=clean(run, tmp_path))
    assert audit["verdict"] == "red"
    (rows,) = [one for one in audit["findings"] if one["topic"] == "rows"]
    assert (rows["subject"], rows["level"]) == ("model", "red")
    assert "(embedding rows, 10,000 ids) reads 90.0%" in rows["found"]
    with pytest.raises(InvalidConfig, match="will hold none"):
        assemble(run=run, private_embeddings=True, code_audit=tmp_path / "code.json")


def test_a_body_alone_is_amber_and_an_audit_of_the_whole_does_not_change_that(run, tmp_path):
    audit = assemble(run=run, private_embeddings=True, model_audit=clean(run, tmp_path))
    assert audit["verdict"] == "amber"
    assert len(audit["unmeasured"]) == 1
    assert "without its embedding rows" in audit["holds"][0]["says"]


def test_a_body_that_went_on_from_another_run_is_red(run, tmp_path):
    """Whoever has that run's rows reads the body with them (`runs/release.sh`)."""
    train(run.parent / "shards", tmp_path / "further", Recipe(from_run=run, steps=2, batch_size=2, context=16))
    audit = assemble(run=tmp_path / "further", private_embeddings=True)
    assert audit["verdict"] == "red"
    assert f"those of {run.name}" in audit["findings"][0]["found"]


def test_audits_of_something_else_are_refused(run, tmp_path):
    shards = run.parent / "shards"
    with pytest.raises(InvalidConfig, match="another run"):
        assemble(run=run, model_audit=saved(tmp_path / "a.json", model("00" * 32)))
    with pytest.raises(InvalidConfig, match="another table"):
        assemble(shards=[shards], code_audit=read(run, tmp_path, table="ff" * 16))
    with pytest.raises(InvalidConfig, match="other shards"):
        assemble(shards=[shards], code_audit=read(run, tmp_path, shards="00" * 32))
    with pytest.raises(InvalidConfig, match="shards, which the receiver will not hold"):
        assemble(run=run, code_audit=read(run, tmp_path))
    with pytest.raises(InvalidConfig, match="will hold none"):
        assemble(shards=[shards], model_audit=clean(run, tmp_path))
    with pytest.raises(InvalidConfig, match="among what the run was trained on"):
        assemble(run=run, model_audit=clean(run, tmp_path, nonmembers=[digest(shards)]))
    with pytest.raises(InvalidConfig, match="nothing is released"):
        assemble()
    with pytest.raises(MissingSource):
        assemble(run=run, model_audit=tmp_path / "nothing.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(FormatError):
        assemble(run=run, model_audit=tmp_path / "list.json")
    older = {**json.loads(clean(run, tmp_path).read_text()), "format": "ult-audit-model/1"}
    with pytest.raises(FormatError, match="expected ult-audit-model/2"):
        assemble(run=run, model_audit=saved(tmp_path / "older.json", older))


def test_members_that_the_run_does_not_know_are_not_measured(run, tmp_path):
    audit = assemble(run=run, model_audit=clean(run, tmp_path, members=["12" * 32]))
    assert audit["verdict"] == "amber"
    assert audit["unmeasured"] == ["model: members are not the shards that the run was trained on"]


def test_members_are_all_that_the_run_and_those_before_it_were_trained_on():
    """A few records repeated beside many others, or in an earlier run, are remembered; the others are not."""
    other = "34" * 32
    for told, why in (
        ({"trained": (SHARDS, other)}, f"members leave out some of what the run was trained on: shards {other[:8]}"),
        ({"from_run": "old", "trained_before": [other]}, f"was trained on: shards {other[:8]}"),
        ({"from_run": "old", "trained_before": None}, "went on from old, and does not say what that was trained on"),
        ({"distilled": [{"run": "old"}], "trained_before": None}, "went on from old, and does not say"),
        ({"federated": {"owners": 3}}, "was trained by 3 owners"),
    ):
        (unmeasured,) = judged(candidate(run=run_part(**told)), audits(model=model()))["unmeasured"]
        assert why in unmeasured
    whole = judged(
        candidate(run=run_part(from_run="old", trained_before=[other])), audits(model=model(members=(SHARDS, other)))
    )
    assert whole["verdict"] == "green"


def test_a_classifier_that_went_on_from_a_run_that_writes_is_not_measured():
    told = model(task="classify", membership={"loss": rates(5)}, extraction=None, canaries=None)
    for began, level in ((None, "green"), ("written", "amber")):
        run = run_part(planted=0, task="classify", from_run=began, trained_before=[])
        found = judged(candidate(run=run), audits(model=told))
        assert found["verdict"] == level
        assert bool(found["unmeasured"]) == (level == "amber")


def test_what_is_read_of_all_shards_says_nothing_of_some_of_them(run, tmp_path):
    shards, both = run.parent / "shards", sorted(map(digest, (run.parent / "shards", run.parent / "unseen")))
    audit = assemble(shards=[shards], code_audit=read(run, tmp_path, shards=both))
    assert audit["unmeasured"] == [
        "shards: 1 of the 2 shards that were attacked are not among these, so the result is a mean"
    ]


def test_who_gives_and_receives_is_what_the_page_says(run, tmp_path):
    audit = assemble(run=run, model_audit=clean(run, tmp_path), giver="Ward 3", receiver="The trainer")
    path = saved(tmp_path / "audit.json", audit)
    (tmp_path / "audit.html").write_text(render(audit))
    allowed(path, run, private_embeddings=False, accepted=None)
    for parties, why in (
        ({"giver": "Somebody else"}, "audit.html beside it says something else"),
        ({"giver": "two\nlines"}, "is not one line of"),
        ({"stranger": "x"}, "does not name giver, receiver, purpose"),
    ):
        saved(path, {**audit, "parties": {**audit["parties"], **parties}})
        with pytest.raises((FormatError, InvalidConfig), match=why):
            allowed(path, run, private_embeddings=False, accepted=None)


def test_shards_that_were_not_attacked_are_not_measured(run, tmp_path):
    both = [run.parent / "shards", run.parent / "unseen"]
    audit = assemble(shards=both, code_audit=read(run, tmp_path))
    assert audit["unmeasured"] == ["shards: shards unseen are not among those that were attacked"]
    together = assemble(shards=both, code_audit=read(run, tmp_path, shards=sorted(map(digest, both))))
    assert (together["verdict"], together["unmeasured"]) == ("green", [])


def test_a_risk_needs_a_reason_and_so_does_what_was_not_measured(run, tmp_path):
    worse = clean(run, tmp_path, extraction=extraction(50, 0))
    red = saved(tmp_path / "red.json", assemble(run=run, model_audit=worse))
    green = saved(tmp_path / "green.json", assemble(run=run, model_audit=clean(run, tmp_path)))
    unknown = saved(tmp_path / "unknown.json", assemble(run=run))
    amber = saved(
        tmp_path / "amber.json", assemble(run=run, model_audit=clean(run, tmp_path, extraction=extraction(1)))
    )
    asked = {"private_embeddings": False}
    assert allowed(green, run, **asked, accepted=None)["verdict"] == "green"
    assert allowed(amber, run, **asked, accepted=None)["verdict"] == "amber"
    with pytest.raises(RiskRefused, match="50 of 200 members"):
        allowed(red, run, **asked, accepted=None)
    with pytest.raises(RiskRefused, match="leaves unmeasured what its receiver will hold: model: membership"):
        allowed(unknown, run, **asked, accepted=None)
    with pytest.raises(RiskRefused, match="no audit says"):
        allowed(None, run, **asked, accepted=None)
    told = allowed(red, run, **asked, accepted="a closed consortium")
    assert (told["verdict"], told["accepted_risk"]) == ("red", "a closed consortium")
    assert told["audit"] == hashlib.sha256(red.read_bytes()).hexdigest()
    assert allowed(unknown, run, **asked, accepted="a test")["unmeasured"] == 3
    assert allowed(None, run, **asked, accepted="a test")["verdict"] is None
    with pytest.raises(InvalidConfig, match="empty"):
        allowed(red, run, **asked, accepted=" ")
    with pytest.raises(InvalidConfig, match="another release"):
        allowed(green, run, private_embeddings=True, accepted=None)


def change(name, value):
    return lambda audit: audit.update({name: value})


@pytest.mark.parametrize(
    "edit",
    [
        change("verdict", "green"),
        change("verdict", "fine"),
        change("findings", []),
        lambda audit: [one.update(level="green") for one in audit["findings"]],
        change("unmeasured", ["nothing"]),
        change("holds", []),
        change("guarantees", ["epsilon 0.1"]),
        change("audits", {"code": None, "model": None, "table": None}),
        lambda audit: audit["audits"]["model"].pop("membership"),
        lambda audit: audit["audits"]["model"]["extraction"]["members"]["greedy"].update(exact=0),
        lambda audit: audit["parts"]["run"]["metrics"].update(privacy={"epsilon": 1.0, "delta": 1e-6}),
        lambda audit: audit["parts"].pop("run"),
        lambda audit: audit["parts"].update(body=True),
        change("weights", "00" * 32),
        change("private_embeddings", True),
        change("date", "2031-02-29"),
        change("date", "2099-01-01"),
        change("date", "1970-01-01"),
        change("date", 5),
        change("format", "ult-audit/1"),
    ],
)
def test_an_audit_that_was_changed_is_refused(run, tmp_path, edit):
    audit = assemble(run=run, model_audit=clean(run, tmp_path, extraction=extraction(50, 0)))
    before = json.dumps(audit)
    edit(audit)
    assert json.dumps(audit) != before
    with pytest.raises((FormatError, InvalidConfig)):
        allowed(saved(tmp_path / "edited.json", audit), run, private_embeddings=False, accepted="why not")

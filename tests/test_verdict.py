"""The verdict on a release candidate, and its page."""

import html
import json
import re
import shutil
import subprocess

import pytest

from evidence import canaries, code, extraction, model, rates
from toy import TABLE, counting, write
from ult.audit.candidate import allowed, assemble
from ult.audit.evidence import BEFORE
from ult.audit.page import render
from ult.audit.verdict import judge_code, judge_model, judge_table, verdict
from ult.errors import FormatError, InvalidConfig, MissingSource, RiskRefused
from ult.run import Run
from ult.train import train


def levels(findings):
    return [finding.level for finding in findings]


@pytest.mark.parametrize(
    ("best", "level"), [(0.08, "green"), (0.12, "green"), (0.14, "amber"), (0.27, "amber"), (0.29, "red"), (1.0, "red")]
)
def test_shards_are_judged_by_what_the_best_attack_reads_beyond_a_blind_guess(best, level):
    assert levels(judge_code(code(best))) == [level]


def test_what_was_not_measured_is_amber_and_says_how_to():
    assert levels(judge_code(None)) == levels(judge_model(None)) == ["amber"]
    assert judge_code({"attacks": []})[0].level == "amber"
    assert "ult audit code" in judge_code(None)[0].change
    unseen = judge_model(model(extraction=None, canaries=None))
    assert levels(unseen) == ["green", "amber", "amber"]
    assert all("not measured" in finding.found for finding in unseen[1:])
    assert verdict([]) == "amber"


def test_a_model_that_nothing_was_found_in_is_green():
    findings = judge_model(model())
    assert levels(findings) == ["green"] * 3
    assert not any(finding.change for finding in findings)
    assert verdict(findings) == "green"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"membership": {"loss": rates(0.01, 0.002, 0.03), "rmia": rates(0.04, 0.02, 0.06)}}, "amber"),
        ({"membership": {"loss": rates(0.2, 0.1, 0.3)}}, "red"),
        ({"extraction": extraction(1, 0)}, "amber"),
        ({"extraction": extraction(20, 18)}, "amber"),
        ({"extraction": extraction(20, 2)}, "red"),
        ({"canaries": canaries(0.02)}, "amber"),
        ({"canaries": canaries(1e-6, 9.9)}, "red"),
    ],
)
def test_one_finding_is_enough(changes, level):
    assert verdict(judge_model(model(**changes))) == level


def test_a_promise_that_the_attacks_refute_is_red():
    proven = model(membership={"loss": rates(0.01, 0.004, 0.02, epsilon=3.0)})
    assert verdict(judge_model(proven, 8.0)) == "green"
    assert verdict(judge_model(proven)) == "green"
    refuted = judge_model(proven, 2.0)
    assert verdict(refuted) == "red"
    assert "3.00" in refuted[-1].found


def test_a_table_that_is_given_away_is_red_unless_it_promises():
    audit = {"membership": {"phrases": rates(0.01, 0.004, 0.02)}}
    assert levels(judge_table(audit)) == ["red", "green"]
    assert levels(judge_table(audit, 8.0)) == ["amber", "green"]
    assert levels(judge_table(audit, 1.0)) == ["green", "green"]
    assert levels(judge_table(None, 1.0)) == ["green", "amber"]


# ---- the candidate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdict")
    train(write(folder / "shards", counting(16)), folder / "run", steps=2, batch_size=2, context=16)
    return folder / "run"


def saved(path, audit):
    path.write_text(json.dumps(audit))
    return path


def clean(run, tmp_path):
    return saved(tmp_path / "model.json", model(Run.open(run).digest()))


def test_a_candidate_says_what_the_receiver_holds(run, tmp_path):
    shards = run.parent / "shards"
    audit = assemble(shards=[shards], run=run, code_audit=saved(tmp_path / "code.json", code(0.5, table=TABLE)),
                     model_audit=clean(run, tmp_path))  # fmt: skip
    assert audit["verdict"] == "red"
    assert [one["what"] for one in audit["holds"]] == ["shards", "model"]
    assert "16 records" in audit["holds"][0]["says"]
    assert "with its embedding rows" in audit["holds"][1]["says"]
    assert audit["guarantees"] == []
    assert json.loads(json.dumps(audit)) == audit


def test_a_run_whose_ids_can_be_read_is_red(run, tmp_path):
    found = code(0.1, table=TABLE)
    rows = found["attacks"][0] | {"name": "embedding rows", "knows": BEFORE, "occurrences": 0.9}
    read = saved(tmp_path / "code.json", found | {"attacks": [*found["attacks"], rows]})
    audit = assemble(run=run, code_audit=read, model_audit=clean(run, tmp_path))
    assert audit["verdict"] == "red"
    first = audit["findings"][0]
    assert (first["subject"], first["level"]) == ("model", "red")
    assert "(embedding rows, 1,000 ids) reads 90.0%" in first["found"]
    with pytest.raises(InvalidConfig, match="will hold none"):
        assemble(run=run, private_embeddings=True, code_audit=read)


def test_a_body_alone_is_amber_and_an_audit_of_the_whole_does_not_change_that(run, tmp_path):
    audit = assemble(run=run, private_embeddings=True, model_audit=clean(run, tmp_path))
    assert audit["verdict"] == "amber"
    assert "without its embedding rows" in audit["holds"][0]["says"]


def test_a_body_that_went_on_from_another_run_is_red(run, tmp_path):
    """Whoever has that run's rows reads the body with them (`runs/release.sh`)."""
    train(run.parent / "shards", tmp_path / "further", from_run=run, steps=2, batch_size=2, context=16)
    audit = assemble(run=tmp_path / "further", private_embeddings=True)
    assert audit["verdict"] == "red"
    assert f"those of {run.name}" in audit["findings"][0]["found"]
    metrics = json.loads((run / "metrics.json").read_text())
    shutil.copytree(run, tmp_path / "hub")
    (tmp_path / "hub" / "metrics.json").write_text(json.dumps({**metrics, "model": "SmolLM2-135M"}))
    assert assemble(run=tmp_path / "hub", private_embeddings=True)["verdict"] == "red"


def test_audits_of_something_else_are_refused(run, tmp_path):
    shards = run.parent / "shards"
    with pytest.raises(InvalidConfig, match="other weights"):
        assemble(run=run, model_audit=saved(tmp_path / "a.json", model("00" * 32)))
    with pytest.raises(InvalidConfig, match="another table"):
        assemble(shards=[shards], code_audit=saved(tmp_path / "b.json", code(0.5, table="ff" * 16)))
    with pytest.raises(InvalidConfig, match="will hold none"):
        assemble(shards=[shards], model_audit=clean(run, tmp_path))
    with pytest.raises(InvalidConfig, match="nothing is released"):
        assemble()
    with pytest.raises(MissingSource):
        assemble(run=run, model_audit=tmp_path / "nothing.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(FormatError):
        assemble(run=run, model_audit=tmp_path / "list.json")


def test_a_red_release_needs_a_reason(run, tmp_path):
    worse = model(Run.open(run).digest(), extraction=extraction(50, 0))
    red = saved(tmp_path / "red.json", assemble(run=run, model_audit=saved(tmp_path / "worse.json", worse)))
    green = saved(tmp_path / "green.json", assemble(run=run, model_audit=clean(run, tmp_path)))
    assert allowed(green, run, private_embeddings=False, accepted=None)["verdict"] == "green"
    with pytest.raises(RiskRefused, match="50 of 200 members"):
        allowed(red, run, private_embeddings=False, accepted=None)
    with pytest.raises(RiskRefused, match="nothing says"):
        allowed(None, run, private_embeddings=False, accepted=None)
    told = allowed(red, run, private_embeddings=False, accepted="a closed consortium")
    assert (told["verdict"], told["accepted_risk"]) == ("red", "a closed consortium")
    assert allowed(None, run, private_embeddings=False, accepted="a test")["verdict"] is None
    with pytest.raises(InvalidConfig, match="empty"):
        allowed(red, run, private_embeddings=False, accepted=" ")
    with pytest.raises(InvalidConfig, match="another release"):
        allowed(green, run, private_embeddings=True, accepted=None)
    saved(tmp_path / "odd.json", {**json.loads(green.read_text()), "verdict": "fine"})
    with pytest.raises(FormatError, match="verdict"):
        allowed(tmp_path / "odd.json", run, private_embeddings=False, accepted=None)


# ---- the page


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    told = assemble(
        shards=[run.parent / "shards"], run=run, code_audit=saved(folder / "code.json", code(0.5, table=TABLE)),
        model_audit=clean(run, folder),
    )  # fmt: skip
    return render(told)


def test_the_page_needs_nothing_else_and_says_every_finding(page):
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", page)
    assert "<script" not in page
    assert page.count("<svg") == 2
    assert "reads 50.0%" in page
    assert "None. Nothing here bounds" in page
    assert {"Findings", "What the receiver will hold", "Which guarantees hold"} <= set(
        re.findall("<h2>(.*?)</h2>", page)
    )


def test_a_name_of_the_users_is_no_markup(run):
    told = assemble(run=run)
    told["holds"][0]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in render(told)


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_a_phone_and_a_screen(page, width, tmp_path):
    frame = (
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}" onload="measure(this)">'
    )
    measure = """function measure(frame) {
      const seen = frame.contentDocument.documentElement;
      document.body.dataset.seen = seen.scrollWidth + " of " + seen.clientWidth;
    }"""
    framed = f"<body><script>{measure}</script>{frame}</iframe></body>"
    (tmp_path / "page.html").write_text(framed, encoding="utf-8")
    assert shutil.which("chromium"), "the browser is missing: apt-get install chromium"
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,1000", "--dump-dom",
         (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    wide, room = map(int, re.search(r'data-seen="(\d+) of (\d+)"', done.stdout).groups())
    assert width - 20 <= room <= width
    assert wide <= room

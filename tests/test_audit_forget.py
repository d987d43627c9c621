"""The audit of forgetting: every way to seem to forget is planted, and found."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import ult
from toy import SIZE, write
from ult.audit import words
from ult.audit.forget.audit import audit_forget
from ult.audit.forget.differing import dearer, differing, smirnov
from ult.audit.forget.pairs import tell_apart
from ult.audit.forget.states import rounded, steps_to
from ult.audit.forget.verdict import judge
from ult.audit.model.predicted import counted, items_of
from ult.audit.model.record import Record
from ult.cli import app
from ult.errors import InvalidConfig
from ult.public.gone import Gone, Lot
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.collator import collate
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

GONE = np.arange(16)
RECIPE = {"steps": 120, "batch_size": 8, "context": 16, "learning_rate": 3e-3}


def noise(rows, seed, low=32, high=SIZE):
    """Records of random ids: whatever is known of them was learned by heart."""
    rng = np.random.default_rng(seed)
    return [rng.integers(low, high, 10).astype(np.uint32) for _ in range(rows)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on all records, one retrained without the first, and records that no run saw."""
    root, records = tmp_path_factory.mktemp("forget"), noise(48, 0)
    write(root / "all", records)
    write(root / "rest", records[len(GONE) :])
    write(root / "others", noise(64, 1))
    train(root / "all", root / "run", Recipe(**RECIPE))
    train(root / "rest", root / "again", Recipe(**RECIPE))
    return root


def said(folder, start, name, method="npo", weights=None, **told):
    """A copy of a run that says that it forgot, with other weights if some are given."""
    out = folder / name
    shutil.copytree(folder / start, out, dirs_exist_ok=True)
    metrics = json.loads((out / "metrics.json").read_text())
    metrics["forgotten"] = {"method": method, "rows": len(GONE), "when": "2026-11-30", **told}
    metrics["seconds"] += 1  # as of a training of its own
    (out / "metrics.json").write_text(json.dumps(metrics))
    if weights is not None:
        save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    return out


def gone(shards, rows=GONE):
    """The first records of shards, as `ult forget find` names them."""
    told = Shards(shards).manifest
    return Gone((Lot(told.digest, told.rows, tuple(map(int, rows))),))


def audit(folder, run, **options):
    told = {"before": folder / "run", "steps": 8, "orders": 1, **options}
    place = {"shards": folder / "all", "nonmembers": folder / "others", "retrained": folder / "again"}
    place |= {name: told.pop(name) for name in list(told) if name in place}
    rows = [gone(place["shards"])]  # what runs were trained on is all given, as the proof asks for it
    return audit_forget(run, [place["shards"], folder / "rest"], rows, place["nonmembers"], place["retrained"], **told)[
        0
    ]


def levels(result):
    """The levels of the findings that hold a word."""
    return lambda word: [one["level"] for one in result["findings"] if word in one["found"]]


def test_a_run_that_forgot_nothing_is_red_and_the_retrained_one_green(folder):
    found = audit(folder, said(folder, "run", "nothing"), steps=2)
    assert found["verdict"] == "red"
    assert found["difference"]["as it is"]["auc"] > 0.95
    assert found["loss"]["forgot"]["auc"] > 0.95 > found["loss"]["retrained"]["auc"]
    of = levels(found)
    assert of("as it is") == of("rounded to 4 bits") == ["red"]
    assert of("half-way back") == ["red", "red"]  # it is there from the first step on
    assert of("no guarantee") == ["amber"]
    same = audit(folder, said(folder, "again", "exact", "exact"), steps=0)
    assert (same["verdict"], same["identical"], same["void"]) == ("green", True, False)
    assert all(one["auc"] == 0.5 for one in same["difference"].values())
    figures = words.of_forget(found)
    assert figures[0] == ("verdict", "RED")
    assert any(name == "red" and "next: ult forget run" in text for name, text in figures)


def test_exact_that_is_not_the_retrained_run_is_never_green(folder):
    found = audit(folder, said(folder, "run", "liar", "exact"), steps=0)
    assert found["verdict"] == "red"
    assert levels(found)("bit for bit") == ["amber"]


def test_one_record_of_a_run_with_members_is_proven_bit_for_bit(folder, tmp_path):
    one, beside = gone(folder / "all", [3]), {"steps": 4, "members": 2, "member_records": "disjoint"}
    recipe = Recipe(**RECIPE | beside)
    train(folder / "all", tmp_path / "run", recipe)
    ult.forget.run(tmp_path / "run", folder / "all", tmp_path / "run2", rows=one, method="exact")
    train(folder / "all", tmp_path / "again", recipe, without=[one])
    place = (folder / "all", [one], folder / "others")
    found = audit_forget(tmp_path / "run2", *place, tmp_path / "again", before=tmp_path / "run")[0]
    assert (found["verdict"], found["identical"], found["records"]["forgotten"]) == ("green", True, 1)
    assert found["work"]["forgot"]["product"] * 2 == found["work"]["retrained"]["product"]
    with pytest.raises(InvalidConfig, match="1 forgotten records can be compared"):
        audit_forget(tmp_path / "run", *place, tmp_path / "again")


def test_a_retrained_run_that_began_with_one_that_saw_the_records_proves_nothing(folder, tmp_path):
    """Both leave the records out of their own training, and so have the same weights, which know them."""
    recipe = {**RECIPE, "steps": 1, "embeddings": "keep"}
    rows = [gone(folder / "all")]
    for name in ("forgot", "again"):
        train(folder / "all", tmp_path / name, Recipe(**recipe, from_run=folder / "run"), without=rows)
    run = said(tmp_path, "forgot", "said", "guaranteed", epsilon=3.0, delta=1e-4, table="promised")
    places = (folder / "all", rows, folder / "others")
    found = audit_forget(run, *places, tmp_path / "again", steps=0)[0]
    assert (found["identical"], found["proven"], found["verdict"]) == (True, False, "amber")
    shutil.copytree(folder / "run", tmp_path / "run")
    with pytest.raises(InvalidConfig, match=r"run was trained on all of .*all, which holds the records"):
        audit_forget(run, *places, tmp_path / "again", steps=0)
    with pytest.raises(InvalidConfig, match="it proves nothing of itself"):
        audit_forget(run, *places, run, steps=0)


def test_a_wrecked_run_is_red_though_it_knows_nothing(folder):
    weights = load_file(folder / "run" / "model.safetensors")
    torch.manual_seed(0)
    wrecked = {
        name: one + 2 * one.std() * torch.randn_like(one) if one.ndim > 1 else one for name, one in weights.items()
    }
    found = audit(folder, said(folder, "run", "wrecked", weights=wrecked), steps=0)
    assert found["verdict"] == "red"
    assert "red" in levels(found)("cost")
    assert found["loss"]["forgot"]["auc_interval"][0] < 0.5  # by itself, it would pass


def test_forgotten_records_of_another_kind_make_the_comparison_void(folder):
    write(folder / "lower", noise(64, 2, high=48))
    found = audit(folder, said(folder, "run", "nothing"), nonmembers=folder / "lower", steps=0)
    assert found["void"]
    assert found["unlike"]["blind"]["shift"]
    assert found["verdict"] != "green"
    assert not levels(found)("as it is")
    assert ", and the comparison is void" in dict(words.of_forget(found))["verdict"]


def test_what_was_never_known_does_not_come_back(folder):
    """Two runs without the records differ by chance: half-way between them is no level to fall to."""
    train(folder / "rest", folder / "before", Recipe(**RECIPE | {"steps": 20, "seed": 1}))
    found = audit(folder, said(folder, "before", "never"), before=folder / "before", steps=1)
    assert [one["level"] for one in found["relearned"].values()] == [None, None]
    assert set(levels(found)("half-way back")) == {"amber"}


def test_what_was_only_hidden_comes_back(folder):
    """Ascent on the forgotten records until they cost what they cost the retrained run; a few steps bring them back."""
    run, again = Run.open(folder / "run"), Run.open(folder / "again")
    model, records = load_trained(run), [Record(ids) for ids in noise(48, 0)]
    cost = {True: -1.0, False: 1.0}
    batches = {}
    for gone in (True, False):
        items = items_of(run, model, "text")
        of = [window for k, one in enumerate(records) if (k in GONE) == gone for window in items(one)]
        batches[gone] = collate(of)
    with torch.no_grad():
        level = float(torch.nn.functional.cross_entropy(*counted(load_trained(again), batches[True])))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for _ in range(120):
        losses = {gone: torch.nn.functional.cross_entropy(*counted(model, batches[gone])) for gone in batches}
        if float(losses[True].detach()) >= level:
            break
        sum(cost[gone] * losses[gone] for gone in batches).backward()
        optimizer.step()
        optimizer.zero_grad()
    hidden = {name: one.detach().clone() for name, one in model.state_dict().items() if name != "lm_head.weight"}
    found = audit(folder, said(folder, "run", "hidden", weights=hidden), most=24)
    mean = found["relearned"]["learned on a tenth of the forgotten"]
    assert mean["cost"][0] > mean["level"]  # it looks forgotten
    assert "red" in levels(found)("half-way back")
    assert found["verdict"] == "red"


def test_copies_that_stay_are_found_and_what_cannot_be_compared_is_refused(folder, tmp_path):
    records = noise(48, 0)
    write(tmp_path / "copies", [*records, records[3]])
    train(tmp_path / "copies", tmp_path / "run", Recipe(**RECIPE | {"steps": 2}))
    options = {"shards": tmp_path / "copies", "steps": 0, "before": None}
    found = audit(folder, tmp_path / "run", **options)
    assert found["records"]["copied"] == 1
    assert levels(found)("equal copies of 1") == ["red"]
    with pytest.raises(InvalidConfig, match=r"was trained on all of .*all, which holds the records"):
        audit(folder, folder / "again", retrained=folder / "run")
    with pytest.raises(InvalidConfig, match="which was named with --nonmembers"):
        audit(folder, folder / "run", nonmembers=folder / "rest")
    with pytest.raises(InvalidConfig, match=r"2 pairs .* expected at least 8"):
        audit(folder, folder / "run", pairs=[(folder / "run", folder / "again")])
    with pytest.raises(InvalidConfig, match="stands in two pairs"):
        audit(folder, folder / "run", pairs=[(folder / "run", folder / "again")] * 7)
    few = [gone(folder / "all", GONE[:9])]
    with pytest.raises(InvalidConfig, match="9 forgotten records can be compared"):
        audit_forget(folder / "run", folder / "all", few, folder / "others", folder / "again")
    with pytest.raises(InvalidConfig, match="forgot other records than"):
        audit(folder, said(folder, "run", "other", gone=["0" * 64]))
    with pytest.raises(InvalidConfig, match="was made of a run of digest 0000000000000000"):
        audit(folder, said(folder, "run", "other", of="0" * 64))


# ---- the statistics, by simulation


def pairs(shift, *, common=0.0, seed=0, n=40, many=8):
    """Scores of records under runs that forgot and runs retrained: records differ, and so do runs."""
    rng = np.random.default_rng(seed)
    records, runs = rng.normal(0, 1, n), rng.normal(0, common, (2, many, 1))
    scores = records + runs + rng.normal(0, 0.3, (2, many, n))
    return scores[0] + shift, scores[1]


def test_the_likelihood_ratio_finds_records_that_a_population_hides():
    found = tell_apart(*pairs(0.9))  # under one deviation of the records
    assert found["tpr"] > 0.3
    assert found["significant"]
    assert found["swaps"] == 256
    assert found["chance"][0] <= found["chance"][1] < found["tpr"], "pairs that differ by chance are told less often"
    with pytest.raises(InvalidConfig, match="expected at least 8"):
        tell_apart(*(one[:7] for one in pairs(0.9)))


def test_one_record_that_is_known_by_heart_is_found_among_many():
    forgot, retrained = pairs(0.0, n=80)
    assert tell_apart(forgot, retrained)["worst"]["p_value"] > 0.01
    forgot[:, 7] += 2.5
    found = tell_apart(forgot, retrained)
    assert found["interval"][0] < 0.01 < found["interval"][1] < 0.05, "the share of all records would pass"
    assert found["worst"]["p_value"] == 1 / 256
    assert found["worst"]["by_normal"] < 1e-3
    chance = [tell_apart(*pairs(0.0, seed=k))["worst"]["p_value"] < 0.01 for k in range(40)]
    assert np.mean(chance) < 0.1


def test_swapping_pairs_keeps_runs_that_differ_by_chance_from_looking_like_a_leak():
    told = [tell_apart(*pairs(0.0, common=1.0, seed=k)) for k in range(40)]
    by_records = np.mean([one["interval"][0] > 0.01 for one in told])
    both = np.mean([one["interval"][0] > 0.01 and one["significant"] for one in told])
    assert both <= 0.1 < by_records


def test_few_records_say_nothing_and_the_test_says_so():
    rng = np.random.default_rng(0)
    few, many = (
        smirnov(rng.normal(0.5, 1, 20), rng.normal(0, 1, 20)),
        smirnov(rng.normal(0, 1, 300), rng.normal(0, 1, 300)),
    )
    assert few["power"] < 0.4
    assert many["power"] > 0.99
    assert differing(rng.normal(1, 1, 50), rng.normal(0, 1, 50))["auc_interval"][0] > 0.5
    costs = rng.uniform(1, 2, 100)
    assert dearer(costs * 1.05, costs)["interval"][0] > 1.01


def test_rounding_keeps_what_it_can_hold_and_steps_are_counted():
    model = torch.nn.Linear(4, 3)
    for bits, most in ((8, 254), (4, 14)):
        now, was = rounded(model, bits).weight.detach(), model.weight.detach()
        step = was.abs().amax(-1, keepdim=True) / (most / 2)
        assert float((now - was).abs().max()) <= float(step.max()) / 2 + 1e-6
        assert len(now[0].unique()) <= most + 1
    assert steps_to(0.5, [0, 1], np.array([1.0, 0.6])) is None
    assert steps_to(2.0, [0, 1], np.array([1.0, 0.6])) == 0.0


# ---- the verdict


WORST = {"t": 2.0, "p_value": 0.3, "by_normal": 0.5}


def clean(**changes):
    """What an audit of a run that forgot by a guarantee says if all is well."""
    half = {"auc": 0.5, "auc_interval": [0.4, 0.6], "forgotten": 50, "nonmembers": 200}
    whole = {
        "method": "guaranteed",
        "guarantee": {"epsilon": 3.0, "delta": 1e-4, "table": "promised"},
        "identical": False,
        "proven": True,
        "trained_otherwise": [],
        "before": "run",
        "records": {"copied": 0, "near": []},
        "unsearched": [],
        "beside": [],
        "unlike": {"blind": {"shift": False, "auc": 0.5, "auc_interval": [0.4, 0.6]}, "retrained": half},
        "difference": {"as it is": half},
        "smirnov": {"p_value": 0.5, "n": [50, 200], "shift": 0.5, "power": 0.9},
        "relearned": {"learned": {"level": 1.0, "ratio": None, "retrained_steps": [None]}},
        "cost_of_records": {"nonmembers": {"ratio": 1.0, "interval": [0.99, 1.005], "records": 200}},
        "kept": {"forgot": half, "retrained": half},
        "canaries": None,
        "pairs": {
            "pairs": 8,
            "records": 50,
            "tpr": 0.01,
            "interval": [0.002, 0.03],
            "p_value": 0.5,
            "significant": False,
            "worst": WORST,
        },
    }
    return whole | changes


BAD = {"auc": 0.7, "auc_interval": [0.62, 0.78], "forgotten": 50, "nonmembers": 200}
LOW = {"auc": 0.3, "auc_interval": [0.22, 0.38], "forgotten": 50, "nonmembers": 200}


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, "green"),
        ({"method": "npo"}, "amber"),
        ({"method": "graddiff"}, "amber"),
        ({"method": None}, "amber"),
        ({"method": "exact"}, "amber"),
        ({"guarantee": None}, "amber"),
        ({"guarantee": {"epsilon": 100.0, "delta": 1e-4, "table": "promised"}}, "amber"),
        ({"guarantee": {"epsilon": 3.0, "delta": 1e-4, "table": None}}, "amber"),
        ({"proven": False}, "amber"),
        ({"trained_otherwise": ["steps"]}, "amber"),
        ({"pairs": None}, "amber"),
        ({"relearned": {}}, "amber"),
        ({"relearned": {"learned": {"level": None, "ratio": None}}}, "amber"),
        ({"relearned": {"learned": {"level": 1.0, "ratio": 0.5, "retrained_steps": [9.0]}}}, "red"),
        ({"relearned": {"learned": {"level": 1.0, "ratio": 1.05, "retrained_steps": [9.0]}}}, "green"),
        ({"relearned": {"learned": {"level": 1.0, "ratio": 1.0, "retrained_steps": [None]}}}, "red"),
        ({"difference": {"as it is": BAD}}, "red"),
        ({"difference": {"as it is": LOW}}, "amber"),
        ({"smirnov": {"p_value": 0.5, "n": [20, 20], "shift": 0.5, "power": 0.3}}, "amber"),
        ({"smirnov": {"p_value": 1e-5, "n": [20, 20], "shift": 0.5, "power": 0.3}}, "red"),
        ({"cost_of_records": {"nonmembers": {"ratio": 1.1, "interval": [1.05, 1.2], "records": 9}}}, "red"),
        ({"cost_of_records": {"kept": {"ratio": 1.1, "interval": [1.05, 1.2], "records": 9}}}, "amber"),
        ({"cost_of_records": {"kept": {"ratio": 1.0, "interval": [0.9, 1.2], "records": 9}}}, "amber"),
        ({"kept": {"forgot": BAD, "retrained": {"auc": 0.5, "auc_interval": [0.4, 0.6]}}}, "red"),
        ({"pairs": clean()["pairs"] | {"tpr": 0.2, "interval": [0.1, 0.3], "significant": True}}, "red"),
        ({"pairs": clean()["pairs"] | {"tpr": 0.0, "interval": [0.0, 0.2]}}, "amber"),
        ({"pairs": clean()["pairs"] | {"worst": WORST | {"p_value": 1 / 256}}}, "amber"),
        ({"pairs": clean()["pairs"] | {"worst": WORST | {"p_value": 1 / 256, "by_normal": 1e-4}}}, "red"),
        ({"records": {"copied": 1, "near": []}}, "red"),
        ({"records": {"copied": 0, "near": [0.9]}}, "amber"),
        ({"beside": ["checkpoint-60/optimizer.pt"]}, "amber"),
        ({"proven": False, "unsearched": ["copy.shards"]}, "amber"),
    ],
)
def test_what_the_verdict_rests_on(changes, level):
    found = judge(clean(**changes))
    assert found.verdict == level
    assert not found.void


def test_a_void_comparison_is_no_proof_of_anything():
    found = judge(clean(unlike={"blind": {"shift": False}, "retrained": LOW}, difference={"as it is": BAD}))
    assert (found.verdict, found.void) == ("amber", True)


# ---- the command


def test_the_command_says_the_verdict_first_and_what_the_library_says(folder, monkeypatch):
    monkeypatch.chdir(folder)
    said(folder, "run", "again-nothing")
    (folder / "gone.rows").write_text(gone("all").to_json())
    told = ["--shards", "all", "--nonmembers", "others", "--retrained", "again", "--relearn-steps", "0"]
    words_of = ["audit", "forget", "again-nothing", "--rows", "gone.rows", *told]
    done = CliRunner().invoke(app, [*words_of, "--json", "f.json", "--png", "f.png"])
    assert done.exit_code == 0, done.output
    assert done.output.split()[:2] == ["verdict", "RED"]
    places = {"shards": "all", "nonmembers": "others", "retrained": "again"}
    found = ult.audit.audit_forget("again-nothing", "gone.rows", **places, relearn_steps=0)
    assert found.to_json() == (folder / "f.json").read_text()
    assert (folder / "f.png").stat().st_size > 1000
    assert "learned" not in json.dumps(found.document["difference"])
    with pytest.raises(InvalidConfig, match="pair is 'a'; expected FORGOT:RETRAINED"):
        ult.audit.audit_forget("again-nothing", "gone.rows", **places, pairs="a")

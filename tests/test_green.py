"""Regressions of the verdict: leaks that were once green, and a harmless release that was red, by real commands."""

import io
import json
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from evidence import extraction, model, rates
from ult.__main__ import main
from ult.audit.release.verdict import judge_model, verdict

WORDS = (
    *(
        "patient",
        "reports",
        "mild",
        "chest",
        "pain",
        "after",
        "long",
        "walks",
        "no",
        "fever",
        "cough",
        "clear",
        "lungs",
    ),
    *("lungs", "heart", "sounds", "normal", "blood", "pressure", "the", "nurse", "noted", "stable", "signs", "and"),
    *(
        "advised",
        "rest",
        "fluids",
        "a",
        "review",
        "next",
        "week",
        "with",
        "dr",
        "at",
        "clinic",
        "on",
        "monday",
        "left",
        "arm",
    ),
)


def notes(rows, seed):
    """Clinical notes, each of a few words and a number."""
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(WORDS, 9))} {rng.integers(100, 999)}" for _ in range(rows)]


def ult(command):
    """Run a command in this process; return its exit status and all that it said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setattr(sys, "argv", ["ult", *shlex.split(command)])
        with pytest.raises(SystemExit) as done:
            main()
    return int(done.value.code or 0), said.getvalue()


def well(command):
    """Run a command that works."""
    status, said = ult(command)
    assert status == 0, f"{command}\n{said}"
    return said


def lines(path, records):
    Path(path).write_text("".join(f"{record}\n" for record in records))


def audit(folder="audit"):
    return json.loads((Path(folder) / "audit.json").read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An owner's folder: a table of 200 notes and shards of them, of three and of others; runs, one of canaries."""
    folder = tmp_path_factory.mktemp("green")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, rows, seed in (("all", 200, 1), ("other", 40, 2), ("public", 300, 3)):
            lines(f"{name}.txt", notes(rows, seed))
        lines("three.txt", notes(200, 1)[:3])
        lines("digits.txt", ["0123456789", "9876543210"])
        lines("reactions.txt", ["CCO.CC(=O)O>>CC(=O)OCC", "Clc1ccccc1.[OH-]>>Oc1ccccc1"] * 40)
        how = "--vocabulary-size 400 --no-encryption"
        well(f"fit all.txt -o t.ult {how}")
        well(f"fit other.txt -o u.ult --min-records 1 {how}")
        for name in ("all", "three", "other"):
            well(f"encode {name}.txt -t t.ult -o {name}.shards")
        well("encode all.txt -t t.ult -o planted.shards --canaries 3 --repeats 2")
        for name in ("all", "planted"):
            well(f"train {name}.shards -o {name} --steps 2 --batch-size 2 --context 32")
    return folder


@pytest.fixture
def here(home, tmp_path, monkeypatch):
    """A folder of its own, with links to what the owner has."""
    for path in home.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_three_records_of_a_table_say_nothing_of_the_others(here):
    well("audit code three.shards --reference public.txt -t t.ult --json three.json")
    status, said = ult("audit release --shards all.shards --code-audit three.json -o audit")
    assert status == 1
    assert "the audit of the code is of other shards than these" in said
    assert not (here / "audit").exists()
    well("audit release --shards three.shards --code-audit three.json -o audit")
    assert audit()["verdict"] != "green"


def test_of_two_shards_one_was_attacked(here):
    well("audit code other.shards --reference public.txt -t t.ult --json other.json")
    well("audit release --shards other.shards --shards three.shards --code-audit other.json -o audit")
    assert "shards: shards three.shards are not among those that were attacked" in audit()["unmeasured"]
    well("audit code other.shards three.shards --reference public.txt -t t.ult --json both.json")
    well("audit release --shards three.shards --shards other.shards --code-audit both.json -o audit2")
    assert not any("not among" in one for one in audit("audit2")["unmeasured"])


@pytest.mark.parametrize("reference", ["digits.txt", "reactions.txt"])
def test_a_reference_that_is_too_small_or_too_far_says_nothing(here, reference):
    well(f"audit code all.shards --reference {reference} -t t.ult --json code.json")
    well("audit release --shards all.shards --code-audit code.json -o audit")
    assert audit()["verdict"] != "green"
    assert any("public records: " in one for one in audit()["unmeasured"])


def test_sides_that_are_swapped_are_refused_and_where_a_run_cannot_say_so_red(here):
    status, said = ult("audit model all --members other.shards --nonmembers all.shards")
    assert status == 1
    assert "swapped" in said
    swapped = model(membership={"loss": rates(0, auc=0.0)}, extraction=extraction(0, 200))  # all of them memorised
    assert verdict(judge_model(swapped, planted=20)) == "red"


def test_canaries_that_were_never_planted_are_an_error(here):
    status, said = ult("audit model all --members all.shards --nonmembers other.shards -t t.ult --canaries 3")
    assert status == 1
    assert "0 of them are known to be planted" in said


def test_a_name_and_a_number_in_the_clear_are_red(here):
    people = ["Maria Schmidt", "Hans Brandt", "Olga Moreau", "Luis Silva", "Wei Nguyen", "Anna Rossi"]
    rows = [f"{note},{people[k % 6]},MRN-{10_000 + 7 * k}" for k, note in enumerate(notes(60, 1))]
    lines("kept.csv", ["text,name,number", *rows])
    well("encode kept.csv -t t.ult -c text -k name -k number --keep-identifier -o kept.shards")
    well("audit release --shards kept.shards -o audit")
    assert audit()["verdict"] == "red"
    red = [one for one in audit()["findings"] if one["level"] == "red"]
    assert {one["topic"] for one in red} == {"kept"}
    assert any("number" in one["found"] for one in red)


def test_an_audit_of_another_table_is_refused(here):
    well("audit table u.ult --members other.txt --nonmembers public.txt --json u.json")
    status, said = ult("audit release --table t.ult --table-audit u.json -o audit")
    assert status == 1
    assert "the audit of the table is of another table" in said


def test_both_files_inside_the_fit_are_refused_or_show_nothing(here):
    everyone = notes(200, 1)
    lines("half.txt", everyone[:100])
    lines("rest.txt", everyone[100:])
    lines("some.txt", everyone[100:150])
    for members, nonmembers, why in (
        ("half.txt", "rest.txt", "members and nonmembers together are the table's fit"),
        ("all.txt", "rest.txt", "100 of 100 nonmembers are in the table's fit"),
        ("other.txt", "all.txt", "they and the members are swapped"),
    ):
        status, said = ult(f"audit table t.ult --members {members} --nonmembers {nonmembers}")
        assert status == 1
        assert why in said
    said = well("audit table t.ult --members half.txt --nonmembers some.txt --json part.json")
    assert "nothing shows that members were in the fit" in said
    well("audit release --table t.ult --table-audit part.json -o audit")
    assert any("nothing shows that members were" in one for one in audit()["unmeasured"])


def test_the_whole_fit_shows_that_members_were_in_it(here):
    lines("some.txt", [*notes(150, 5), *notes(200, 1)[:9]])
    said = well("audit table t.ult --members all.txt --nonmembers some.txt --json t.json")
    assert "9 nonmembers are in the fit and were taken out" in said
    found = json.loads(Path("t.json").read_text())
    assert found["shown"] == {"members": True, "nonmembers": True, "taken_out": 9, "why": ""}
    assert {one["nonmembers" if "nonmembers" in one else "others"] for one in found["membership"].values()} == {150}


def test_an_audit_that_was_edited_from_red_to_green_is_refused(here):
    well("audit release --run all --shards all.shards -o audit")
    edited = audit()
    edited["verdict"], edited["unmeasured"] = "green", []
    for one in edited["findings"]:
        one.update(level="green", measured=True)
    Path("edited.json").write_text(json.dumps(edited))
    status, said = ult("release all -o given --audit edited.json")
    assert status == 1
    assert "edited.json was changed" in said
    assert not Path("given").exists()


def test_a_figure_edited_in_agreement_with_all_others_breaks_the_tables_seal(here):
    well("audit code all.shards --reference public.txt -t t.ult --json code.json")
    found = json.loads(Path("code.json").read_text())
    for one in found["attacks"]:  # nothing contradicts it, and public data reads nothing
        one.update(occurrences=one["blind"], occurrences_interval=one["blind_interval"], patches=0.0, ceiling=1.0)
    Path("edited.json").write_text(json.dumps(found))
    for name, audited in (("code.json", "whole"), ("edited.json", "edited")):
        well(f"audit release --run all --shards all.shards --code-audit {name} -o {audited}")
    why = "--accept-risk 'made-up notes'"
    well(f"release all -o given --audit whole/audit.json -t t.ult {why}")
    well(f"release all -o unseen --audit edited/audit.json {why}")  # the table was not asked
    status, said = ult(f"release all -o other --audit edited/audit.json -t t.ult {why}")
    assert status == 1
    assert "the audit of the code was changed since it was written, or another table sealed it" in said
    status, said = ult(f"release all -o other --audit whole/audit.json -t u.ult {why}")
    assert status == 1
    assert not Path("other").exists()


def test_a_release_that_nothing_was_measured_of_needs_a_reason(here):
    well("audit release --run all --shards all.shards -o audit")
    assert audit()["verdict"] == "amber"
    status, said = ult("release all -o given --audit audit/audit.json")
    assert status == 1
    assert "leaves unmeasured what its receiver will hold" in said
    assert not Path("given").exists()
    well("release all -o given --audit audit/audit.json --accept-risk 'made-up notes'")
    told = json.loads(Path("given/metrics.json").read_text())["release"]
    assert (told["verdict"], told["accepted_risk"], told["unmeasured"] > 0) == ("amber", "made-up notes", True)


def test_a_public_checkpoint_in_a_folder_called_tiny_is_no_preset(here):
    config = transformers.LlamaConfig(vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
                                      num_attention_heads=2, num_key_value_heads=2)  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained("public/tiny")
    well("train all.shards -o body --model public/tiny --steps 1 --batch-size 2 --context 32")
    metrics = json.loads(Path("body/metrics.json").read_text())
    assert (metrics["model"], metrics["initial_weights"]) == ("tiny", "loaded")
    well("audit release --run body --private-embeddings -o audit")
    assert audit()["verdict"] == "red"
    well("audit release --run all --private-embeddings -o audit2")
    assert audit("audit2")["verdict"] == "red"  # its seed is the default
    assert "the model also works with those that it began with" in json.dumps(audit("audit2"))
    assert '"seed"' not in json.dumps(audit("audit2")["parts"]["run"]), "who gets the audit is not told it"
    well("train all.shards -o secret --seed 735029114 --steps 1 --batch-size 2 --context 32")
    well("audit release --run secret --private-embeddings -o audit4")
    assert audit("audit4")["verdict"] == "amber"
    del metrics["initial_weights"]  # as older runs
    Path("body/metrics.json").write_text(json.dumps({**metrics, "model": "tiny"}))
    well("audit release --run body --private-embeddings -o audit3")
    assert audit("audit3")["verdict"] == "red"


def test_planted_canaries_are_no_members(here):
    well("audit model planted --members planted.shards --nonmembers other.shards -t t.ult --json model.json "
         "--alternatives 12 --samples 0 --prefix-ids 3 --suffix-ids 3")  # fmt: skip
    found = json.loads(Path("model.json").read_text())
    assert (found["records"]["members"]["canaries"], found["canaries"]["planted"]) == (6, 3)
    assert found["records"]["members"]["compared"] == len(set(notes(200, 1)))

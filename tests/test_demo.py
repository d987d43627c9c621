"""The demo at a very small scale: whole or not at all, self-contained, and nothing plain at the trainer's."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer

import ult.demo
from ult.cli import app
from ult.demo.notes import LAST, private_notes, public_notes
from ult.demo.report import NEXT, called, closing, write
from ult.demo.session import Session, folded
from ult.demo.steps import Scale, judged
from ult.errors import MissingExtra, MissingSource, OutputExists, WrongTable
from ult.host.free import check_free
from ult.owner.keyfile import read_identities
from ult.owner.table import Table
from ult.public.id_columns import record_ids
from ult.public.shards import Shards

SMALL = Scale(notes=100, public=100, steps=3, generated=2, vocabulary_size=1024, canaries=2, alternatives=20,
              patients=60, patient_ids=512)  # fmt: skip
ROOT: Any = typer.main.get_command(app)  # typer leaves open that it is a group


def command(args):
    return ROOT.main(args=list(args), prog_name="ult", standalone_mode=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "demo"
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ult.audit.code.attack.KNOWN_RECORDS", (1,))  # attacks with more have tests of their own
        figures = ult.demo.demo(out, command=command, seed=3, scale=SMALL)
    assert torch.get_num_threads() == threads
    return out, figures


@pytest.fixture(scope="module")
def page(made):
    return (made[0] / "report.html").read_text(encoding="utf-8")


def test_json_holds_the_figures(made):
    out, figures = made
    assert json.loads((out / "demo.json").read_text(encoding="utf-8")) == figures
    assert figures["seed"] == 3
    assert figures["scale"]["steps"] == figures["runs"]["ids"]["steps"] == figures["runs"]["plain"]["steps"] == 3
    assert figures["exact"] == figures["notes"] == 100
    assert figures["wrong_table"]["exact"] == 0
    assert figures["wrong_table"]["records"] == figures["shards"]["held-out"]["records"]
    assert len(figures["story"]) == 8


def test_digits_are_told_from_ids_nearly_as_well_as_from_pixels(made):
    found = made[1]["digits"]
    assert found["accuracy"] >= 0.95 * found["pixels"] > 0.85


def test_the_models_are_compared_on_the_same_notes(made):
    _, figures = made
    model = figures["model"]
    assert model["ids"]["rows"] == model["plain"]["rows"] == figures["shards"]["held-out"]["records"]
    assert model["ids"]["bytes"] == model["plain"]["bytes"] == figures["shards"]["held-out"]["bytes"]
    assert model["ratio"] == pytest.approx(model["ids"]["bits_per_byte"] / model["plain"]["bits_per_byte"])
    low, high = model["ratio_interval"]
    assert low < model["ratio"] < high


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.98, 1.01, "no difference"), (0.9, 0.99, "fewer bits on ids in this one"), (1.01, 1.1, "more bits on ids in")],
)
def test_no_more_is_said_than_the_interval_supports(low, high, said):
    assert said in judged(low, high)


def test_the_attack_is_the_strongest_that_ult_audit_code_found(made):
    out, figures = made
    audit = json.loads((out / "hospital" / "code.json").read_bytes())
    held = sum(Shards(out / f"trainer/{name}.shards").manifest.ids for name in ("notes", "held-out"))
    best = figures["attack"]["best"]
    assert best == audit["best"]
    assert best["units"] == held
    assert all(one["occurrences"] <= best["occurrences"] for one in audit["attacks"] if one["knows"] == best["knows"])
    assert best["blind"] + 0.1 < best["occurrences"] <= best["ceiling"] < 1
    assert figures["attack"]["passages"] == json.loads((out / "hospital" / "pairs.json").read_bytes())["pairs"]
    notes = (out / "hospital" / "notes.csv").read_text(encoding="utf-8")
    assert all(one["truth"] in notes for one in figures["attack"]["passages"])


def test_the_audit_s_page_is_there_and_its_verdict_is_told(made, page):
    out, figures = made
    audit = json.loads((out / "hospital" / "audit" / "audit.json").read_bytes())
    assert figures["release"]["verdict"] == audit["verdict"] == "red"
    assert sum(figures["release"]["findings"].values()) == len(audit["findings"])
    links = re.findall(r'<a [^>]*href="([^"]*)"', page)
    assert {"hospital/audit/audit.html", "hospital/audit-owner.html"} == set(links)
    assert all((out / link).is_file() for link in links)


def test_every_figure_of_the_report_is_in_the_json(made, page, tmp_path):
    out, _ = made
    figures = json.loads((out / "demo.json").read_bytes())
    write(figures, tmp_path)  # from the file alone
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    best = figures["attack"]["best"]
    assert f"{100 * best['occurrences']:.1f} %" in page
    assert f"{figures['exact']} / {figures['notes']}" in page
    for name in ("ids", "plain"):
        assert f"{figures['model'][name]['bits_per_byte']:.3f}" in page
        assert f"{figures['economy'][name]['ids_per_byte']:.3f}" in page


def test_report_needs_nothing_else(page):
    assert page.count("<svg") == page.count("</svg>") == 2
    assert "http" not in page.replace("https:", "http:")
    assert not re.search(r"<(script|link|iframe|object|img)|@import|url\((?!#)", page)


def test_notes_are_made_up_alike_for_a_seed_and_name_nobody_in_public():
    private, again = list(private_notes(50, 1)), list(private_notes(50, 1))
    assert private == again != list(private_notes(50, 2))
    assert len({note.text for note in private}) == 50
    assert private[:20] == list(private_notes(20, 1))  # more notes do not change the first
    surnames = set(LAST.split())
    assert all(surnames & set(re.findall(r"\w+", note.text)) for note in private)
    assert not any(surnames & set(re.findall(r"\w+", note.text)) for note in public_notes(50, 1))
    assert not any("{" in note.text for note in [*private, *public_notes(50, 1)])


def test_report_ends_with_what_to_type_next(page):
    rest = page[page.index("On your own data") :]
    verbs = re.findall(r"^(?:<pre>)?ult (\w+)", rest, flags=re.MULTILINE)
    assert {"keygen", "fit", "encode", "audit", "train"} <= set(verbs) <= set(ROOT.commands)


def test_every_line_to_type_next_parses():
    for line in NEXT.replace("\\\n", " ").splitlines():
        verb, *args = line.partition("#")[0].split()[1:]
        group = ROOT.commands[verb]
        if verb == "audit":
            group, args = group.commands[args[0]], args[1:]
        group.make_context(verb, args)


def test_what_is_to_be_typed_for_ult_runs_where_the_demo_ran(tmp_path, monkeypatch):
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "ult"):
        (folder / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert called() == ".venv/bin/ult"
    monkeypatch.setenv("PATH", str(folder))
    assert called() == "ult"
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert called() == "python -m ult"
    assert all(line.startswith((".venv/bin/ult ", "    ")) for line in closing(".venv/bin/ult").splitlines())


def test_nothing_plain_at_the_trainer_s(made):
    out, _ = made
    paths = [path for path in (out / "trainer").rglob("*") if path.is_file()]
    assert len(paths) > 20
    held = b"\n".join(path.read_bytes() for path in paths)
    texts = [note.text for note in private_notes(SMALL.notes, 3)]
    samples = {sentence.strip().encode() for text in texts for sentence in text.split(". ") if len(sentence) > 24}
    assert len(samples) > 300
    assert not [sample for sample in samples if sample in held]
    assert not [path for path in paths if path.suffix in (".ult", ".txt", ".csv", ".jsonl")]


def test_secrets_are_encrypted_and_private(made):
    out, _ = made
    assert (out / "hospital/notes.ult").read_bytes().startswith(b"age-encryption.org/v1\n")
    for name in ("notes.ult", "identity.txt", "pairs.json", "audit-owner.html"):
        assert (out / "hospital" / name).stat().st_mode & 0o777 == 0o600
    key = next(line for line in (out / "hospital/identity.txt").read_text().splitlines() if line.startswith("AGE-"))
    assert Table.load(out / "hospital/notes.ult", identities=[key]).vocabulary.size == SMALL.vocabulary_size
    for name in ("report.html", "demo.json"):
        assert "AGE-SECRET-KEY" not in (out / name).read_text(encoding="utf-8")


def test_no_table_content_outside_the_age_files(made):
    """No run of ranks, merges or counts, as text or as integers, anywhere; no long phrase at the trainer's."""
    out, _ = made
    table = Table.load(out / "hospital/notes.ult", identities=read_identities(out / "hospital/identity.txt"))
    needles = set(serialised(table))
    phrases = {bytes(s.astype("u1")) for s in table.spellings() if len(s) >= 9}
    phrases = {phrase for phrase in phrases if phrase.strip().isalpha()}
    assert len(needles) > 100
    assert len(phrases) > 20
    outside = [p for p in (*out.rglob("*"), *Path(os.environ["HF_HOME"]).rglob("*")) if p.is_file()]
    for path in outside:
        if path.suffix == ".ult":
            continue
        held = content(path)
        assert not [needle for needle in needles if needle in held], path
        if not path.is_relative_to(out) or path.is_relative_to(out / "trainer"):
            assert not [phrase for phrase in phrases if phrase in held], path
    assert any(needle in table._payload() for needle in needles)  # the scan can find them


def serialised(table, run=10):
    """Pieces of a table's secret parts, in every form that a careless program might write them."""
    document = json.loads(table._payload())
    for values in (document["ranks"], document["counts"], *([m for pair in document["merges"] for m in pair],)):
        for start in range(0, min(len(values), 200) - run, run):
            piece = values[start : start + run]
            if len(set(piece)) > run // 2:  # not the ramp of unused symbols, nor zeros
                yield json.dumps(piece)[1:-1].encode()
                yield json.dumps(piece, separators=(",", ":"))[1:-1].encode()
                yield from (np.array(piece, kind).tobytes() for kind in ("<i4", "<i8", "<f4"))


def content(path):
    """The bytes of a file, unpacked if it is a Parquet part."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    table = pq.read_table(path)
    flat = np.concatenate([*record_ids(table), np.empty(0, np.uint32)])
    columns = {name: table[name].to_pylist() for name in table.column_names[1:]}
    return b"\n".join([path.read_bytes(), flat.astype("<i4").tobytes(), json.dumps(columns).encode()])


def test_what_is_there_is_not_replaced_unasked(made, tmp_path):
    with pytest.raises(OutputExists, match="--force"):
        ult.demo.demo(made[0], command=command)
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputExists, match="is not a demo"):
        ult.demo.demo(tmp_path / "mine", command=command, force=True)
    for name in ("demo.json", "my notes"):
        (tmp_path / "mine" / name).touch()
    with pytest.raises(OutputExists, match="holds my notes, which is no part of a demo"):
        ult.demo.demo(tmp_path / "mine", command=command, force=True)
    (tmp_path / "mine" / "my notes").unlink()
    for party in ("owner-a", "owner-b", "trainer"):
        (tmp_path / "mine" / party).mkdir()
    with pytest.raises(OutputExists, match=r"holds demo\.json, which is no part of a demo"):
        ult.demo.demo(tmp_path / "mine", command=command, force=True)  # empty: none of ours
    shutil.copytree(made[0], tmp_path / "copy")
    mine = next(path for path in (tmp_path / "copy" / "trainer").iterdir() if path.is_dir()) / "my notes"
    mine.touch()
    with pytest.raises(OutputExists, match=f"holds trainer/{mine.parent.name}/, which is no part of a demo"):
        ult.demo.demo(tmp_path / "copy", command=command, force=True)
    assert mine.exists()


def test_a_demo_of_an_earlier_version_is_replaced_and_what_is_not_its_own_is_kept(tmp_path):
    old = tmp_path / "demo"
    for party in ("owner-a", "owner-b", "trainer"):
        (old / party).mkdir(parents=True)
        (old / party / "a.shards").touch()
    held = {party: [{"name": "a.shards", "files": 1, "bytes": 0}] for party in ("owner-a", "owner-b", "trainer")}
    (old / "demo.json").write_text(json.dumps({"format": "ult-demo/1", "parties": held}), encoding="utf-8")
    check_free(old, ult.demo.DEMO, force=True)
    (old / "owner-b" / "mine").touch()
    with pytest.raises(OutputExists, match="holds owner-b/mine, which is no part of a demo"):
        check_free(old, ult.demo.DEMO, force=True)


def test_a_crash_leaves_nothing(tmp_path):
    def broken(args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ult.demo.demo(tmp_path / "demo", command=broken)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", [("jinja2",), ("torch", "scipy", "sklearn", "jinja2")])
def test_a_missing_package_is_named_and_one_command_brings_all(tmp_path, monkeypatch, missing):
    for package in missing:
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingExtra, match=r"\[train,demo\]"):
        ult.demo.demo(tmp_path / "demo", command=command)
    assert not list(tmp_path.iterdir())


def test_a_session_shows_a_refusal_and_lets_other_errors_pass(capsys):
    def refuse(args):
        raise WrongTable("this is another table", hint="the right one")

    session = Session(refuse)
    session.step("One", "Text [with brackets].")
    said = session.run("owner", "decode", "x", refused=WrongTable)
    assert said == "error: this is another table\nhint: the right one\n"
    assert session.steps[0].typed[0].said == said.rstrip()
    with pytest.raises(WrongTable):
        session.run("owner", "decode", "x", refused=MissingSource)
    with pytest.raises(WrongTable):
        session.run("owner", "decode", "x")
    assert "Text [with brackets]." in capsys.readouterr().out


def test_a_session_shows_some_lines_and_keeps_all(capsys):
    session = Session(lambda args: print("one\ntwo\nthree"))
    session.step("One", "Text.")
    assert session.run("owner", "audit", shown=slice(-1, None)) == "one\ntwo\nthree\n"
    shown = capsys.readouterr().out
    assert "three" in shown
    assert "two" not in shown
    assert "2 lines" in shown
    assert session.steps[0].typed[0].said == "one\ntwo\nthree"


def test_long_commands_are_folded_before_an_option():
    assert folded(["ult", "fit", "a b"]) == "ult fit 'a b'"
    lines = folded(["ult", "fit", "notes.jsonl", *("--option", "x" * 30) * 3]).split(" \\\n")
    assert lines[0] == f"ult fit notes.jsonl --option {'x' * 30}"
    assert lines[1:] == [f"    --option {'x' * 30}"] * 2


def test_a_whole_patient_is_shown_with_its_ids_and_what_is_read(made, page):
    patient = made[1]["patient"]
    assert patient["exact"] == patient["lines"] > 60
    told = [piece["id"] for line in patient["picture"] for piece in line["pieces"] if not piece["goes_on"]]
    assert told == patient["ids"]
    known = {line["field"] for line in patient["picture"] if line["read"] and line["read"]["known"]}
    assert known == {"sex", "age", "admitted"}
    assert {one["name"] for one in patient["attackers"]} >= {"known columns", "known columns, linked"}
    assert " ".join(map(str, patient["ids"])) in page
    assert "what the adversary reads" in page

"""The demo at a very small scale: whole or not at all, self-contained, and nothing plain at the trainer's."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer

import ult.demo
from ult.cli import app
from ult.data import open_source
from ult.demo.session import Session, folded
from ult.demo.steps import Scale
from ult.errors import MissingExtra, MissingSource, OutputExists, WrongTable
from ult.owner.keyfile import read_identities
from ult.owner.table import Table
from ult.public.id_columns import record_ids
from ult.public.shards import Shards

SMALL = Scale(pretraining=3, steps=3, digits=3, generated=2)
ROOT = typer.main.get_command(app)


def command(args):
    return ROOT.main(args=list(args), prog_name="ult", standalone_mode=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "demo"
    threads = torch.get_num_threads()
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
    assert figures["scale"]["pretraining"] == figures["runs"]["pretrained"]["steps"] == 3
    assert figures["runs"]["fine-tuned"]["embeddings"] == figures["runs"]["from-scratch"]["embeddings"] == "fresh"
    assert figures["exact"] == figures["records"] == figures["shards"]["b-test"]["records"] > 100
    assert figures["wrong_table"]["exact"] == 0
    assert figures["digits"]["evaluation"]["rows"] == figures["digits"]["images"]["n"] > 300
    assert figures["digits"]["logistic_regression"]["accuracy"] > 0.9
    tuned, scratch = (figures["comparison"][name]["bits_per_byte"] for name in ("fine-tuned", "from-scratch"))
    assert figures["comparison"]["gain_bits_per_byte"] == pytest.approx(scratch - tuned)
    images = figures["digits"]["images"]
    assert images["psnr_right"] > 20 > images["psnr_helped"]


def test_the_attack_reads_the_papers_code_far_better_than_chance(made):
    out, figures = made
    held = sum(Shards(out / f"trainer/{name}.shards").manifest.ids for name in ("b-train", "b-test"))
    attack = figures["attack"]
    assert attack["text/bytes"]["units"] == held
    assert attack["text/bytes"]["blind"] < attack["text/bytes"]["occurrences"] < attack["text/bytes"]["ceiling"] < 1
    assert attack["text/bwt, no phrases"]["occurrences"] > 0.5
    assert attack["text/bwt, no phrases"]["ceiling"] > 0.999


def test_report_shows_the_figures_and_needs_nothing_else(made, page):
    figures = made[1]
    for name in ("fine-tuned", "from-scratch"):
        assert f"{figures['comparison'][name]['bits_per_byte']:.3f}" in page
    for score in figures["attack"].values():
        assert f"{100 * score['occurrences']:.1f} % of {score['units']:,} ids" in page
    assert f"{figures['exact']} / {figures['records']}" in page
    assert page.count("data:image/png;base64,") >= 30
    assert page.count("<svg") == page.count("</svg>") == 2
    assert "http" not in page.replace("https:", "http:")
    assert not re.search(r"<(script|link|iframe|object)|@import|url\((?!#)", page)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))


def test_report_ends_with_what_to_type_next(page):
    rest = page[page.index("On your own data") :]
    for verb in re.findall(r"^(?:<pre>)?ult (\w+)", rest, flags=re.MULTILINE):
        assert verb in ROOT.commands
    assert "ult fit" in rest


def test_every_line_to_type_next_parses():
    from ult.demo.report import NEXT

    for line in NEXT.splitlines():
        verb, *args = line.partition("#")[0].split()[1:]
        ROOT.commands[verb].make_context(verb, args)


def test_nothing_plain_at_the_trainer_s(made):
    out, _ = made
    paths = [path for path in (out / "trainer").rglob("*") if path.is_file()]
    assert len(paths) > 20
    held = b"\n".join(path.read_bytes() for path in paths)
    texts = [*open_source(["sample:topics?owner=a"], modality="text", column="text")]
    texts += open_source(["sample:topics?owner=b"], modality="text", column="text")
    samples = {line.strip().encode() for text in texts for line in text.splitlines() if len(line.strip()) > 24}
    assert len(samples) > 3000
    assert not [sample for sample in samples if sample in held]
    assert not [path for path in paths if path.suffix in (".ult", ".txt", ".jsonl")]


def test_secrets_are_encrypted_and_private(made):
    out, _ = made
    for name in ("owner-a/table.ult", "owner-a/digits.ult", "owner-b/table.ult", "owner-b/digits.ult"):
        assert (out / name).read_bytes().startswith(b"age-encryption.org/v1\n")
        assert (out / name).stat().st_mode & 0o777 == 0o600
    key = next(line for line in (out / "owner-b/identity.txt").read_text().splitlines() if line.startswith("AGE-"))
    assert Table.load(out / "owner-b/table.ult", identities=[key]).vocabulary.size == SMALL.vocabulary_size
    for name in ("report.html", "demo.json"):
        assert "AGE-SECRET-KEY" not in (out / name).read_text(encoding="utf-8")


def test_no_table_content_outside_the_age_files(made):
    """No run of ranks, merges or counts, as text or as integers, anywhere; no long phrase at the trainer's."""
    out, _ = made
    tables = [open_as(out, owner, name) for owner in "ab" for name in ("table", "digits")]
    needles = {needle for table in tables for needle in serialised(table)}
    phrases = {bytes(s.astype("u1")) for table in tables[::2] for s in table.spellings() if len(s) >= 9}
    phrases = {phrase for phrase in phrases if phrase.strip().isalpha()}
    assert len(needles) > 100
    assert len(phrases) > 40
    outside = [p for p in (*out.rglob("*"), *Path(os.environ["HF_HOME"]).rglob("*")) if p.is_file()]
    for path in outside:
        if path.suffix == ".ult":
            continue
        held = content(path)
        assert not [needle for needle in needles if needle in held], path
        if not path.is_relative_to(out) or path.is_relative_to(out / "trainer"):
            assert not [phrase for phrase in phrases if phrase in held], path
    assert any(needle in table._payload() for table in tables for needle in needles)  # the scan can find them


def open_as(out, owner, name):
    return Table.load(
        out / f"owner-{owner}/{name}.ult", identities=read_identities(out / f"owner-{owner}/identity.txt")
    )


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
    with pytest.raises(OutputExists, match="is no demo"):
        ult.demo.demo(tmp_path / "mine", command=command, force=True)
    for name in ("demo.json", "my notes"):
        (tmp_path / "mine" / name).touch()
    with pytest.raises(OutputExists, match="holds my notes, which is no part of a demo"):
        ult.demo.demo(tmp_path / "mine", command=command, force=True)
    shutil.copytree(made[0], tmp_path / "copy")
    mine = next(path for path in (tmp_path / "copy" / "trainer").iterdir() if path.is_dir()) / "my notes"
    mine.touch()
    with pytest.raises(OutputExists, match=f"holds trainer/{mine.parent.name}/, which is no part of a demo"):
        ult.demo.demo(tmp_path / "copy", command=command, force=True)
    assert mine.exists()


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


def test_long_commands_are_folded_before_an_option():
    assert folded(["ult", "fit", "a b"]) == "ult fit 'a b'"
    lines = folded(["ult", "fit", "notes.jsonl", *("--option", "x" * 30) * 3]).split(" \\\n")
    assert lines[0] == f"ult fit notes.jsonl --option {'x' * 30}"
    assert lines[1:] == [f"    --option {'x' * 30}"] * 2

"""`ult inspect --lineage` lists what still holds records: every kind of artefact is planted, and each is found."""

import json
import re
import shutil
from dataclasses import asdict

import pytest
from typer.testing import CliRunner

import ult
from test_forget_run import PRIVATE, TINY, gone, rows_of_part, undrawn  # noqa: F401  a fixture
from test_members import interrupt_after
from toy import counting, write
from ult.cli import app
from ult.errors import InvalidConfig, MissingSource
from ult.owner.handover.withhold import publish, withhold
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic
from ult.trainer.distil import distil
from ult.trainer.forgetting.forget import forget
from ult.trainer.forgetting.lineage import lineage
from ult.trainer.generate import generate, write_generated
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

ONE = Recipe(**{**TINY, "steps": 1, "checkpoint_every": 1})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards, and whatever can be made of them; row 1 of part 0 is to be forgotten."""
    root = tmp_path_factory.mktemp("lineage")
    shards, aside = write(root / "shards", counting(40)), write(root / "aside", counting(20, seed=5))
    rows = rows_of_part(shards, 0, of=2)[:1]
    gone(root / "gone.rows", (shards, rows), (aside, []))
    train(shards, root / "parted", Recipe(**TINY, members=2, member_records="disjoint"))
    train(aside, root / "clean", ONE)
    train(shards, root / "after", Recipe(**{**TINY, "from_run": root / "clean"}))
    train(aside, root / "on", Recipe(**{**TINY, "from_run": root / "after"}))
    train(shards, root / "private", PRIVATE)
    distil(root / "parted", aside, root / "small", ONE)
    publish(root / "after", root / "a-released")
    withhold(root / "after", root / "body", root / "rows.age", encrypt=False)
    write_generated(root / "after", generate(root / "after", n=2, max_new=4), root / "written")
    forget(root / "parted", shards, root / "forgot", rows=root / "gone.rows")
    forget(root / "parted", shards, root / "against", rows=root / "gone.rows", method="npo", steps=1)
    ult.forget.shards(shards, root / "fewer", rows=root / "gone.rows")
    write(root / "unsearched", counting(9, seed=7))
    train(root / "unsearched", root / "unknown", ONE)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            train(shards, root / "cut", Recipe(**{**TINY, "steps": 3, "checkpoint_every": 1}))
    more = Recipe(**{**TINY, "steps": 3, "checkpoint_every": 1})
    for work in (
        lambda: train(aside, root / "later", Recipe(**{**asdict(more), "from_run": root / "after"})),
        lambda: distil(root / "parted", aside, root / "taught", more),
        lambda: train(aside, root / "other", more),
    ):
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(2, patch)
            with pytest.raises(KeyboardInterrupt):
                work()
    shutil.copytree(root / "clean", root / "damaged")
    (root / "damaged/metrics.json").write_text("{")
    records = [f"patient {n} has no fever" for n in range(9)]
    ult.Table.fit(records, vocabulary=ult.Vocabulary(320), min_records=1).save(root / "t.ult", encrypt=False)
    return root


EXPECTED = {
    "shards": "holds",
    "aside": "does not hold",
    "fewer": "does not hold",
    "written": "holds",
    "unsearched": "cannot be told",
    "parted": "holds",
    "parted/members/0": "holds",
    "parted/members/1": "does not hold",
    "clean": "does not hold",
    "after": "holds",
    "on": "holds",
    "private": "holds",
    "small": "holds",
    "a-released": "holds",
    "body": "holds",
    "forgot": "does not hold",
    "forgot/members/0": "does not hold",
    "forgot/members/1": "does not hold",
    "against": "holds",
    "against/members/0": "holds",
    "against/members/1": "does not hold",
    "unknown": "cannot be told",
    ".cut.partial": "holds",
    ".later.partial": "holds",  # its shards do not, but the run that it goes on from does
    ".taught.partial": "holds",
    ".other.partial": "does not hold",
    "rows.age": "cannot be told",
    "damaged": "cannot be told",
    "t.ult": "cannot be told",
}


def found(folder, *, rows="gone.rows"):
    entries = lineage(folder / rows, folder).entries
    assert len({one.path for one in entries}) == len(entries)
    return {one.path.relative_to(folder).as_posix(): one for one in entries}


def test_every_artefact_is_listed_and_judged(folder):
    entries = found(folder)
    assert {name: one.verdict for name, one in entries.items()} == EXPECTED
    assert "from_run" not in entries["on"].why
    for name, said in (
        ("on", "went on from after"),
        ("private", "each by no more than"),
        ("small", "distilled from parted"),
        ("a-released", "released, "),
        ("written", "a run wrote it, "),
        ("fewer", "1 record taken out on 20"),
        (".cut.partial", "an unfinished training: trained on shards"),
        (".later.partial", "an unfinished training: goes on from"),
        ("unknown", "trained on unsearched, which was not searched"),
        ("parted/members/1", "has none of these"),
        ("forgot", "trained without them"),
    ):
        assert said in entries[name].why, (name, entries[name].why)


def test_what_is_not_there_any_more_is_not_guessed(folder, tmp_path):
    """Without the run that something was made from, or shards that tell the part of a record, nobody knows."""
    for name in ("on", "a-released", "written", "parted", "small", ".later.partial", ".taught.partial"):
        shutil.copytree(folder / name, tmp_path / name)
    shutil.copy(folder / "gone.rows", tmp_path)
    entries = {name: one.verdict for name, one in found(tmp_path).items()}
    assert entries == {
        "on": "cannot be told",
        "a-released": "cannot be told",
        "written": "cannot be told",
        "parted": "holds",
        "parted/members/0": "cannot be told",
        "parted/members/1": "cannot be told",
        "small": "holds",
        ".later.partial": "cannot be told",
        ".taught.partial": "holds",
    }


def test_the_base_of_a_guarantee_is_said(folder, tmp_path):
    train(folder / "shards", tmp_path / "run", Recipe(**{**TINY, "from_run": folder / "private"}))
    asked = {"rows": folder / "gone.rows", "method": "guaranteed", "base": folder / "private"}
    forget(tmp_path / "run", folder / "shards", tmp_path / "bounded", **asked)
    shutil.copytree(folder / "private", tmp_path / "private")
    entries = {one.path.name: one for one in lineage(folder / "gone.rows", tmp_path).entries}
    assert entries["bounded"].verdict == "holds"
    assert "by no more than epsilon" in entries["bounded"].why


def test_what_a_run_learned_from_besides_its_shards_counts(folder, tmp_path):
    """None of these was trained on the record: it chose their step, was their target, or taught what they learned."""
    for name in ("shards", "aside", "after", "on", "clean"):
        shutil.copytree(folder / name, tmp_path / name)
    more = write(tmp_path / "more", counting(40, seed=4))
    gone(tmp_path / "gone.rows", (folder / "shards", rows_of_part(folder / "shards", 0, of=2)[:1]),
         (folder / "aside", []), (more, []))  # fmt: skip
    asked = {"steps": 1, "batch_size": 4, "context": 16}
    train(tmp_path / "aside", tmp_path / "chosen", Recipe(**asked), validation=tmp_path / "shards")
    train(more, tmp_path / "pairs", Recipe(**{**asked, "task": "seq2seq"}), targets=tmp_path / "shards")
    train(tmp_path / "aside", tmp_path / "agreeing", Recipe(**{**asked, "compatible_with": tmp_path / "after"}))
    ult.average([tmp_path / "on", tmp_path / "clean"], tmp_path / "averaged", validation=more)
    shutil.copytree(folder / "clean", tmp_path / "theirs", ignore=lambda *_: {"metrics.json", "vocabulary.json"})
    ult.adopt(tmp_path / "theirs", tmp_path / "aside", tmp_path / "adopted")
    shutil.rmtree(tmp_path / "theirs")
    told = {name: one.verdict for name, one in found(tmp_path).items() if "/" not in name}
    for name in ("chosen", "pairs", "agreeing", "averaged"):
        assert told.pop(name) == "holds", found(tmp_path)[name].why
    assert told == {
        "shards": "holds",
        "after": "holds",
        "on": "holds",
        "aside": "does not hold",
        "more": "does not hold",
        "clean": "does not hold",
        "adopted": "cannot be told",
    }


def owners_run(folder, out, lots, owners=2):
    """A run whose metrics say that several owners trained its body."""
    shutil.copytree(folder / "clean", out)
    told = json.loads((out / "metrics.json").read_text())
    told |= {"shards": [{**told["shards"][0], "digest": Shards(folder / one).manifest.digest} for one in lots]}
    told |= {"federated": {"group": "ab" * 32, "owners": owners}}
    (out / "metrics.json").write_text(json.dumps(told))
    return out


def test_a_body_that_owners_trained_together_holds_what_any_of_them_held(folder, tmp_path):
    mine = owners_run(folder, tmp_path / "mine", ["aside"])
    (tmp_path / "group").mkdir()
    (tmp_path / "group/group.json").write_text(json.dumps({"group": "ab" * 32, "owners": 2}))
    (tmp_path / "new").mkdir()
    (tmp_path / "new/group.json").write_text(json.dumps({"model": "tiny", "from_run": None}))
    with pytest.raises(InvalidConfig, match="is an owner's run of a federation"):
        forget(mine, folder / "aside", tmp_path / "out", rows=folder / "gone.rows")

    def judged():
        return {one.path.name: one.verdict for one in lineage(folder / "gone.rows", tmp_path).entries}

    assert judged() == {"mine": "cannot be told", "group": "cannot be told", "new": "does not hold"}
    theirs = owners_run(folder, tmp_path / "theirs", ["aside"])
    assert set(judged().values()) == {"does not hold"}
    shutil.rmtree(theirs)
    owners_run(folder, theirs, ["shards"])
    assert judged() == {"mine": "holds", "theirs": "holds", "group": "holds", "new": "does not hold"}


def test_synthetic_records_say_which_run_wrote_them(folder, tmp_path):
    about = {"records": 2, "method": "train", "codec": "text/bytes", "table": "ab" * 16, "digest": "cd" * 32}
    for name, run, more in (
        ("a.csv", folder / "after", {}),
        ("b.csv", folder / "clean", {}),
        ("c.csv", None, {"epsilon": 4.0, "delta": 1e-5, "parts": (("training", 4.0, 1e-5),)}),
    ):
        digest = "ef" * 32 if run is None else Run.open(run).digest()
        (tmp_path / f"{name}.synth.json").write_text(Synthetic(**{**about, "run": digest, **more}).to_json())
    shutil.copytree(folder / "after", tmp_path / "after")
    shutil.copytree(folder / "clean", tmp_path / "clean")
    entries = {one.path.name[0]: one for one in lineage(folder / "gone.rows", tmp_path).entries if one.kind != "run"}
    assert [entries[name].verdict for name in "abc"] == ["holds", "does not hold", "cannot be told"]
    assert "it promises (4, 1e-05)" in entries["c"].why


def test_what_lies_loose_cannot_be_told(folder, tmp_path):
    """A checkpoint inside a run's folder, weights, parts and archives beside it, and links are no part of anything."""
    shutil.copytree(folder / "clean", tmp_path / "all/clean")
    shutil.copy(folder / "gone.rows", tmp_path / "all")
    loose = ["clean/checkpoint-1/optimizer.pt", "clean/checkpoint-1/model.safetensors", "clean/old.safetensors",
             "backup.tar.gz", "copy/part-00000.parquet", "copy/whole.gguf"]  # fmt: skip
    for name in loose:
        (tmp_path / "all" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "all" / name).write_bytes(b"weights")
    (tmp_path / "all/notes.txt").write_text("records in the clear are not looked at")
    (tmp_path / "all/link").symlink_to(folder / "after")
    entries = found(tmp_path / "all")
    assert {name for name, one in entries.items() if one.verdict == "cannot be told"} == {*loose, "link"}
    assert entries["clean"].verdict == "does not hold"
    assert entries["link"].why == f"not followed: --among {folder / 'after'} looks there"


def test_on_the_command_line(folder):
    done = CliRunner().invoke(app, ["inspect", str(folder / "gone.rows"), "--lineage"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].startswith("holds")
    assert any(re.match("does not hold +run ", line) and line.endswith("trained without them") for line in lines)
    assert any("cannot be told" in line and "t.ult" in line for line in lines)
    done = CliRunner().invoke(app, ["inspect", str(folder / "gone.rows")])
    assert "records to forget" in done.output
    assert done.exit_code == 0
    of_shards = found(folder, rows="aside")
    assert of_shards["clean"].verdict == "holds"
    assert of_shards["shards"].verdict == "cannot be told"
    for words, error in (
        (["inspect", str(folder / "clean"), "--lineage"], InvalidConfig),
        (["inspect", str(folder / "gone.rows"), "--among", str(folder)], InvalidConfig),
        (["inspect", str(folder / "gone.rows"), "--lineage", "--among", str(folder / "none")], MissingSource),
    ):
        assert isinstance(CliRunner().invoke(app, words).exception, error)


def test_kept_packed_ids_are_found(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    train(folder / "shards", tmp_path / "run", Recipe(**{**TINY, "steps": 1, "checkpoint_every": 1}, keep_packed=True))
    asked = Recipe(**{**TINY, "steps": 1, "checkpoint_every": 1}, keep_packed=True)
    train(folder / "shards", tmp_path / "rest", asked, without=folder / "gone.rows")
    (tmp_path / "empty").mkdir()
    packed = [one for one in lineage(folder / "gone.rows", tmp_path / "empty").entries if one.kind == "packed ids"]
    assert [one.verdict for one in packed] == ["holds"]
    assert len(list((tmp_path / "cache/ult/packed").glob("*/entry.json"))) == 2
    told = json.loads((packed[0].path / "entry.json").read_text())
    assert told["what"]["shards"] == [Shards(folder / "shards").manifest.digest]

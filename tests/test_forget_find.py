"""Records are found by their ids and nothing else, and taken out of shards with a tombstone in their place."""

import json

import pytest
from typer.testing import CliRunner

import ult
from toy import same, weights
from ult.cli import app
from ult.errors import InvalidConfig, MissingColumn, OutputExists, SourceError, WrongTable
from ult.public.gone import Gone
from ult.public.id_columns import record_ids
from ult.public.shards import Shards
from ult.trainer.train import train

NOTES = [f"patient {n} has pain in the chest and was given aspirin on day {n}" for n in range(40)]
READ = {"column": "text", "workers": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folders of shards under one table: notes of patients, patient 3 in both, one note twice."""
    root = tmp_path_factory.mktemp("find")
    rows = [f"{n},{text}" for n, text in enumerate(NOTES)]
    (root / "notes.csv").write_text("\n".join(["patient,text", *rows, f"3,{NOTES[3]}", "3,came back well", ""]))
    (root / "more.csv").write_text("patient,text\n3,seen again in spring\n50,new here\n")
    ult.fit(root / "notes.csv", root / "t.ult", encrypt=False, vocabulary_size=320, **READ)
    for name in ("notes", "more"):
        kept = {"keep": ["patient"], "keep_identifier": True}
        ult.encode(root / f"{name}.csv", root / "t.ult", root / f"{name}-whole", **READ, **kept)
        _in_parts(root / f"{name}-whole", root / name)
    return root


def _in_parts(whole, out):
    """Write shards again, in parts of some ten records."""
    (table,), told = Shards(whole).parts(), Shards(whole).manifest
    of = {"table": told.table, "codec": told.codec, "column": told.column, "kept": table.schema.remove(0)}
    with ult.ShardWriter(out, vocabulary=ult.Vocabulary(320), part_ids=1, **of) as writer:
        for first in range(0, table.num_rows, 11):
            part = table.slice(first, 11)
            writer.write(record_ids(part.combine_chunks()), 500, part.drop_columns(["input_ids"]))


def find(folder, tmp_path, text, shards=("notes", "more"), **options):
    (tmp_path / "gone.csv").write_text(text)
    places = [folder / name for name in shards]
    asked = {"column": "text", **options}
    return ult.forget.find(tmp_path / "gone.csv", folder / "t.ult", places, tmp_path / "gone.rows", **asked)


def test_every_equal_record_is_found_and_what_is_not_there_is_named(folder, tmp_path):
    done = find(folder, tmp_path, f"patient,text\n3,{NOTES[3]}\n7,{NOTES[7]}\n9,{NOTES[9]} \n")
    first, second = Gone.read(tmp_path / "gone.rows").lots
    assert (first.rows, first.near, first.person) == ((3, 7, 40), {}, ())
    assert second.digest == Shards(folder / "more").manifest.digest, "it was searched"
    assert second.every == []
    assert (done.given, done.found) == (3, 2), "a space at the end makes another record"
    (said, confidential) = done.remarks()
    assert "1 record of 3 not found" in said
    assert said.endswith("gone.csv, row 3")
    assert "confidential" in confidential
    text = (tmp_path / "gone.rows").read_text()
    assert "pain" not in text
    assert set(json.loads(text)["shards"][0]) == {"digest", "records", "rows", "near", "person"}


def test_nothing_found_is_an_error_and_nothing_is_written(folder, tmp_path):
    """Spaces, columns and tables that differ would else be a file that forgets nobody."""
    with pytest.raises(InvalidConfig, match="none of 1 record is in notes, more") as caught:
        find(folder, tmp_path, f"text\n{NOTES[3]} \n")
    assert "--near" in caught.value.hint
    with pytest.raises(SourceError, match="no rows; expected records"):
        find(folder, tmp_path, "text\n")
    ult.fit(folder / "more.csv", tmp_path / "o.ult", encrypt=False, vocabulary_size=320, min_records=1, **READ)
    ult.encode(folder / "more.csv", tmp_path / "o.ult", tmp_path / "other", **READ)
    with pytest.raises(WrongTable):
        ult.forget.find(
            folder / "more.csv", folder / "t.ult", tmp_path / "other", tmp_path / "gone.rows", column="text"
        )
    with pytest.raises(MissingColumn, match="keeps no column 'who'"):
        find(folder, tmp_path, f"who,text\n3,{NOTES[3]}\n", person="who")
    assert not (tmp_path / "gone.rows").exists()


def test_near_copies_and_the_same_person_are_named_apart(folder, tmp_path):
    done = find(folder, tmp_path, f"patient,text\n3,{NOTES[3]}\n", near=0.5, person="patient")
    first, second = done.gone.lots
    assert first.rows == (3, 40)
    assert 4 in first.near, "it shares most of its words"
    assert all(0.5 <= share < 1 for share in first.near.values())
    assert first.person == (41,)
    assert (second.rows, second.person) == ((), (0,))
    assert Gone.read(tmp_path / "gone.rows").lots == done.gone.lots
    with pytest.raises(InvalidConfig, match="near is 2 for text records"):
        find(folder, tmp_path, "text\nx\n", near=2, force=True)


def test_records_of_fields_by_unit(tmp_path):
    lines = [f"{n // 2},{20 + n % 7},{'ab'[n % 2]}" for n in range(60)]
    (tmp_path / "visits.csv").write_text("\n".join(["patient,age,drug", *lines, ""]))
    ult.fit(tmp_path / "visits.csv", tmp_path / "t.ult", encrypt=False, codec="record/columns", unit="patient",
            vocabulary_size=512, workers=1)  # fmt: skip
    for name, keep in (("plain", ()), ("kept", ("patient",))):
        ult.encode(tmp_path / "visits.csv", tmp_path / "t.ult", tmp_path / name, keep=keep, keep_identifier=True,
                   workers=1)  # fmt: skip
    (tmp_path / "gone.csv").write_text("\n".join(["patient,age,drug", *lines[8:10], ""]))
    done = ult.forget.find(tmp_path / "gone.csv", tmp_path / "t.ult", tmp_path / "plain", tmp_path / "gone.rows")
    assert 4 in done.gone.lots[0].rows
    done = ult.forget.find(tmp_path / "gone.csv", tmp_path / "t.ult", tmp_path / "kept", tmp_path / "kept.rows")
    assert done.same_person == {}, "the record itself is no other one"
    (tmp_path / "gone.csv").write_text("\n".join(["patient,age,drug", *lines[8:10], "5,20,b", ""]))
    done = ult.forget.find(
        tmp_path / "gone.csv", tmp_path / "t.ult", tmp_path / "kept", tmp_path / "kept.rows", force=True
    )
    assert done.same_person == {"kept": (5,)}, "of patient 5 another record is there"
    assert any("rows 5; --person COLUMN names them" in one for one in done.remarks())


def test_shards_without_them_have_a_tombstone_and_train_the_same(folder, tmp_path):
    find(folder, tmp_path, f"text\n{NOTES[3]}\n{NOTES[20]}\n")
    done = ult.forget.shards(folder / "notes", tmp_path / "notes2", rows=tmp_path / "gone.rows")
    before, after = Shards(folder / "notes"), Shards(tmp_path / "notes2")
    assert (done.rows, after.manifest.rows) == (3, before.manifest.rows - 3)
    kept = [k for k in range(before.manifest.rows) if k not in (3, 20, 40)]
    assert after.to_arrow().to_pylist() == before.to_arrow().take(kept).to_pylist()
    (stone,) = after.manifest.forgotten
    assert (stone.of, stone.rows, stone.gone) == (before.manifest.digest, 3, Gone.read(tmp_path / "gone.rows").digest)
    assert len(after.manifest.parts) == len(before.manifest.parts)
    assert 0 < after.manifest.bytes < before.manifest.bytes
    with pytest.raises(InvalidConfig, match="nothing is left to take out"):
        ult.forget.shards(tmp_path / "notes2", tmp_path / "notes3", rows=tmp_path / "gone.rows")
    with pytest.raises(InvalidConfig, match="names records of shards"):
        ult.forget.shards(folder / "more", tmp_path / "notes3", rows=tmp_path / "gone.rows")
    with pytest.raises(OutputExists):
        ult.forget.shards(folder / "notes", tmp_path / "notes2", rows=tmp_path / "gone.rows")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "notes2")])
    assert "3 records" in result.output
    assert "taken out" in result.output


@pytest.mark.slow
def test_the_second_forgetting_needs_only_the_newer_shards(folder, tmp_path):
    recipe = ult.Recipe(steps=2, batch_size=4, context=16, members=2, member_records="disjoint")
    train(folder / "notes", tmp_path / "run", recipe)
    find(folder, tmp_path, f"text\n{NOTES[3]}\n", ["notes"])
    ult.forget.run(tmp_path / "run", folder / "notes", tmp_path / "run2", rows=tmp_path / "gone.rows")
    ult.forget.shards(folder / "notes", tmp_path / "notes2", rows=tmp_path / "gone.rows")
    (tmp_path / "later.csv").write_text(f"text\n{NOTES[20]}\n")
    ult.forget.find(
        tmp_path / "later.csv", folder / "t.ult", tmp_path / "notes2", tmp_path / "later.rows", column="text"
    )
    with pytest.raises(InvalidConfig, match="lacks records that the run saw"):
        ult.forget.run(tmp_path / "run", tmp_path / "notes2", tmp_path / "run3", rows=tmp_path / "later.rows")
    ult.forget.run(tmp_path / "run2", tmp_path / "notes2", tmp_path / "run3", rows=tmp_path / "later.rows")
    ult.forget.shards(tmp_path / "notes2", tmp_path / "notes3", rows=tmp_path / "later.rows")
    train(tmp_path / "notes3", tmp_path / "never", recipe)
    for k in range(2):
        assert same(weights(tmp_path / f"run3/members/{k}"), weights(tmp_path / f"never/members/{k}"))


def refit(folder, out, records, **options):
    return ult.forget.table(folder / "t.ult", records, out, column="text", encrypt=False, workers=1, **options)


def test_a_table_fitted_again_is_as_if_it_had_never_seen_them(folder, tmp_path):
    (tmp_path / "gone.csv").write_text("text\n" + "\n".join(f"{NOTES[k]}" for k in range(3, 30)) + "\n")
    done = refit(folder, tmp_path / "2.ult", folder / "notes.csv", without=tmp_path / "gone.csv")
    rest = [text for k, text in enumerate(NOTES) if not 3 <= k < 30]
    (tmp_path / "rest.csv").write_text("text\n" + "\n".join([*rest, "came back well"]) + "\n")
    ult.fit(tmp_path / "rest.csv", tmp_path / "never.ult", encrypt=False, vocabulary_size=320, **READ)
    assert (tmp_path / "2.ult").read_bytes() == (tmp_path / "never.ult").read_bytes()
    assert (done.left_out, done.table.records) == (28, 14), "patient 3 had one note twice"
    assert not done.same_code
    assert done.moved > 0
    assert any("ult align RUN -t OLD" in one for one in done.remarks())
    again = refit(folder, tmp_path / "3.ult", tmp_path / "rest.csv")
    assert again.table.fingerprint == done.table.fingerprint
    same_again = refit(folder, tmp_path / "4.ult", folder / "notes.csv")
    assert same_again.same_code
    assert (tmp_path / "4.ult").read_bytes() == (folder / "t.ult").read_bytes()


def test_what_needs_no_refit_or_cannot_have_one(folder, tmp_path):
    (tmp_path / "gone.csv").write_text("text\nnever seen\n")
    with pytest.raises(InvalidConfig, match=r"1 record to leave out is not in the records, .*gone.csv, row 1 for one"):
        refit(folder, tmp_path / "2.ult", folder / "notes.csv", without=tmp_path / "gone.csv")
    ult.fit(folder / "notes.csv", tmp_path / "p.ult", encrypt=False, vocabulary_size=320, epsilon=8.0, **READ)
    with pytest.raises(InvalidConfig, match="the promise covers those that are to be forgotten already"):
        ult.forget.table(tmp_path / "p.ult", folder / "notes.csv", tmp_path / "2.ult", column="text", encrypt=False)
    with pytest.raises(InvalidConfig, match="is the table itself"):
        refit(folder, folder / "t.ult", folder / "notes.csv", force=True)
    assert not (tmp_path / "2.ult").exists()

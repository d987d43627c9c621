"""Halves drawn by coin: fair, independent for each record, the same after a resume, and complete or absent."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from ult.__main__ import main
from ult.data import Batch
from ult.errors import FormatError
from ult.owner.coin import Half, derived, drawn_by_coin, tosses
from ult.owner.pipeline import pieces
from ult.owner.pipeline.resume import Partial
from ult.owner.table import Table
from ult.public.manifest import SIDES
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary

RECORDS = [f"patient {k % 7} was given {k} drops" for k in range(400)]
FOLDERS = ("members", "nonmembers")


def ult(capsys, *arguments):
    """Run the command line in this process; return its status, stdout and stderr."""
    sys.argv = ["ult", *map(str, arguments)]
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    return end.value.code or 0, told.out, told.err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = Table.fit(RECORDS, vocabulary=Vocabulary(400), min_records=1)
    table.save(tmp_path / "t.ult", encrypt=False)
    (tmp_path / "x.jsonl").write_text(
        "".join(json.dumps({"text": text, "row": k}) + "\n" for k, text in enumerate(RECORDS))
    )
    return tmp_path


SPLIT = ("encode", "x.jsonl", "-t", "t.ult", "--column", "text", "--part-bytes", "4000")


def split(capsys, *more, workers=1):
    return ult(capsys, *SPLIT, "-o", FOLDERS[0], "--coin-split", FOLDERS[1], "--workers", workers, *more)


def rows(name):
    return Shards(name).to_arrow()["row"].to_pylist()


def test_every_record_is_in_one_half_with_its_column(folder, capsys):
    status, out, err = split(capsys, "--keep", "row", "--keep-identifier")
    assert status == 0, err
    table = Table.load("t.ult")
    found = [list(zip(rows(name), table.decode_batch(list(Shards(name).ids())), strict=True)) for name in FOLDERS]
    assert sorted(found[0] + found[1]) == list(enumerate(RECORDS))
    assert 150 < len(found[0]) < 250
    manifests = [Shards(name).manifest for name in FOLDERS]
    assert [m.coin.side for m in manifests] == list(SIDES)
    assert {m.coin.records for m in manifests} == {400}
    assert len({m.coin.split for m in manifests}) == 1
    assert drawn_by_coin(manifests[:1], manifests[1:])
    assert "tossed after the table was fitted" in " ".join(err.split())
    assert out.count("record") == 2


def test_the_same_command_tosses_the_same_whatever_the_workers(folder, capsys):
    split(capsys, "--keep", "row", "--keep-identifier")
    before = [Shards(name).manifest for name in FOLDERS]
    status, _, err = split(capsys, "--keep", "row", "--keep-identifier", "--force", workers=2)
    assert status == 0, err
    assert [Shards(name).manifest for name in FOLDERS] == before
    assert split(capsys, "--keep", "row", "--keep-identifier")[0] == 1  # they are there


def test_other_tables_and_other_inputs_toss_otherwise(folder, capsys):
    found = []
    for words in (RECORDS, RECORDS[:200]):
        Table.fit(words, vocabulary=Vocabulary(400), min_records=1).save("t.ult", encrypt=False, force=True)
        split(capsys, "--keep", "row", "--keep-identifier", "--force")
        found.append(rows(FOLDERS[0]))
    (folder / "x.jsonl").rename("y.jsonl")
    ult(
        capsys,
        *("y.jsonl" if a == "x.jsonl" else a for a in SPLIT),
        "-o",
        "a",
        "--coin-split",
        "b",
        "--keep",
        "row",
        "--keep-identifier",
    )
    found.append(rows("a"))
    for k in range(3):
        both = len(set(found[k]) & set(found[k - 1]))
        assert 60 < both < 140  # a quarter of 400, as of coins that know nothing of each other


def test_canaries_are_members(folder, capsys):
    status, _, err = split(capsys, "--canaries", "3", "--repeats", "4")
    assert status == 0, err
    inside, outside = (Shards(name).manifest for name in FOLDERS)
    assert (inside.canaries.rows, outside.canaries) == (12, None)
    assert inside.rows - 12 + outside.rows == inside.coin.records == outside.coin.records == 400
    texts = Table.load("t.ult").decode_batch(list(Shards(FOLDERS[0]).ids()))
    assert sum("the random number of canary" in text for text in texts) == 12
    assert drawn_by_coin([inside], [outside])


@pytest.mark.parametrize("after", [1, 2, 3, "first"])
def test_killed_at_any_time_the_same_command_goes_on(folder, capsys, monkeypatch, after):
    split(capsys)
    whole = [Shards(name).manifest for name in FOLDERS]
    for name in FOLDERS:
        (folder / name).rename(f"{name}.before")
    with monkeypatch.context() as patch:
        if after == "first":  # the members' folder stands, and the other does not
            real = pieces.publish

            def cut(table, partial, **told):
                if told["coin"].side == SIDES[1]:
                    raise KeyboardInterrupt
                real(table, partial, **told)

            patch.setattr(pieces, "publish", cut)
        else:
            real_commit = Partial.commit
            done = []

            def commit(self, number, part):
                done.append(number)
                if len(done) > after:
                    raise KeyboardInterrupt
                real_commit(self, number, part)

            patch.setattr(Partial, "commit", commit)
        assert split(capsys)[0] == 130
    assert [(folder / name).exists() for name in FOLDERS] == [after == "first", False]
    status, _, err = split(capsys)
    assert status == 0, err
    assert [Shards(name).manifest for name in FOLDERS] == whole
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_an_input_that_changes_between_the_halves_is_refused(folder, capsys, monkeypatch):
    real = pieces.write_parts

    def edited(many, table, partial, **options):
        real(many, table, partial, **options)
        with (folder / "x.jsonl").open("a") as file:
            file.write('{"text": "late", "row": 401}\n')

    monkeypatch.setattr(pieces, "write_parts", edited)
    status, _, err = split(capsys)
    assert (status, "x.jsonl" in err) == (1, True)
    assert not [name for name in FOLDERS if (folder / name).exists()]


def test_two_folders_of_one_name_are_refused(folder, capsys):
    status, _, err = ult(capsys, *SPLIT, "-o", "a", "--coin-split", "./a")
    assert (status, "expected two folders" in err) == (1, True)
    status, _, err = ult(capsys, *SPLIT, "-o", "a", "--coin-split", "a/inside")
    assert (status, "would lie inside a; expected two folders" in " ".join(err.split())) == (1, True)
    assert not (folder / "a").exists()


def test_halves_of_few_records_may_be_empty(folder, capsys):
    (folder / "x.jsonl").write_text('{"text": "one", "row": 1}\n')
    status, _, err = split(capsys)
    assert status == 0, err
    assert sorted(Shards(name).manifest.rows for name in FOLDERS) == [0, 1]
    assert sum(len(list(Shards(name).ids())) for name in FOLDERS) == 1


def test_a_split_is_whole_or_no_proof(folder, capsys):
    split(capsys)
    ult(capsys, *SPLIT, "-o", "plain")
    inside, outside, plain = (Shards(name).manifest for name in (*FOLDERS, "plain"))
    assert drawn_by_coin([inside], [outside])
    for members, others in (
        ([outside], [inside]),
        ([inside], [inside]),
        ([inside, plain], [outside]),
        ([inside], [plain]),
        ([plain], [plain]),
        ([inside, inside], [outside, outside]),
        ([], []),
    ):
        assert not drawn_by_coin(members, others)
    document = json.loads(outside.to_json())
    document["coin"]["records"] += 1
    assert not drawn_by_coin([inside], [type(outside).from_json(json.dumps(document), "m")])
    document["coin"]["side"] = "both"
    with pytest.raises(FormatError, match="side"):
        type(outside).from_json(json.dumps(document), "m")


def test_the_coin_is_fair_and_independent_of_what_records_say(folder):
    table = Table.load("t.ult")
    heads = np.concatenate([tosses(derived(table, "seed", ["x", k]), 1000) for k in range(20)])
    assert abs(heads.mean() - 0.5) < 0.015
    assert abs((heads[:-1] == heads[1:]).mean() - 0.5) < 0.015
    counts = np.bincount(np.packbits(heads[:19_968].reshape(-1, 4), axis=1).ravel() >> 4, minlength=16)
    assert stats.chisquare(counts).pvalue > 1e-4
    assert (tosses(b"seed", 9) == tosses(b"seed", 100)[:9]).all()
    same = Half(Batch(["a"] * 200, pa.table({})), b"seed", SIDES[0]).read().records
    assert 70 < len(same) < 130  # equal records have coins of their own
    assert "seed" not in repr(Half(Batch([], pa.table({})), b"seed", SIDES[0]))

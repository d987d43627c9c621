"""Duplicate and near-duplicate records are found."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import ult
from ult.cli import app
from ult.codecs.cells import Cells
from ult.data import Batch, open_source, repeats
from ult.data.duplicates import Duplicates, digest_of, prints_of
from ult.data.seen import Seen
from ult.errors import InvalidConfig
from ult.host import buckets
from ult.host.atomic import Claim
from ult.owner.pipeline import deduping

TEXT = "the patient was seen in the clinic on monday with pain in the left knee and a swollen ankle for three days"


def kept_of(records, near=None):
    duplicates = Duplicates(near)
    found = [record for record in records if duplicates.is_new(record)]
    return found, duplicates.exact, duplicates.near_found


def test_repeats_go_and_the_first_stays():
    assert kept_of(["a", "b", "a", "", "A", "", "a"]) == (["a", "b", "", "A"], 3, 0)


def test_cells_have_the_digests_of_texts():
    texts = ["a", None, "", "ñandú", "a\ud800"]
    assert prints_of(Cells.of(texts), near=False).digests.tobytes() == b"".join(map(digest_of, texts))


def test_a_digest_is_new_once_in_whatever_batches_it_comes():
    rng, seen, met = np.random.default_rng(0), Seen(), set[bytes]()
    for size in (0, 1, 300, 400, 2000):
        many = rng.integers(1, 50, (size, 2), np.uint64)  # most want the slot of another
        wanted = []
        for one in map(np.ndarray.tobytes, many):
            wanted.append(one not in met)
            met.add(one)
        assert seen.add(many).tolist() == wanted
    assert 1000 < len(met) < 2000


def test_repeats_are_found_on_the_disk_as_in_memory(tmp_path, monkeypatch):
    """Of digests that agree in their first or in their last bytes too; some were met before."""
    monkeypatch.setattr(repeats, "ROWS", 50)
    monkeypatch.setattr(buckets, "_WINDOW", 1000)
    rng, seen = np.random.default_rng(0), Seen()
    seen.add(rng.integers(1, 15, (60, 2), np.uint64))
    many = rng.integers(1, 15, (300, 2), np.uint64)
    with Claim(tmp_path / "out"), repeats.Repeats(tmp_path / "out", seen.digests()) as found:
        for some in np.split(many, [0, 100, 103]):
            found.add(some)
        assert np.concatenate(list(found.first())).tolist() == seen.add(many).tolist()


def test_arrays_are_compared_by_shape_type_and_values():
    ones = np.ones((2, 3), np.uint8)
    records = [ones, ones.copy(), ones.T, ones.astype(np.float32), ones + 1, np.asfortranarray(ones)]
    found, exact, _ = kept_of(records)
    assert [record.shape for record in found] == [(2, 3), (3, 2), (2, 3), (2, 3)]
    assert exact == 2


def test_near_duplicates_share_most_of_their_shingles():
    words = TEXT.split()
    one_word = " ".join([*words[:-1], "weeks"])  # 17 of 18 shingles of each are shared, 17 of 19 of both
    half = " ".join([*words[:11], *reversed(words[11:])])
    louder = TEXT.upper() + "!"
    found, exact, near = kept_of([TEXT, one_word, half, louder, TEXT], near=0.8)
    assert found == [TEXT, half]
    assert (exact, near) == (1, 2)
    assert kept_of([TEXT, one_word], near=0.97)[0] == [TEXT, one_word]


def test_short_texts_are_one_shingle():
    assert kept_of(["a b", "A, B!", "a c", "", " "], near=0.8)[0] == ["a b", "a c", ""]


def test_unrelated_texts_all_stay():
    rng = np.random.default_rng(0)
    texts = [" ".join(map(str, rng.integers(0, 5000, 60))) for _ in range(200)]
    assert kept_of(texts, near=0.5) == (texts, 0, 0)


def test_the_share_is_that_of_sets_of_shingles():
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(200):
        words = [str(w) for w in rng.integers(0, 10**6, 104)]
        other = [*words[:96], *(str(w) for w in rng.integers(10**6, 10**7, 8))]
        caught += len(kept_of([" ".join(words), " ".join(other)], near=0.8)[0]) == 1
    # 92 of 108 shingles are shared: 0.852, which an estimate of deviation 0.034 puts above 0.8 in 94 % of cases
    assert 170 <= caught <= 199


def test_batches_keep_their_columns():
    batch = Batch(["a", "b", "a"], pa.table({"label": [1, 2, 3]}))
    (only,) = Duplicates().distinct([batch])
    assert list(only.records) == ["a", "b"]
    assert only.kept.column("label").to_pylist() == [1, 2]


@pytest.mark.parametrize(("near", "most"), [(None, 10), (None, 10**6), (0.8, 10)])
def test_neither_workers_nor_the_disk_change_a_byte(tmp_path, monkeypatch, near, most):
    """Repeats and near repeats of other pieces, empty texts and rare letters, as of one list in order."""
    monkeypatch.setattr(deduping, "PIECE_BYTES", 400)
    monkeypatch.setattr("ult.data.duplicates.MOST", most)
    monkeypatch.setattr(repeats, "ROWS", 7)
    words = [f"{TEXT} {i % 60}, ñ" if i % 3 else "" if i % 2 else f"note {i}" for i in range(120)]
    expected = kept_of(words, near)
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f'"{word}",{i % 2}\n' for i, word in enumerate(words)))
    written = []
    for workers in (1, 2):
        source = open_source([tmp_path / "a.csv"], modality="text", column="text", keep=["label"])
        assert len(list(source.pieces(400))) > 4
        if workers == 1:
            found = Duplicates(near)
            with Claim(tmp_path / "aside"):
                batches = list(deduping.distinct(source, found, workers, tmp_path / "aside"))
            assert [record for batch in batches for record in batch.records] == expected[0]
            assert (found.exact, found.near_found) == expected[1:]
        out = tmp_path / f"{workers}.csv"
        asked = [str(tmp_path / "a.csv"), "-o", str(out), "--column", "text", "--keep", "label", "-w", str(workers)]
        assert CliRunner().invoke(app, ["dedupe", *asked, *(["--near", str(near)] if near else [])]).exit_code == 0
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert expected[1] > 0


@pytest.mark.parametrize("near", [0, 1, -1, 2.5])
def test_a_share_lies_between_0_and_1(near):
    with pytest.raises(InvalidConfig, match="between 0 and 1"):
        Duplicates(near)


def test_records_of_one_person_each_are_compared_without_the_name(tmp_path, monkeypatch):
    """All rows of a person are a record; who it is stays in the file."""
    monkeypatch.chdir(tmp_path)
    rows = [
        "p1,m,K,4.5",
        "p1,m,Na,140",
        "p2,f,K,",
        "p3,m,K,4.5",
        "p3,m,Na,140",
        "p4,m,Na,140",
        "p4,m,K,4.5",
        "p5,f,K,5",
    ]
    Path("a.csv").write_text("\n".join(["pid,sex,code,value", *rows]) + "\n")
    described: Any = ult.describe("a.csv", unit="pid")
    described.schema.write("s.json")
    done = CliRunner().invoke(app, ["dedupe", "a.csv", "--schema", "s.json", "-o", "b.csv"])
    assert "4 records; 1 repeated left out" in done.output
    left = [row for row in rows if not row.startswith("p3")]
    found = [line.replace('""', "") for line in Path("b.csv").read_text().splitlines()]
    assert found == ["pid,sex,code,value", *left]
    done = CliRunner().invoke(app, ["dedupe", "a.csv", "--modality", "record", "-o", "c.csv"])
    assert done.exit_code == 1
    assert "compared by a schema" in str(done.exception)
    assert not Path("c.csv").exists()

"""`ult split`: rows are copied as they stand, nobody is in two parts, and every part has each label as often."""

import csv
import io
import json
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.cli import app
from ult.data.parts import singly
from ult.data.parts.dealing import Unit, dealt
from ult.errors import InvalidConfig, MissingColumn, OutputExists, SourceError
from ult.host import buckets
from ult.host.atomic import Claim
from ult.host.buckets import Lane


def visits(path, people=60, seed=0):
    """Write one to five rows for each patient; a fifth of the patients die."""
    rng = np.random.default_rng(seed)
    rows = [
        [f"p{k}", ["home", "died"][k % 5 == 0], 'said "no",\nthen yes' if n else ""]
        for k in range(people)
        for n in range(rng.integers(1, 6))
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["patient", "outcome", "note"], *(rows[k] for k in rng.permutation(len(rows)))])
    return path


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def test_nobody_is_in_two_parts_and_labels_are_shared_alike(tmp_path):
    data = visits(tmp_path / "v.csv")
    done = ult.split(data, tmp_path / "parts", group="patient", label="outcome", test=0.2, validation=0.1, seed=3)
    parts = {name: rows_of(tmp_path / "parts" / name / "v.csv") for name in ("train", "validation", "test")}
    people = [{row["patient"] for row in rows} for rows in parts.values()]
    assert len(set.union(*people)) == sum(map(len, people)) == 60
    assert {name: len(rows) for name, rows in parts.items()} == dict(done.rows)
    whole = rows_of(data)
    assert Counter(map(str, whole)) == Counter(map(str, [row for rows in parts.values() for row in rows]))
    for name, share in (("test", 0.2), ("validation", 0.1)):
        assert len(parts[name]) == pytest.approx(share * len(whole), abs=5)
        died = sum(row["outcome"] == "died" for row in parts[name]) / len(parts[name])
        assert died == pytest.approx(sum(row["outcome"] == "died" for row in whole) / len(whole), abs=0.15)
    assert sum(done.units.values()) == 60


def test_the_same_seed_deals_alike_in_whatever_order_rows_are(tmp_path):
    header, lines = "k,y", [f"p{k % 40},{k % 2}" for k in range(80)]
    for name, order in (("a", lines), ("b", lines[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *order]))
        ult.split(tmp_path / f"{name}.csv", tmp_path / name, group="k", label="y", seed=1)
    people = [{row["k"] for row in rows_of(tmp_path / name / "test" / f"{name}.csv")} for name in ("a", "b")]
    assert people[0] == people[1]
    ult.split(tmp_path / "a.csv", tmp_path / "c", group="k", label="y", seed=2)
    assert {row["k"] for row in rows_of(tmp_path / "c" / "test" / "a.csv")} != people[0]


def test_rare_labels_do_not_all_go_to_one_part():
    units = {str(k): Unit(1, Counter([f"only {k}"])) for k in range(100)}
    assert Counter(dealt(units, [0.7, 0.1, 0.2], 0).values()) == {0: 70, 1: 10, 2: 20}


def test_lines_are_copied_byte_for_byte(tmp_path):
    text = 'sep=;\r\nid;note\r\n1;"a;""b""\r\nc"\r\n\r\n2;é\r\n3;\r\n4;x'
    (tmp_path / "n.csv").write_bytes(text.encode())
    ult.split(tmp_path / "n.csv", tmp_path / "p", test=0.5, reading={"separator": ";"}, rows_alone=True)
    both = [(tmp_path / "p" / part / "n.csv").read_bytes() for part in ("train", "test")]
    head = b"sep=;\r\nid;note\r\n"
    assert all(one.startswith(head) for one in both)
    found = b"".join(one.removeprefix(head) for one in both).decode()
    assert sorted(found) == sorted(text.removeprefix(head.decode()).replace("\r\n\r\n", "\r\n") + "\n")
    assert '1;"a;""b""\r\nc"\r\n' in found


def test_jsonl_txt_and_parquet_are_split_too_and_files_alike(tmp_path):
    people = [f"p{k % 20}" for k in range(60)]
    lines = [json.dumps({"who": one, "x": [k]}) + "\n" for k, one in enumerate(people)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    table = pa.table({"who": people, "v": pa.array(np.arange(60) / 7)}).replace_schema_metadata({"made": "by hand"})
    pq.write_table(table, tmp_path / "b.parquet")
    ult.split([tmp_path / "a.jsonl", tmp_path / "b.parquet"], tmp_path / "p", group="who")
    for part in ("train", "test"):
        found = [json.loads(line) for line in (tmp_path / "p" / part / "a.jsonl").read_text().splitlines()]
        same = pq.read_table(tmp_path / "p" / part / "b.parquet")
        assert {line["who"] for line in found} == set(same["who"].to_pylist())
        assert same.schema.metadata[b"made"] == b"by hand"
    (tmp_path / "c.csv").write_text("Id,age\n" + "".join(f"p{k},{k}\n" for k in range(20)))
    ult.split([tmp_path / "c.csv", f"a:who={tmp_path / 'a.jsonl'}"], tmp_path / "r", group="Id")
    tested = {row["Id"] for row in rows_of(tmp_path / "r" / "test" / "c.csv")}
    lines = (tmp_path / "r" / "test" / "a.jsonl").read_text().splitlines()
    assert {json.loads(line)["who"] for line in lines} == tested
    with pytest.raises(InvalidConfig, match="says whose its rows are; expected the column of the other files too"):
        ult.split([tmp_path / "c.csv", f"a:who={tmp_path / 'a.jsonl'}"], tmp_path / "s")
    (tmp_path / "t.txt").write_text("".join(f"line {k}\n" for k in range(10)))
    assert dict(ult.split(tmp_path / "t.txt", tmp_path / "q").rows) == {"train": 8, "test": 2}


def test_labels_are_those_of_the_first_of_several_files(tmp_path):
    (tmp_path / "a.csv").write_text("y\n" + "b\na\nc\na\n" * 25)
    (tmp_path / "b.jsonl").write_text('{"x": 1}\n\n \r\n' * 49 + '{"x": 2}')
    done = ult.split([tmp_path / "a.csv", tmp_path / "b.jsonl"], tmp_path / "p", label="y")
    assert done.labels == {"train": {"a": 40, "b": 20, "c": 20}, "test": {"a": 10, "b": 5, "c": 5}}
    held = [(tmp_path / "p" / part / "b.jsonl").read_bytes() for part in ("train", "test")]
    assert sorted(b"".join(held).splitlines()) == [b'{"x": 1}'] * 49 + [b'{"x": 2}']
    assert [one.count(b"\n") for one in held] == [40, 10]


@pytest.mark.parametrize("spelled", [None, "a", "abcdefgh"])
def test_rows_alone_are_dealt_on_the_disk_as_in_memory(tmp_path, monkeypatch, spelled):
    """Windows of 7 rows, written 40 bytes at a time: the parts of all rows are those of one sort of all, by both."""
    monkeypatch.setattr(singly, "ROWS", 7)
    monkeypatch.setattr(singly, "_STEP", 3)
    monkeypatch.setattr(buckets, "_WINDOW", 40)
    sizes, seed, rng = [200, 0, 7, 30], 5, np.random.default_rng(0)
    cells = [[*rng.choice(list(spelled), 20)] for _ in range(10)] if spelled else None
    first = [one for some in cells or () for one in some] or [""] * 200
    names = [f"{file} {i}" for file, size in enumerate(sizes) for i in range(size)]
    units = {name: Unit(1, Counter([first[k] if k < 200 else ""])) for k, name in enumerate(names)}
    wanted = dealt(units, [0.6, 0.1, 0.3], seed)
    with ExitStack() as stack:
        stack.enter_context(Claim(tmp_path / "out"))
        labels = stack.enter_context(singly.Labels(tmp_path / "out", cells, 37)) if cells else None
        found = stack.enter_context(singly.Singly(tmp_path / "out", sizes, [0.6, 0.1, 0.3], seed, labels))
        for file, size in enumerate(sizes):
            lane = Lane(found.of(file))
            parts = [part for n in (1, 0, 9, 500) for part in lane.take(n).tolist()]
            assert parts == [wanted[f"{file} {i}"] for i in range(size)]
            assert found.rows[file].tolist() == [parts.count(part) for part in range(3)]
        if labels:
            of = Counter((first[i], wanted[f"0 {i}"]) for i in range(200))
            assert found.labelled.tolist() == [[of[one, part] for part in range(3)] for one in labels.spelled]
    assert not (tmp_path / ".out.partial").exists()


def test_a_leak_is_refused_unless_it_is_asked_for(tmp_path, capsys):
    data = visits(tmp_path / "v.csv")
    with pytest.raises(InvalidConfig, match="have 60 values in 'patient': rows of one would be in several parts"):
        ult.split(data, tmp_path / "p")
    app(["split", str(data), "-o", str(tmp_path / "p"), "--rows-alone", "--label", "outcome"], standalone_mode=False)
    assert "train" in capsys.readouterr().out
    with pytest.raises(OutputExists):
        ult.split(data, tmp_path / "p", group="patient")
    ult.split(data, tmp_path / "p", group="patient", force=True)
    (tmp_path / "p" / "train" / "mine.doc").touch()
    with pytest.raises(OutputExists, match=r"mine\.doc, which is no part of a split"):
        ult.split(data, tmp_path / "p", group="patient", force=True)


def test_what_cannot_be_split_is_refused_before_anything_is_written(tmp_path):
    data, few = visits(tmp_path / "v.csv"), tmp_path / "few.csv"
    few.write_text("k,y\na,1\na,2\n")
    (tmp_path / "no.csv").write_text("k,y\na,1\n,2\nb,1\n")
    (tmp_path / "x.xlsx").write_text("k")
    for inputs, options, error, said in (
        (data, {"group": "nobody"}, MissingColumn, "has no column 'nobody'"),
        (data, {"test": 0.7, "validation": 0.4, "group": "patient"}, InvalidConfig, "expected shares above 0"),
        (few, {"group": "k"}, InvalidConfig, "of 1 value of 'k' nothing is left for "),
        (tmp_path / "no.csv", {"group": "k"}, SourceError, "row 2 has nothing in 'k'"),
        (tmp_path / "x.xlsx", {}, SourceError, "cannot be split; expected"),
        ([data, tmp_path / "d" / "v.csv"], {"group": "patient"}, InvalidConfig, "two inputs are called v.csv"),
    ):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / "v.csv").write_bytes(data.read_bytes())
        with pytest.raises(error, match=said):
            ult.split(inputs, tmp_path / "p", **options)
        assert not (tmp_path / "p").exists()

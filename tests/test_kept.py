"""Columns in the clear: what they look like, and how many records they single out. All people are invented."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from toy import write
from ult.audit.release import kept
from ult.audit.release.across import describe_across
from ult.audit.release.facts import across, shards_facts
from ult.audit.release.kept import CAP, describe_kept
from ult.data.columns import looks
from ult.public.shards import Shards

GIVEN = ("Maria", "Anna", "Hans", "Fatima", "Luis", "Wei", "Olga", "Peter")
FAMILY = ("Schmidt", "Okafor", "Rossi", "Nguyen", "Kowalski", "Brandt", "Silva", "Yilmaz", "Ahlberg", "Moreau")
CLASSES = ("cardiovascular diseases", "Nervous System", "neoplasms", "digestive system diseases", "other")


def patients(rows=300, seed=1):
    """Made-up people, a dictionary of columns."""
    rng = np.random.default_rng(seed)
    born = [date(1930, 1, 1) + timedelta(days=int(rng.integers(30_000))) for _ in range(rows)]
    return {
        "who": [f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}" for _ in range(rows)],
        "mrn": [int(rng.integers(10**7)) for _ in range(rows)],
        "born": born,
        "year": [one.year for one in born],
        "postcode": [f"{rng.integers(1, 60):05}" for _ in range(rows)],
        "sex": [str(rng.choice(["M", "F"])) for _ in range(rows)],
        "label": [str(rng.choice(CLASSES)) for _ in range(rows)],
    }


def told(folder, columns, parts=1):
    rows = len(next(iter(columns.values())))
    path = write(folder / "shards", [np.full(3, 40, np.uint32)] * rows, kept=columns)
    return {one.title: one for one in describe_kept(Shards(path))}


def test_a_label_of_five_classes_is_told_and_no_more(tmp_path):
    found = told(tmp_path, {"label": patients()["label"]})["label"]
    assert (found.level, found.distinct, found.alone, found.looks) == ("told", 5, 0, "")
    assert found.smallest >= 40
    assert found.exact


def test_names_numbers_and_dates_of_birth_are_red(tmp_path):
    found = told(tmp_path, patients())
    levels = {name: one.level for name, one in found.items()}
    assert [levels[name] for name in ("who", "mrn", "born", "sex", "label")] == ["red", "red", "red", "told", "told"]
    assert (found["who"].looks, found["mrn"].looks, found["born"].looks) == ("name", "number", "birth")
    assert levels["all 7 columns together"] == "red"
    assert found["who"].examples[0][1:4] == "███"


@pytest.mark.parametrize(
    ("name", "values", "looks_like"),
    [
        ("x7", ["maria@clinic.example", *["none"] * 60], "mail"),
        ("x7", ["123-45-6789", *["none"] * 60], "number"),
        ("x7", ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"] * 30, "number"),
        ("x7", [f"+49 151 {n:07}" for n in range(5)] * 20, "number"),
        ("x7", [f"MRN-{n:07}" for n in range(40)] * 5, "number"),
        ("x7", [f"{n} Elm Street" for n in range(1, 9)] * 20, "address"),
        ("x7", ["Lindenstraße 4", "Am Markt 2"] * 40, "address"),
        ("x7", ["Dr. Rossi", "Herr Brandt"] * 40, "name"),
        ("x7", [f"{given} X" for given in GIVEN] * 40, "name"),
        ("Patientenname", ["A", "B", "C"] * 30, "name"),
        ("last_name", ["A", "B", "C"] * 30, "name"),
        ("prénom", ["A", "B", "C"] * 30, "name"),
        ("患者姓名", ["A", "B", "C"] * 30, "name"),
        ("фамилия", ["A", "B", "C"] * 30, "name"),
        ("الاسم", ["A", "B", "C"] * 30, "name"),
        ("PatientID", [1, 2, 3] * 30, "number"),
        ("pid", [1, 2, 3] * 30, "number"),
        ("Telefonnummer", ["A", "B", "C"] * 30, "number"),
        ("dateOfBirth", ["A", "B", "C"] * 30, "birth"),
        ("home address", ["A", "B", "C"] * 30, "address"),
        ("x7", [hashlib.sha256(bytes([n])).hexdigest() for n in range(30)] * 10, "number"),
        ("pubmed_id", [24359102 + n for n in range(60)] * 5, "number"),
    ],
)
def test_what_names_a_person_is_red_however_often_it_occurs(tmp_path, name, values, looks_like):
    found = told(tmp_path, {name: values})[name]
    assert (found.level, found.looks) == ("red", looks_like)


@pytest.mark.parametrize(
    ("name", "values", "level"),
    [
        ("class_name", ["Heart Failure", "Lung Cancer", "Sickle Cell Anaemia"] * 30, "told"),
        ("gene_name", ["TP53", "BRCA1", "EGFR"] * 30, "told"),
        ("patient_age", [30, 40, 50] * 30, "told"),
        ("smoking_history", ["never", "current", "former"] * 30, "told"),
        ("time_in_hospital", [1, 2, 3] * 30, "told"),
        ("num_lab_procedures", list(range(60)) * 8, "told"),
        ("body region", ["arm", "leg"] * 30, "told"),
        ("birth_weight", [3000, 3100, 3200] * 30, "told"),
        ("sodium", [140.1, 141.2, 142.3] * 30, "told"),
        ("diagnosis", ["I10", "E11.9", "J45.0", "C34"] * 30, "told"),
        ("drug", ["0002-8215-01", "0003-0293-05"] * 30, "told"),
        ("has_phone", [True, False] * 30, "amber"),
        ("visit_date", ["2020-01-02", "2020-01-03"] * 30, "amber"),
        ("zip", ["10115", "10117"] * 30, "amber"),
        ("note", ["no acute findings in either of the lungs"] * 30, "amber"),
        ("id", [1, 2, 3] * 30, "amber"),
        ("x7", [20_000 + n for n in range(30)] * 40, "amber"),
        ("rare", ["a"] * 50 + ["b"] * 4, "amber"),
    ],
)
def test_what_many_share_is_no_red(tmp_path, name, values, level):
    assert told(tmp_path, {name: values})[name].level == level


def test_values_that_few_share_are_red_whatever_they_are(tmp_path):
    rng = np.random.default_rng(3)
    assert told(tmp_path, {"score": rng.normal(size=100)})["score"].level == "red"
    twice = told(tmp_path / "twice", {"x": [f"q{n}" for n in range(50)] * 2})["x"]
    assert (twice.level, twice.alone, twice.few, twice.smallest) == ("red", 0, 100, 2)


def test_columns_that_are_harmless_alone_single_out_together(tmp_path):
    rng = np.random.default_rng(2)
    rows = 600
    columns: dict[str, list[Any]] = {
        "year": [1930 + int(rng.integers(60)) for _ in range(rows)],
        "region": [f"r{rng.integers(20)}" for _ in range(rows)],
        "sex": [str(rng.choice(["M", "F"])) for _ in range(rows)],
        "surname": [str(rng.choice(FAMILY)) for _ in range(rows)],
    }
    found = told(tmp_path, columns)
    assert found["sex"].level == "told"
    rest = found["the 3 columns that are not red alone, together"]
    assert rest.level == "red"
    pair = found["year and region together"]
    sizes = Counter(zip(columns["year"], columns["region"], strict=True)).values()
    assert (pair.distinct, pair.alone) == (len(sizes), list(sizes).count(1))


def test_nested_values_look_like_what_they_hold(tmp_path):
    names = ["Maria Schmidt", "Hans Brandt", "Olga Moreau"] * 30
    many = {
        "x1": [[name] for name in names],
        "x2": [{"v": {"w": name}} for name in names],
        "x3": [{"patient_name": {"v": k % 3}} for k in range(90)],
        "x4": [[k % 3, 1] for k in range(90)],
    }
    found = told(tmp_path, many)
    assert [(found[name].looks, found[name].level) for name in many] == [
        ("name", "red"), ("name", "red"), ("name", "red"), ("", "told"),
    ]  # fmt: skip


def test_columns_of_several_shards_single_out_together(tmp_path):
    """Whoever holds both puts them side by side, by ids or by their order."""
    rng = np.random.default_rng(2)
    rows = 600
    year, region = rng.integers(1930, 1960, rows), [f"r{k}" for k in rng.integers(20, size=rows)]
    records = [rng.integers(40, 64, 8).astype(np.uint32) for _ in range(rows)]
    sizes = Counter(zip(year.tolist(), region, strict=True)).values()
    order = rng.permutation(rows)
    years = Shards(write(tmp_path / "years", records, kept={"year": year}))
    again = Shards(write(tmp_path / "again", records, kept={"year": year}))
    regions = Shards(
        write(tmp_path / "regions", [records[k] for k in order], kept={"region": [region[k] for k in order]})
    )
    longer = [np.append(one, 40).astype(np.uint32) for one in records]  # as another table writes them
    in_order = Shards(write(tmp_path / "in-order", longer, kept={"region": region}))
    fewer = Shards(write(tmp_path / "fewer", longer[:500], kept={"region": region[:500]}))
    for other in (regions, in_order):
        assert {one.level for shards in (years, other) for one in describe_kept(shards)} == {"told"}
        (found,) = describe_across([years, other])
        assert (found.level, found.rows, found.distinct) == ("red", rows, len(sizes))
        assert found.alone == list(sizes).count(1)
        assert f"year of years and of region of {other.path.name}" in found.title
    assert describe_across([years, again]) == describe_across([years, fewer]) == describe_across([years]) == []
    three = describe_across([years, again, regions])
    assert [one.level for one in three] == ["red", "red", "red"]
    facts = across([years, regions], [shards_facts(years), shards_facts(regions)])
    assert "red" in [one["level"] for one in facts[-1]["columns"]]


def test_what_travels_holds_no_value(tmp_path):
    columns = patients(40)
    said = json.dumps([asdict(one) for one in told(tmp_path, columns).values()], ensure_ascii=False)
    for name in ("who", "mrn", "born", "label"):
        assert not any(str(value) in said for value in columns[name])


def test_many_values_are_said_to_be_more(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "CAP", 64)
    found = told(tmp_path, {"n": list(range(2000))})["n"]
    assert not found.exact
    assert found.distinct == 64
    assert "more than 64 different values" in found.found
    assert found.alone == pytest.approx(2000, rel=0.4)
    assert CAP > 10**6 - 1


def test_any_type_is_read(tmp_path):
    columns = {
        "list": pa.array([[1, 2], [3]] * 10),
        "bytes": pa.array([b"\xff\xfe", b"x"] * 10),
        "dictionary": pa.array(["a", None] * 10).dictionary_encode(),
        "flag": pa.array([True, None] * 10),
        "nothing": pa.nulls(20),
        "nested": pa.array([{"a": 1}, None] * 10),
    }
    found = told(tmp_path, columns)
    assert {found[name].distinct for name in columns if name != "nothing"} == {2}
    assert found["nothing"].distinct == 1
    assert describe_kept(Shards(write(tmp_path / "none", [np.full(3, 40, np.uint32)]))) == ()


def test_names_of_columns_cannot_turn_a_sentence_around():
    title = kept.shown("\u202eevil\x1b[31m\n\u2066" + "x" * 99)
    assert len(title) == 60
    assert title.isprintable()
    assert kept.shown("患者の名前 שם") == "患者の名前 שם"


def test_masked_values_tell_neither_length_nor_digits():
    assert looks.masked(["Li", "Maximiliane", "0151/2345"]) == ("L███", "M███", "███/███")
    assert looks.masked(["محمد", "word " * 50])[0] == "███"
    assert looks.masked(["word " * 50])[0].endswith("…")

"""What attackers read of each field of records: by public data, without the fields, and with columns they know."""

import csv
import json
from typing import Any

import numpy as np
import pytest

import ult
from ult.audit import read_records
from ult.audit.code.cells import Form
from ult.audit.code.evidence import Coded
from ult.audit.code.fields import Truth, read_fields
from ult.audit.code.linking import linked
from ult.audit.code.people import People
from ult.audit.code.records import Records
from ult.data import open_source
from ult.demo.patients import COLUMNS, patients
from ult.errors import InvalidConfig
from ult.owner.inputs import schema_of
from ult.public.shards import Shards

WARDS = ["heart", "lung", "bone", "skin", "eye"]
WARD_SHARES = [0.4, 0.25, 0.17, 0.11, 0.07]


def visits(n, seed, noise=False):
    """Patients with an age, a sex, the day of a visit, a ward that follows the sex, a code, and a rare secret."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        sex = "fm"[int(rng.random() < 0.4)]
        ward = WARDS[int(rng.choice(5, p=WARD_SHARES if sex == "f" else WARD_SHARES[::-1]))]
        age = 20 + int(60 * rng.beta(2, 4))
        code = f"{rng.integers(10**6):06}" if noise else f"K{int(rng.geometric(0.3)):02}"
        rows.append((str(age), sex, f"2024-0{1 + int(rng.integers(9))}-{10 + int(rng.integers(15))}", ward, code))
    return rows


def write(path, rows, names="age,sex,seen,ward,code"):
    path.write_text("\n".join([names, *map(",".join, rows)]) + "\n")
    return path


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """Shards and table of 600 patients, and a public file of 900 others."""
    folder = tmp_path_factory.mktemp("clinic")
    mine, others = write(folder / "mine.csv", visits(600, 1)), write(folder / "others.csv", visits(900, 2))
    how: dict[str, Any] = {"codec": "record/columns", "vocabulary_size": 500, "encrypt": False, "workers": 1}
    fitted = ult.fit(mine, folder / "t.ult", **how)
    return ult.encode(mine, fitted, folder / "s.shards", workers=1), fitted, mine, others


@pytest.fixture(autouse=True)
def _few_known(monkeypatch):
    """One known record: attacks on whole ones have tests of their own, and cost most."""
    monkeypatch.setattr("ult.audit.code.attack.KNOWN_RECORDS", (1,))


def found(audit):
    """The attackers of an audit by name."""
    return {one["name"]: one for one in json.loads(audit.text)["fields"]["attackers"]}


def test_every_field_has_its_figures_worst_first_and_no_name_leaves(clinic, tmp_path):
    shards, table, _, others = clinic
    audit = ult.audit.audit_code(shards, reference=others, table=table, known=["age", "sex", "seen"],
                                 pairs=tmp_path / "pairs.json")  # fmt: skip
    attackers = found(audit)
    best, guessed = (
        attackers.pop(next(iter(attackers))),
        attackers["co-occurrence, form guessed"],
    )
    assert [one["beyond"] for one in best["fields"]] == sorted((one["beyond"] for one in best["fields"]), reverse=True)
    assert all(one["read_interval"][0] <= one["read"] <= one["read_interval"][1] for one in best["fields"])
    assert best["read"] > best["blind"] + 0.2
    assert guessed["read"] > guessed["blind"] + 0.2  # without any field of the table
    listed, linked = attackers["known columns"], attackers["known columns, linked"]
    assert len(linked["fields"]) == 2  # of five, three are known
    assert linked["beyond"] > 0.5
    assert listed["people"]["alone"] > 0.5
    assert listed["people"]["linked"] > 0.8 * listed["people"]["alone"]
    assert listed["people"]["linked_interval"][0] > 20 * listed["people"]["chance"]
    assert all(name not in audit.text for name in ('"ward"', '"age"', '"seen"', "heart"))
    assert "ward" in dict(audit.figures).__str__()
    pairs = json.loads((tmp_path / "pairs.json").read_text())
    assert {one["field"] for one in pairs["fields"][0]["fields"]} == {"age", "sex", "seen", "ward", "code"}
    assert pairs["pairs"][0]["truth"].startswith("age: ")


def test_equal_shares_that_nothing_depends_on_are_read_no_better_than_without_the_ids(tmp_path):
    """The control: every value as common as any other, so that statistics tell nothing; the fields alone are found."""

    def even(n, seed):
        rng = np.random.default_rng(seed)
        return [tuple(f"{name}{rng.integers(12)}" for name in "abcd") for _ in range(n)]

    mine, others = (write(tmp_path / f"{seed}.csv", even(500, seed), "a,b,c,d") for seed in (1, 2))
    fitted = ult.fit(mine, tmp_path / "t.ult", codec="record/columns", vocabulary_size=400, encrypt=False, workers=1)
    shards = ult.encode(mine, fitted, tmp_path / "s.shards", workers=1)
    attackers = found(ult.audit.audit_code(shards, reference=others, table=fitted, known=["a"]))
    assert len(attackers) == 4
    assert all(one["beyond"] < 0.35 for one in attackers.values())
    assert all(field["beyond"] < 0.6 for one in attackers.values() for field in one["fields"])
    assert attackers["known columns"]["people"]["alone"] == attackers["known columns"]["people"]["linked"] == 0


def test_people_who_are_others_are_linked_to_nobody(clinic, monkeypatch):
    """The control of the links: the same code, and a list of people whose cells were exchanged among them."""
    monkeypatch.setattr("ult.audit.code.fields.MOST", 500)  # of 600
    shards, fitted, _, others = clinic
    public = list(open_source([str(others)], modality="record", schema=schema_of(fitted.table)))
    ids = list(Shards(shards.path).ids())
    records = Records(Coded.of(ids), fitted.table, public, ["age", "sex", "seen"])
    nothing = [None] * len(records.target.ids)  # is read by public data alone
    by_id = dict(zip(records.target.ids, records.named_with_people(nothing, place=False), strict=True))
    named = [by_id[one] for one in records.held.target.ids]
    right = linked(records.held, named, records.people, records.known)
    strangers = [records.people[k] for k in np.random.default_rng(0).permutation(len(records.people))]
    wrong = linked(records.held, named, strangers, records.known)
    assert len(right) == len(wrong) == 500
    assert (right == np.arange(500)).mean() > 0.4
    assert (wrong == np.arange(500)).mean() < 0.02


def test_cells_of_one_record_are_shown_beside_the_truth(clinic):
    shards, fitted, _, others = clinic
    first, second = read_records(shards, [0, 7], reference=others, table=fitted, known="age")
    assert [one.field for one in first] == ["age", "sex", "seen", "ward", "code"]
    assert (first[0].known, first[0].right, first[0].sure) == (True, True, 1.0)
    rest = [one for one in first + second if not one.known]
    assert all(0 <= one.sure <= 1 and one.right == (one.guess == one.truth) for one in rest)
    assert sum(one.right for one in rest) >= 4
    with pytest.raises(InvalidConfig, match="record 600"):
        read_records(shards, 600, reference=others, table=fitted)


def test_rows_are_compared_where_they_begin(tmp_path):
    """Of a patient with several rows, each cell is beside that of its own row, also if another row was misread."""
    rows = [(f"p{k // 3}", str(30 + k // 3), "KN"[k % 2], f"{3 + k % 3}.5") for k in range(600)]
    mine = write(tmp_path / "mine.csv", rows, "pid,age,lab,value")
    how: dict[str, Any] = {"codec": "record/columns", "vocabulary_size": 600, "encrypt": False, "workers": 1}
    fitted = ult.fit(mine, tmp_path / "t.ult", unit="pid", **how)
    shards = ult.encode(mine, fitted, tmp_path / "s.shards", workers=1)
    audit = ult.audit.audit_code(shards, reference=mine, table=fitted)
    assert any("worst case" in note for note in audit.notes)  # the reference is the encoded file
    assert json.loads(audit.text)["reference"]["shared"] == 1.0
    truth = Truth(Coded.of(list(Shards(shards.path).ids())), fitted.table, [])
    form = Form(fitted.table.codec)
    every = read_fields(truth, truth.phrases, form)
    assert {form.name(one.leaf)[1]: (one.cells, one.read) for one in every} == {
        "age": (200, 1.0), "lab": (600, 1.0), "value": (600, 1.0)
    }  # fmt: skip
    k = next(k for k, one in enumerate(truth.phrases) if one and b"N" in one)
    part = {
        form.name(one.leaf)[1]: one
        for one in read_fields(truth, [*truth.phrases[:k], None, *truth.phrases[k + 1 :]], form)
    }
    assert part["age"].read > 0.9
    assert 0 < part["lab"].read < 1


def test_what_cannot_be_known_is_refused(clinic):
    shards, fitted, _, others = clinic
    with pytest.raises(InvalidConfig, match=r"'weight'.*age, sex, seen"):
        ult.audit.audit_code(shards, reference=others, table=fitted, known="weight")
    with pytest.raises(InvalidConfig, match="every field is known"):
        ult.audit.audit_code(shards, reference=others, table=fitted, known=["age", "sex", "seen", "ward", "code"])
    with pytest.raises(InvalidConfig, match="expected both"):
        ult.audit.audit_code(shards, reference=others, known="age")


def test_people_who_were_linked_help_to_link_others(tmp_path):
    """Patients of several visits whose sex, age and days are known: what the first attack links puts the list in order.

    On the way it links most of them; a list in no order, attacked once, links under four fifths.
    """
    mine, others = (tmp_path / f"{hospital}.csv" for hospital in ("one", "other"))
    for path in (mine, others):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *patients(path.stem, 300, 0)])
    how: dict[str, Any] = {"codec": "record/columns", "vocabulary_size": 1024, "encrypt": False, "workers": 1}
    table = ult.fit(mine, tmp_path / "t.ult", unit="patient", **how).table
    records, public = (
        list(open_source([str(path)], modality="record", schema=schema_of(table))) for path in (mine, others)
    )
    attacked = Records(Coded.of(table.encode_batch(records)), table, public, ["sex", "age", "admitted"])
    first, *later = People(attacked.held, table, attacked.near, attacked.people).attempts(place=False)
    right = [float((one.links == np.arange(300)).mean()) for one in (first, *later)]
    assert right[0] < 0.8
    assert max(right) > 0.9

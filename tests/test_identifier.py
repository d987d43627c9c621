"""Columns that look like they say who somebody is are kept in the clear only if their owner says so twice."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.errors import InvalidConfig, SourceError

N = 40
TEXTS = [f"the patient number {n} has no fever" for n in range(N)]
KEPT = {
    "mail": [f"p{n}@example.org" for n in range(N)],
    "phone": [f"+49 30 1234{n:03d}" for n in range(N)],
    "serial": [str(7 * n) for n in range(N)],
    "login": [f"user{n}" for n in range(N)],
    "dob": [f"19{n + 10}-01-02" for n in range(N)],
    "name": ["Bauer", "Doe", "Müller", "Roe", "Weber"] * (N // 5),  # a few people, each with several rows
    "surname": ["Doe", "Roe", "Poe", "Moe"] * (N // 4),
}
HARMLESS = {
    "ward name": ["North", "South", "East", "West", "Children"] * (N // 5),
    "label": ["a", "b"] * (N // 2),
    "age": [str(20 + n % 30) for n in range(N)],
    "weight": [f"{n}.5" for n in range(N)],
    "visit": [f"2024-01-{1 + n % 28:02d}" for n in range(N)],
}


@pytest.fixture
def notes(tmp_path):
    columns = {"text": TEXTS, **KEPT, **HARMLESS}
    path = tmp_path / "notes.csv"
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_keeping_an_identifier_is_refused_without_saying_so(notes, tmp_path):
    options = {"column": "text", "min_records": 1, "vocabulary_size": 320, "encrypt": False, "workers": 1}
    fitted = ult.fit(notes, tmp_path / "t.ult", keep=list(HARMLESS), **options)
    for name in KEPT:
        with pytest.raises(SourceError, match=f"'{name}' is kept in the clear and looks like an identifier") as caught:
            ult.encode(notes, fitted.table, tmp_path / "s", column="text", keep=[name], workers=1)
        assert caught.value.hint == f"leave out --keep {name}"  # no hint leads anyone to publish it
        with pytest.raises(SourceError, match=f"'{name}' is kept"):
            ult.fit(notes, tmp_path / "u.ult", keep=["label", name], **options)
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "u.ult").exists()
    kept = ["label", *KEPT]
    ult.encode(notes, fitted.table, tmp_path / "s", column="text", keep=kept, keep_identifier=True, workers=1)
    assert ult.Shards(tmp_path / "s").manifest.kept == tuple(kept)


def test_names_inside_a_nested_column_count_in_every_modality(tmp_path):
    people = pa.array([{"ssn": str(n), "x": 1} for n in range(N)])
    curves = pa.array([np.arange(4.0) + n for n in range(N)])
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"person": people, "curve": curves}), path)
    options = {"codec": "series/mulaw", "column": "curve", "encrypt": False, "workers": 1}
    with pytest.raises(SourceError, match="'person' is kept in the clear"):
        ult.fit(path, tmp_path / "t.ult", keep=["person"], **options)


def test_options_of_records_of_fields_are_refused_by_other_codecs(notes, tmp_path):
    for option in ({"drop": ["mail"]}, {"unit": "mail"}, {"encode_identifier": ["mail"]}, {"forms": {"age": "number"}}):
        with pytest.raises(InvalidConfig, match=f"{next(iter(option))} is for records of fields"):
            ult.fit(notes, tmp_path / "t.ult", column="text", encrypt=False, **option)
    with pytest.raises(InvalidConfig, match="2 columns are given"):
        ult.fit(notes, tmp_path / "t.ult", column=["text", "mail"], encrypt=False)

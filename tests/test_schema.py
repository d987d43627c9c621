"""A schema comes back as it was written, and a file that is no schema is refused with one line."""

import json

import pytest

from ult.codecs.record.field import Field
from ult.data.columns.schema import Schema
from ult.errors import FormatError, InvalidConfig, MissingSource, NewerFormat

AGE = Field(name="age", kind="number", edges=("40", "60"), missing=("?",), absent="?")
SEX, DAY = Field(name="sex", kind="category", absent="f"), Field(name="day", kind="date", forms=("d/m/Y",))
DOMAINS = {"sex": ("f", "m"), "age": ("0..120", "?")}
MORE = {"identifiers": ("age",), "asked": {"age": ("a",)}, "domains": DOMAINS}
FLAT = Schema(fields=(AGE, SEX), dropped=("ssn",), columns=("sex", "age"), **MORE)
GROUPED = Schema(fields=(SEX, Field(name="rows", kind="rows", fields=(DAY, AGE))), unit="patient")


@pytest.mark.parametrize("schema", [FLAT, GROUPED], ids=["flat", "grouped"])
def test_a_schema_comes_back_for_its_owner_alone(schema, tmp_path):
    schema.write(tmp_path / "schema.json")
    assert Schema.read(tmp_path / "schema.json") == schema
    assert (tmp_path / "schema.json").stat().st_mode & 0o777 == 0o600
    first = (tmp_path / "schema.json").read_bytes()
    Schema.read(tmp_path / "schema.json").write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == first


def test_columns_are_those_of_the_fields_unless_said():
    assert GROUPED.columns == ("sex", "day", "age")
    assert FLAT.columns == ("sex", "age")


def test_a_column_can_be_dropped():
    assert FLAT.without(["age"]) == Schema(fields=(SEX,), dropped=("ssn", "age"), domains={"sex": ("f", "m")})
    assert GROUPED.without(["day", "sex"]).columns == ("age",)
    with pytest.raises(InvalidConfig, match="every field is dropped"):
        FLAT.without(["age", "sex"])
    with pytest.raises(InvalidConfig, match="every field is dropped"):
        GROUPED.without(["age", "day"])
    by = Field(name="value", kind="number", by="sex", edges_by={"f": ("1",)})
    assert Schema(fields=(SEX, by)).without(["sex"]).fields == (Field(name="value", kind="number"),)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"format": "ult-schema/2"}, NewerFormat, "ult-schema/2"),
        ({"format": "ult-table/1"}, FormatError, "is not ult-schema/1"),
        ({"fields": []}, FormatError, "no fields"),
        ({"fields": {}}, FormatError, "not a list"),
        ({"fields": [{"name": "a", "kind": "word"}]}, FormatError, "kind is 'word'"),
        ({"fields": [{"name": "a", "kind": "text"}] * 2}, FormatError, "two fields are called 'a'"),
        ({"dropped": "ssn"}, FormatError, "dropped is no list"),
        ({"dropped": ["age"]}, FormatError, "both a field and dropped"),
        ({"unit": "patient"}, FormatError, "a unit and"),
        ({"columns": ["age"]}, FormatError, "each once"),
        ({"surprise": 1}, FormatError, "no 'surprise'"),
        ({"asked": []}, FormatError, "asked is not"),
        ({"domains": {"sex": "f"}}, FormatError, "domains is no list"),
        ({"domains": {"ssn": ["1"]}}, FormatError, "cells of 'ssn' are declared"),
    ],
)
def test_a_file_that_is_no_schema_is_refused_by_name(change, error, match, tmp_path):
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(FLAT.document() | change))
    with pytest.raises(error, match=match) as caught:
        Schema.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b'{"format": ', b"[" * 100_000, b"[1]"])
def test_damage_is_refused(data, tmp_path):
    path = tmp_path / "schema.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"schema\.json"):
        Schema.read(path)
    with pytest.raises(MissingSource, match="nowhere"):
        Schema.read(tmp_path / "nowhere.json")

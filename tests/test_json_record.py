"""Records of fields from `.jsonl`: every value is a cell, and comes back as it was."""

import pytest

import ult
from ult.data import open_source
from ult.data.columns.describe import describe
from ult.data.composed.fields import texts
from ult.data.composed.json_record import JsonRecordRows
from ult.errors import SourceError


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def records(path):
    schema = describe(path).schema
    assert schema is not None
    source = open_source([path], modality="record", schema=schema)
    return list(source), {one.name: one.type for one in schema.fields}, source.told


def test_values_of_json_are_cells(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        '{"n": 9007199254740993, "x": 5.5, "b": true, "s": "5.50", "m": 7, "e": null}',
        '{"n": -3, "x": 0.1, "b": null, "s": null, "m": 5.00, "e": null}',
    )
    found, types, told = records(path)
    assert found == [("9007199254740993", "5.5", "true", "5.50", "7", None), ("-3", "0.1", None, None, "5.00", None)]
    assert types == {"n": "int64", "x": "double", "b": "bool", "s": "string", "m": "string", "e": "string"}
    assert told == [f"{path}: numbers of 'm' come back as texts, for they have several forms"]


def test_lines_come_back_as_they_were(tmp_path):
    lines = [f'{{"k": {k}, "x": {k}.5, "b": {"true" if k % 2 else "null"}, "s": "a{k}"}}' for k in range(9)]
    path = write(tmp_path / "a.jsonl", *lines)
    ult.fit(path, tmp_path / "t.ult", codec="record/columns", encrypt=False, keep=["k"], keep_identifier=True)
    ult.encode(path, tmp_path / "t.ult", tmp_path / "s.shards", keep=["k"], keep_identifier=True)
    ult.decode(tmp_path / "s.shards", tmp_path / "t.ult", tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"a": "x", "b": 1, "c": 2}', "line 2 has fields that the first line has not: 'c'"),
        ('{"a": "x"}', "line 2 has no field 'b'"),
        ('{"a": 5, "b": 1}', "line 2: 'a' is of another type than above"),
        ('{"a": "x", "b": true}', "line 2: 'b' is of another type than above"),
        ('{"a": "x", "b": 1', "line 2 is not JSON"),
        ('{"a": "x", "b": NaN}', "line 2: 'b' is of another type than above"),
    ],
)
def test_lines_that_differ_are_refused_by_number(tmp_path, line, what):
    path = write(tmp_path / "a.jsonl", '{"a": "x", "b": 1}', line)
    with pytest.raises(SourceError, match=rf"a\.jsonl, {what}"):
        describe(path)


def test_objects_in_objects_are_flat_and_lists_of_strings_are_cells(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "a", "patient": {"age": 5, "lab": {"na": 1.5}}, "codes": ["x", null]}\n'
        '{"codes": [], "patient": {"lab": {"na": null}, "age": 6}, "id": "b"}\n'
    )
    rows = JsonRecordRows(str(path), "record")
    assert {name: str(kind) for name, kind in rows.types.items()} == {
        "id": "string", "codes": "list<item: string>", "patient.age": "int64", "patient.lab.na": "double"
    }  # fmt: skip
    (chunk,) = rows.chunks(list(rows.types))
    assert [texts(chunk, name) for name in rows.types] == [
        ["a", "b"], ['["x",null]', "[]"], ["5", "6"], ["1.5", None]
    ]  # fmt: skip
    assert "come back flat" in rows.told[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": {"b": 1}, "a.b": 2}', r"line 2 has 'a\.b' twice"),
        ('{"a": {}}', r"line 2 has (no field|fields that the first line has not: 'a')"),
        ('{"a": {"b": 1, "c": 1}}', r"line 2 has fields that the first line has not: 'a\.c'"),
        ('{"a": {"b": [1]}}', r"'a\.b' is of another type than above"),
    ],
)
def test_what_cannot_be_flat_is_refused_by_line(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": {"b": 1}}\n' + line + "\n")
    with pytest.raises(SourceError, match=message):
        JsonRecordRows(str(path), "record")


def test_lists_of_strings_come_back_as_lists(tmp_path):
    lines = ['{"sex": "f", "codes": ["x", null]}', '{"sex": "m", "codes": []}', '{"sex": "f", "codes": null}']
    path = write(tmp_path / "a.jsonl", *lines * 7)
    fitted = ult.fit(path, tmp_path / "t", codec="record/columns", encrypt=False, vocabulary_size=512)
    encoded = ult.encode(path, fitted.table, tmp_path / "s")
    ult.decode(encoded.path, fitted.table, tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_text() == path.read_text()

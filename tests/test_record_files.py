"""A table of records of fields: fitted on a file, encoded, and decoded as the file came. All people are invented."""

import csv
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.__main__ import main
from ult.data.columns.schema import Schema
from ult.data.tables.tabular import CsvRows
from ult.errors import InvalidConfig, SourceError

N = 60
LINES = ["patient,age,sex,day,note,outcome,ssn"] + [
    f'p{n // 3},{20 + n % 50}.0,{"fm"[n // 3 % 2]},{1 + n % 28:02d}.03.2024,"the note, number {n % 7} of ""all"" six",'
    f"{'?' if n % 9 == 0 else n % 2},123-45-{n:04d}"
    for n in range(N)
]


@pytest.fixture
def patients(tmp_path):
    path = tmp_path / "patients.csv"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def fit(inputs, out, **options):
    """Fit a small table of records and store it in the clear."""
    given = {"codec": "record/columns", "vocabulary_size": 600, "min_records": 1, "encrypt": False, "workers": 1}
    return ult.fit(inputs, out, **given | options)


def back(tmp_path, inputs, fitted, suffix, **options):
    """Encode and decode `inputs`; return the path of what came back."""
    shards, out = tmp_path / "s.shards", tmp_path / f"back{suffix}"
    ult.encode(inputs, fitted.table, shards, workers=1, force=True, **options)
    ult.decode(shards, fitted.table, out, force=True)
    return out


def rows(path):
    """Return the cells of a .csv by column."""
    read = CsvRows(str(path))
    chunks = list(read.chunks(list(read.types)))
    return {name: [cell for chunk in chunks for cell in chunk.columns[name]] for name in read.types}


def test_a_csv_comes_back_byte_for_byte(tmp_path, patients):
    fitted = fit(patients, tmp_path / "t.ult", encode_identifier=["ssn", "patient"])
    assert back(tmp_path, patients, fitted, ".csv").read_bytes() == patients.read_bytes()


def test_no_manifest_holds_a_column_name_or_a_value(tmp_path, patients):
    fitted = fit(patients, tmp_path / "t.ult", drop=["ssn"], encode_identifier=["patient"])
    back(tmp_path, patients, fitted, ".csv")
    told = b"".join(path.read_bytes() for path in (tmp_path / "s.shards").rglob("*") if path.is_file())
    assert not any(name.encode() in told for name in ("outcome", "ssn", "patient"))


def test_rows_of_a_unit_are_one_record_and_come_back_as_rows(tmp_path, patients):
    fitted = fit(patients, tmp_path / "t.ult", unit="patient", drop=["ssn"])
    assert fitted.table.records == N // 3
    found, wanted = rows(back(tmp_path, patients, fitted, ".csv")), rows(patients)
    assert list(found) == ["patient", "age", "sex", "day", "note", "outcome"]
    assert {name: found[name] for name in list(found)[1:]} == {name: wanted[name] for name in list(found)[1:]}
    assert found["patient"] == [str(1 + n // 3) for n in range(N)]


def test_types_nulls_and_arrays_come_back_through_parquet(tmp_path):
    columns = {
        "count": pa.array([None if n % 5 == 0 else 2**53 + n for n in range(N)], pa.int64()),
        "value": pa.array([n / 7 for n in range(N)], pa.float32()),
        "word": pa.array(["" if n % 3 else None for n in range(N)], pa.large_string()),
        "at": pa.array([10**6 * n for n in range(N)], pa.timestamp("us", "UTC")),
        "flag": pa.array([n % 2 == 0 for n in range(N)]),
    }
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path)
    fitted = fit(path, tmp_path / "t.ult", encode_identifier=["count"])
    assert pq.read_table(back(tmp_path, path, fitted, ".parquet")).equals(pq.read_table(path))
    line = back(tmp_path, path, fitted, ".jsonl").read_text(encoding="utf-8").splitlines()[1]
    assert line.startswith('{"count": 9007199254740993, "value": 0.1428')
    assert '"word": "", "at": "1970-01-01 00:00:01Z", "flag": false' in line
    text = back(tmp_path, path, fitted, ".csv").read_text(encoding="utf-8").splitlines()
    assert (text[1].split(",")[0], text[1].split(",")[2], text[2].split(",")[2]) == ("", "", '""')


def test_values_of_json_come_back_as_they_were(tmp_path):
    path = tmp_path / "t.jsonl"
    lines = [
        f'{{"n": {"null" if n % 7 == 0 else n}, "x": {n / 4}, "ok": {"true" if n % 3 else "false"}, "s": "{n % 5}"}}'
        for n in range(N)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fitted = fit(path, tmp_path / "t.ult", encode_identifier=["n"])
    assert back(tmp_path, path, fitted, ".jsonl").read_text(encoding="utf-8").splitlines() == lines
    table = pq.read_table(back(tmp_path, path, fitted, ".parquet"))
    assert [str(one.type) for one in table.schema] == ["int64", "double", "bool", "string"]


def test_kept_columns_come_back_beside_the_records(tmp_path, patients):
    fitted = fit(patients, tmp_path / "t.ult", drop=["ssn", "patient"], keep=["outcome"])
    found = rows(back(tmp_path, patients, fitted, ".csv", keep=["outcome"]))
    assert list(found) == ["outcome", "age", "sex", "day", "note"]
    assert found == {name: rows(patients)[name] for name in found}


def test_a_unit_without_rows_comes_back_as_a_line_of_its_own(tmp_path):
    (tmp_path / "people.csv").write_text("pid,sex\n" + "".join(f"{n},{'fm'[n % 2]}\n" for n in range(20)))
    (tmp_path / "labs.csv").write_text("pid,lab\n" + "".join(f"{n},{n % 4}\n" for n in range(0, 20, 5)))
    inputs = [tmp_path / "people.csv", f"labs={tmp_path / 'labs.csv'}"]
    fitted = fit(inputs, tmp_path / "t.ult", unit="pid", forms={"lab": "category"})
    found = rows(back(tmp_path, inputs, fitted, ".csv"))
    assert found["sex"] == ["fm"[n % 2] for n in range(20)]
    assert found["lab"] == [str(n % 4) if n % 5 == 0 else "" for n in range(20)]


def test_columns_are_those_of_the_table(tmp_path, patients):
    fitted = fit(patients, tmp_path / "t.ult", column=["age", "note"])
    assert list(rows(back(tmp_path, patients, fitted, ".csv"))) == ["age", "note"]
    more = tmp_path / "more.csv"
    more.write_text("\n".join(f"{line},{'more' if k == 0 else k}" for k, line in enumerate(LINES)) + "\n")
    with pytest.raises(SourceError, match="does not name: 'more'"):
        ult.encode(more, fitted.table, tmp_path / "m.shards", workers=1)
    assert list(rows(back(tmp_path, more, fitted, ".csv", drop=["more"]))) == ["age", "note"]
    with pytest.raises(InvalidConfig, match="'age' is a field of the table"):
        ult.encode(more, fitted.table, tmp_path / "m.shards", drop=["age"], workers=1)


def test_a_schema_file_says_the_same_as_inference(tmp_path, patients):
    ult.describe(patients, drop=["ssn"]).schema.write(tmp_path / "schema.json")
    one = fit(patients, tmp_path / "a.ult", schema=tmp_path / "schema.json", encode_identifier=["patient"])
    other = fit(patients, tmp_path / "b.ult", drop=["ssn"], encode_identifier=["patient"])
    assert one.table.fingerprint == other.table.fingerprint
    with pytest.raises(InvalidConfig, match="'patient' looks like an identifier"):
        fit(patients, tmp_path / "c.ult", schema=tmp_path / "schema.json", drop=["note"])
    with pytest.raises(InvalidConfig, match="has no unit; expected 'patient'"):
        fit(patients, tmp_path / "c.ult", schema=tmp_path / "schema.json", unit="patient")
    assert not (tmp_path / "c.ult").exists()


def test_a_series_goes_through_parquet(tmp_path):
    curves = pa.array([np.sin(np.arange(8) + n).tolist() for n in range(N)], pa.list_(pa.float64()))
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"label": ["ab"[n % 2] for n in range(N)], "curve": curves}), path)
    fitted = fit(path, tmp_path / "t.ult")
    again = pq.read_table(back(tmp_path, path, fitted, ".parquet"))
    assert again.schema.names == ["label", "curve"]
    assert np.abs(np.array(again["curve"].to_pylist()) - np.array(curves.to_pylist())).max() < 0.1


def ult_(capsys, monkeypatch, *words, status=0):
    """Run a command; return what it printed."""
    monkeypatch.setattr(sys, "argv", ["ult", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        main()
    assert int(done.value.code or 0) == status
    return capsys.readouterr()


def test_the_command_line_asks_about_identifiers_and_columns(tmp_path, patients, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = ("--codec", "record/columns", "-o", "t.ult", "--no-encryption", "--workers", 1, "--vocabulary-size", 600)
    told = ult_(capsys, monkeypatch, "fit", patients, *made, "--drop", "patient", status=1).err
    assert "'ssn' looks like an identifier" in told
    assert "--drop ssn; or --encode-identifier" in told
    assert "--keep" not in told
    told = ult_(capsys, monkeypatch, "fit", patients, *made[2:], status=1).err
    assert "--codec record/columns for records of all columns" in told
    told = ult_(capsys, monkeypatch, "fit", patients, *made[2:], "-c", "note", "-c", "age", status=1).err
    assert "--column is given 2 times" in told
    told = ult_(capsys, monkeypatch, "fit", patients, *made[2:], "-c", "note", "--drop", "age", status=1).err
    assert "--codec record/columns" in told
    assert not list(tmp_path.glob("t.ult"))
    ult_(capsys, monkeypatch, "fit", patients, *made, "--drop", "patient", "--drop", "ssn")
    ult_(capsys, monkeypatch, "encode", patients, "-t", "t.ult", "-o", "s", "--workers", 1)
    ult_(capsys, monkeypatch, "decode", "s", "-t", "t.ult", "-o", "back.csv")
    assert rows("back.csv") == {name: cells for name, cells in rows(patients).items() if name not in ("patient", "ssn")}
    assert "holds no records" in ult_(capsys, monkeypatch, "decode", "s", "-t", "t.ult", "-o", "b.txt", status=1).err


def test_under_epsilon_nothing_is_taken_from_the_records(tmp_path, patients):
    asked = {"epsilon": 8.0, "min_records": None, "drop": ["ssn", "patient"]}
    with pytest.raises(InvalidConfig, match="epsilon does not cover"):
        fit(patients, tmp_path / "t.ult", **asked)
    private, public = (ult.describe(patients, public=public).schema for public in (False, True))
    with pytest.raises(InvalidConfig, match="inferred from records"):
        fit(patients, tmp_path / "t.ult", **asked, schema=private)
    assert fit(patients, tmp_path / "t.ult", **asked, schema=public).table.privacy.epsilon == 8.0


def test_a_table_remembers_how_its_files_are_read(tmp_path, patients, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [[line[k] for k in ("age", "sex")] for line in csv.DictReader(LINES)]
    (tmp_path / "a.csv").write_text("".join(f"{age};{sex};ä\n" for age, sex in cells), encoding="cp1252")
    asked = {"separator": ";", "encoding": "cp1252", "header": False}
    fitted = fit("a.csv", tmp_path / "t.ult", reading=asked, drop=["c3"])
    encoded = ult.encode("a.csv", fitted.table, tmp_path / "s", workers=1)
    assert "--encoding cp1252 --no-header --separator ';'" in str(encoded.remarks())
    (tmp_path / "b.csv").write_text("c1,c2\n" + "".join(f"{age},{sex}\n" for age, sex in cells), encoding="utf-8")
    ult_(
        capsys, monkeypatch, "encode", "b.csv", "-t", "t.ult", "-o", "t", "--workers", 1, "--separator", ",", "--header"
    )
    assert [one.tolist() for one in ult.Shards("t").ids()] == [one.tolist() for one in encoded.shards.ids()]
    pq.write_table(pa.table({"c1": [cells[0][0]], "c2": [cells[0][1]]}), "c.parquet")
    told = ult_(capsys, monkeypatch, "encode", "c.parquet", "-t", "t.ult", "-o", "u", "--workers", 1).err
    assert "separator" not in told
    ult_(
        capsys,
        monkeypatch,
        "describe",
        "a.csv",
        "--separator",
        ";",
        "--encoding",
        "cp1252",
        "--no-header",
        "-o",
        "s.json",
    )
    assert Schema.read("s.json").reading == asked
    again = fit("a.csv", tmp_path / "u.ult", schema="s.json", drop=["c3"])
    assert again.table.fingerprint == fitted.table.fingerprint
    text = fit("a.csv", tmp_path / "v.ult", codec="text/bytes", column="c2", reading=asked)
    assert "ult encode needs --separator ';' --encoding cp1252 --no-header too" in str(text.remarks())
    with pytest.raises(InvalidConfig, match="reading has 'mark'"):
        Schema.of_roles(fitted.table.codec.fields, ("column c1", "column c2", 'reading {"mark": ";"}'))


def test_columns_of_joined_tables_are_named_as_describe_prints_them(tmp_path):
    (tmp_path / "people.csv").write_text("pid,sex\n" + "".join(f"{n},{'fm'[n % 2]}\n" for n in range(8)))
    (tmp_path / "labs.csv").write_text("pid,lab,who,sex\n" + "".join(f"{n},{n % 4},x,y\n" for n in range(8)))
    inputs = [tmp_path / "people.csv", f"labs={tmp_path / 'labs.csv'}"]
    asked = {"unit": "pid", "drop": ["labs.who"], "forms": {"labs.lab": "category"}}
    fields = ult.describe(inputs, **asked).schema.leaves
    assert [(one.name, one.kind) for one in fields][:2] == [("sex", "category"), ("lab", "category")]
    with pytest.raises(
        InvalidConfig, match=r"'labs\.sex': the table without a name has a column 'sex' too; expected the name of all"
    ):
        ult.describe(inputs, unit="pid", drop=["labs.sex"])
    assert ult.describe(inputs, unit="pid", drop=["sex", "labs.who"]).schema.columns == ("lab",)


def test_the_roles_of_columns_are_read_back():
    roles = ("unit patient", "column age", "dropped s s n")
    found = Schema.of_roles(Schema.of({"fields": [ROWS], "unit": "patient"}).fields, roles)
    assert (found.roles, found.dropped) == (roles, ("s s n",))
    with pytest.raises(InvalidConfig, match="expected unit, column or dropped"):
        Schema.of_roles(found.fields, ("age",))


ROWS = {"name": "rows", "kind": "rows", "fields": [{"name": "age", "kind": "number"}]}

"""What `ult describe` says of the columns of a table, and the schema that it infers. All people are invented."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ult.__main__ import main
from ult.codecs.record.field import Field
from ult.data.columns.bins import quantile_edges
from ult.data.columns.describe import describe
from ult.data.columns.kept import check_kept
from ult.data.columns.schema import Schema
from ult.errors import InvalidConfig, MissingColumn, SourceError
from ult.host import atomic

N = 120


def table(path, **columns):
    """Write a .csv of columns, each a list of cells, and return its path."""
    rows = [",".join(columns), *(",".join(f'"{cell}"' for cell in row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def one(tmp_path, cells, name="x", form=""):
    """Return what is described of a single column, beside one that is a category, and its field."""
    path = table(
        tmp_path / "t.csv", **{name: cells, "other": ["a", "b"] * (len(cells) // 2) + ["a"] * (len(cells) % 2)}
    )
    found = describe(path, forms={name: form} if form else {})
    return found.columns[0], next(field for field in found.schema.fields if field.name == name)


def varied(make):
    """Return N cells that are made of numbers 1 to N in a fixed disorder."""
    return [make(37 * number % N + 1) for number in range(N)]


@pytest.mark.parametrize(
    ("cells", "kind", "options"),
    [
        (varied(lambda n: f"{n / 4:.2f}"), "number", {}),
        (varied(lambda n: f"{n / 4:.1f}".replace(".", ",")), "number", {"decimal": ","}),
        (varied(lambda n: f"{n}.234,5"), "number", {"decimal": ",", "thousands": "."}),
        (varied(lambda n: f"{n},234,567"), "number", {"thousands": ","}),
        (varied(lambda n: f"{n} 234"), "number", {"thousands": " "}),
        (varied(lambda n: f"{n}.5 mg"), "number", {"after": (" mg",)}),
        (varied(lambda n: f"<{n}" if n < 20 else str(n)), "number", {"before": ("", "<")}),
        (varied(lambda n: f"{n}e-3"), "number", {"exponent": True}),
        (varied(lambda n: "?" if n < 20 else str(n)), "number", {"missing": ("?",), "absent": "?"}),
        (varied(lambda n: "0" if n < 100 else str(n)), "number", {"absent": "0"}),
        (varied(lambda n: f"0.{n:03d}"), "number", {}),
        (varied(lambda n: f"20{n % 25:02d}-02-{1 + n % 28:02d}"), "date", {}),
        (varied(lambda n: f"{1 + n % 28:02d}.02.20{n % 25:02d}"), "date", {"forms": ("d.m.Y",)}),
        (varied(lambda n: f"{1 + n % 28:02d}/02/2019 08:30"), "date", {"forms": ("d/m/Y",)}),
        (varied(lambda n: f"02/{1 + n % 28:02d}/2019"), "date", {"forms": ("m/d/Y",)}),
        (varied(lambda n: f"201902{1 + n % 28:02d}"), "date", {"forms": ("Ymd",)}),
        (varied(lambda n: "2019-02" if n % 2 else "2019-02-07"), "date", {"forms": ("Y-m-d", "Y-m")}),
        (varied(lambda n: f"{n:05d}"), "category", {}),
        (varied(lambda n: str(n % 3)), "category", {}),
        (varied(lambda n: f"V{n}"), "category", {}),
        (varied(lambda n: "|".join(["fever", "cough", "pain"][: 1 + n % 3])), "list", {}),
        (varied(lambda n: f"the patient number {n} has no fever today"), "text", {}),
        ([""] * N, "category", {"absent": ""}),
    ],
)
def test_a_column_has_a_kind_and_a_form(cells, kind, options, tmp_path):
    found, field = one(tmp_path, cells)
    assert (found.kind, field.kind, found.readings) == (kind, kind, ())
    asked = {"missing", "decimal", "thousands", "before", "after", "exponent", "forms", *options}
    said = {name: getattr(field, name) for name in asked - ({"absent"} if "absent" not in options else set())}
    default = Field(name="x", kind=kind)
    assert said == {name: options.get(name, getattr(default, name)) for name in said}
    assert bool(field.edges) == (kind == "number")


@pytest.mark.parametrize(
    ("cells", "readings", "form", "options"),
    [
        (
            varied(lambda n: f"{1 + n % 12:02d}/{1 + n % 11:02d}/2019"),
            ("d/m/Y", "m/d/Y"),
            "m/d/Y",
            {"forms": ("m/d/Y",)},
        ),
        (varied(lambda n: f"{n},234"), (".", ","), ".", {"thousands": ","}),
        (varied(lambda n: f"{n}.234"), (".", ","), ",", {"thousands": ".", "decimal": ","}),
    ],
)
def test_two_readings_are_asked_for_and_never_guessed(cells, readings, form, options, tmp_path):
    found, field = one(tmp_path, cells)
    assert (found.kind, found.readings) == ("category", readings)
    assert describe(tmp_path / "t.csv").schema.asked == {"x": readings}
    found, field = one(tmp_path, cells, form=form)
    assert found.readings == ()
    assert {name: getattr(field, name) for name in options} == options


def test_the_first_cell_in_the_way_is_named(tmp_path):
    cells = varied(str)
    cells[76] = "see note"
    found, _ = one(tmp_path, cells)
    assert (found.kind, found.why) == ("category", "1 cell is no number")
    assert found.place.endswith("t.csv, row 77")
    cells = varied(lambda n: f"2019-02-{1 + n % 28:02d}")
    cells[76] = "2019-02-30"
    found, _ = one(tmp_path, cells)
    assert (found.kind, found.why) == ("category", "it has a date that does not exist")
    assert found.place.endswith("t.csv, row 77")


def test_columns_that_look_like_identifiers_are_told(tmp_path):
    path = table(
        tmp_path / "p.csv",
        mrn=varied(str),
        ssn=varied(lambda n: f"123-45-{n % 7:04d}"),
        login=varied(lambda n: f"user{n}"),
        mail=varied(lambda n: f"p{n}@example.org"),
        row=varied(lambda n: str(10 * n)),
        age=varied(lambda n: str(n % 60)),
        weight=varied(lambda n: f"{n}.25"),
        born=varied(lambda n: f"19{n % 60 + 10}-01-02"),
        note=varied(lambda n: f"the patient number {n} has no fever today"),
    )
    found = describe(path)
    assert [one.name for one in found.columns if one.identifier] == ["mrn", "ssn", "login", "mail", "row"]
    assert "p7" not in json.dumps([one.example for one in found.columns])


def test_what_tells_of_people_beside_identifiers_is_told(tmp_path):
    ids = [f"{n:08x}-0000-4000-8000-00000000000{n % 7}" for n in range(7)]
    path = table(
        tmp_path / "p.csv",
        DRIVERS=[f"S999{37 * n % 1000:05d}" if n < 19 else "" for n in range(N)],
        FIRST=[["Ada", "Ben", "Cleo"][n % 3] + str(n % 90) for n in range(N)],
        LAT=varied(lambda n: f"42.{n:07d}"),
        lon=varied(lambda n: f"-7{n % 3}.5"),
        ZIP=varied(lambda n: f"021{n % 40:02d}"),
        BIRTHDATE=varied(lambda n: f"19{n % 60 + 10}-01-02"),
        ENCOUNTER=[ids[n % 7] for n in range(N)],
        first_visit=varied(str),
        value=varied(lambda n: f"{n}.25"),
    )
    found = {one.name: one for one in describe(path).columns}
    assert [name for name, one in found.items() if one.identifier] == ["DRIVERS", "FIRST", "LAT", "first_visit"]
    assert "differ" in found["first_visit"].identifier or "numbers" in found["first_visit"].identifier
    assert [name for name, one in found.items() if one.tells] == ["lon", "ZIP", "BIRTHDATE", "ENCOUNTER"]
    assert (found["LAT"].low, found["LAT"].high, found["LAT"].example) == ("", "", "99.9999999")


def test_long_names_of_columns_are_printed_whole_and_maiden_names_are_asked_about(tmp_path, capsys, monkeypatch):
    path = table(
        tmp_path / "p.csv",
        description_of_the_visit=varied(lambda n: "ab"[n % 2]),
        MAIDEN=varied(lambda n: ["Doe7", "Roe8", "Poe9"][n] if n < 3 else ""),
    )
    shown = ult(capsys, monkeypatch, "describe", path).out.splitlines()
    assert shown[1] == "description_of_the_visit"
    assert shown[2].split()[:1] == ["category"]
    assert [one.name for one in describe(path).columns if one.identifier] == ["MAIDEN"]


def test_sodium_among_words_is_not_missing_and_among_numbers_it_is(tmp_path):
    words, _ = one(tmp_path, varied(lambda n: ["K", "Na", "Cl", "NA"][n % 4]))
    assert (words.kind, words.missing, words.spelled, words.distinct) == ("category", N // 4, ("NA",), 3)
    numbers, field = one(tmp_path, varied(lambda n: "Na" if n % 4 == 1 else f"{n}.5"))
    assert (numbers.kind, numbers.missing, field.missing) == ("number", N // 4, ("Na",))


def test_names_with_a_comma_are_asked_about_though_they_look_like_lists_and_repeat(tmp_path):
    people = [
        f"{last}, {first}"
        for last in ("Doe", "Roe", "O'Neil", "Poe")
        for first in ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn")
    ]
    path = table(
        tmp_path / "p.csv",
        Name=[people[n % 24] for n in range(N)],
        geb=varied(lambda n: f"{n % 28 + 1:02d}.01.19{n % 60 + 10}"),
        airport_name=[people[n % 24] for n in range(N)],
        scan=varied(lambda n: f"scans/{n}.PNG"),
        ecg=varied(lambda n: f"ecg/{n}.edf" if n % 3 else ""),
        note=varied(lambda n: f"see {n}.png" if n % 3 else "ok"),
    )
    described = describe(path)
    found = {one.name: one for one in described.columns}
    assert [name for name, one in found.items() if one.identifier] == ["Name"]
    assert found["Name"].kind == "list"
    assert [name for name, one in found.items() if one.tells] == ["geb"]
    assert {name: one.files for name, one in found.items() if one.files} == {"scan": "image", "ecg": "series"}
    assert any("--form scan=image encodes what they hold" in remark for remark in described.remarks())
    for name in ("Name", "geb"):
        with pytest.raises(SourceError, match=f"'{name}' is kept in the clear"):
            check_kept([str(path)], "record", [name])


def test_free_text_is_said_to_name_people_and_no_name_is_printed(tmp_path, capsys, monkeypatch):
    notes = [f"Seen today: Mr. Cipriano Heredia, aged {n}, call 617 555 0{n:03d}." for n in range(100, 120)]
    plain = [f"the patient number {n} has no fever today" for n in range(20)]
    path = table(tmp_path / "n.csv", note=notes, plain=plain)
    shown = " ".join(ult(capsys, monkeypatch, "describe", path).out.split())
    assert "of 20 cells two names in a row in 20; a title before a name in 20; a telephone number in 20" in shown
    assert "of 20 cells no names, mails or telephone numbers seen" in shown
    assert "Cipriano" not in shown
    (tmp_path / "x.png").write_bytes(b"x")
    told = " ".join(ult(capsys, monkeypatch, "describe", tmp_path / "x.png", status=1).err.split())
    assert "ult fit --codec image/dct" in told


def test_rows_of_a_unit_become_one_record(tmp_path):
    path = table(
        tmp_path / "v.csv",
        day=varied(lambda n: f"2019-02-{1 + n % 28:02d}"),
        patient=[f"p{n // 4}" for n in range(N)],
        sex=["fm"[n // 4 % 2] for n in range(N)],
        value=varied(str),
    )
    schema = describe(path, unit="patient").schema
    assert [one.name for one in schema.fields] == ["sex", "rows"]
    assert [one.name for one in schema.fields[-1].fields] == ["day", "value"]
    assert (schema.unit, schema.columns) == ("patient", ("day", "sex", "value"))
    with pytest.raises(InvalidConfig, match="is the same"):
        describe(path, unit="patient", column=["sex"])


def test_columns_can_be_left_out_and_unknown_ones_are_refused(tmp_path):
    path = table(tmp_path / "t.csv", a=varied(str), b=varied(str), c=varied(str))
    assert describe(path, drop=["b"]).schema.dropped == ("b",)
    assert describe(path, column=["c"]).schema.columns == ("c",)
    for options in ({"drop": ["d"]}, {"column": ["d"]}, {"unit": "d"}, {"forms": {"d": "text"}}):
        with pytest.raises(MissingColumn, match="'d'"):
            describe(path, **options)
    with pytest.raises(InvalidConfig, match="cannot be read as 'd/m/Y'"):
        describe(path, forms={"a": "d/m/Y"})
    other = table(tmp_path / "o.csv", a=["1"], b=["2"])
    with pytest.raises(SourceError, match="'c'"):
        describe([path, other])


def test_typed_columns_keep_their_type(tmp_path):
    columns = {
        "count": pa.array([None, *range(1, N)], pa.int64()),
        "value": pa.array([n / 8 for n in range(N)], pa.float64()),
        "flag": pa.array([n % 2 == 0 for n in range(N)]),
        "at": pa.array(range(N), pa.timestamp("ms")),
        "curve": pa.array([[1.0, 2.0]] * N),
        "nested": pa.array([{"a": 1}] * N),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = describe(tmp_path / "t.parquet")
    assert [(one.name, one.kind) for one in found.columns] == [
        ("count", "number"),
        ("value", "number"),
        ("flag", "category"),
        ("at", "date"),
        ("curve", "series"),
        ("nested", ""),
    ]
    assert [one.type for one in found.schema.fields] == [
        "int64",
        "double",
        "bool",
        "timestamp[ms]",
        "list<element: double>",
    ]
    assert found.schema.dropped == ("nested",)
    assert (found.columns[0].missing, found.columns[0].distinct) == (1, N - 1)


def test_edges_part_the_values_evenly_and_shortly():
    values = np.random.default_rng(2).normal(37.0, 0.7, 4000)
    edges = quantile_edges(values, 16)
    assert len(edges) == 15
    counts = [sum(float(edge) <= value for edge in edges) for value in values]
    assert min(counts.count(k) for k in range(16)) > 230
    assert all(len(edge) <= 9 for edge in edges)


def ult(capsys, monkeypatch, *words, status=0):
    """Run a command; return its stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["ult", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        main()
    assert int(done.value.code or 0) == status
    return capsys.readouterr()


def test_the_command_prints_a_table_and_writes_a_schema(tmp_path, capsys, monkeypatch):
    path = table(tmp_path / "p.csv", ssn=varied(lambda n: f"123-45-{n:04d}"), age=varied(lambda n: str(n % 60)))
    out = tmp_path / "schema.json"
    shown = ult(capsys, monkeypatch, "describe", path, "-o", out)
    assert max(map(len, shown.out.splitlines()[:4])) <= 80
    assert "looks like an identifier" in shown.out
    assert "note: ult fit asks about each column that looks like an identifier: 'ssn'" in shown.err
    assert "123-45-0007" not in shown.out
    assert "as private as they are" in shown.err.replace("\n", " ")
    assert Schema.read(out).columns == ("ssn", "age")
    assert out.stat().st_mode & 0o777 == 0o600
    assert not atomic.hidden(out).exists()
    assert "exists already" in ult(capsys, monkeypatch, "describe", path, "-o", out, status=1).err
    printed = json.loads(ult(capsys, monkeypatch, "describe", path, "--json").out)
    public = ("-o", out, "--public", "--force")
    shown = ult(capsys, monkeypatch, "describe", table(tmp_path / "q.csv", a=["x", "y"], b=["x", "x"]), *public)
    assert "private" not in shown.err
    assert "no cells of 'a', 'b' but those of these files" in shown.err
    assert [one["kind"] for one in printed["columns"]] == ["category", "number"]
    assert "not COLUMN=FORM" in ult(capsys, monkeypatch, "describe", path, "--form", "age", status=1).err


def test_no_bin_is_spent_on_the_cell_that_is_left_out(tmp_path):
    cells = ["0"] * 95 + [str(10 * n) for n in range(1, 41)]
    path = tmp_path / "gains.csv"
    path.write_text("gain,loss\n" + "".join(f"{cell},1\n" for cell in cells), encoding="utf-8")
    schema = describe([path], bins=8).schema
    assert schema is not None
    (gain,) = (one for one in schema.fields if one.name == "gain")
    assert gain.absent == "0"
    assert len(gain.edges) == 7
    assert 30 < float(gain.edges[0]) < 80

"""Records of a unit whose rows stand in several tables of data."""

import json
from dataclasses import replace

import pyarrow as pa
import pytest

import ult
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.columns.describe import describe
from ult.data.columns.schema import Schema
from ult.data.composed import units
from ult.data.composed.nested_sink import open_nested_sink
from ult.data.opening import open_inputs
from ult.errors import InvalidConfig, MissingColumn, MissingSource, OutputError, SourceError

SEX = Field(name="sex", kind="category")


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def opened(*inputs, schema):
    return open_source([str(one) for one in inputs], modality="record", schema=schema)


def several(tmp_path, conditions, labs="patient,code,value\nb,x,5.0\na,x,6\n"):
    people = write(tmp_path / "people.csv", "id,sex\na,f\nb,m\nc,f\n")
    one, other = write(tmp_path / "conditions.csv", conditions), write(tmp_path / "labs.csv", labs)
    return people, f"conditions={one}", f"labs:patient={other}"


CODE, VALUE = Field(name="code", kind="category"), Field(name="value", kind="number")
TABLES = Schema(
    fields=(
        SEX,
        Field(name="conditions", kind="rows", fields=(CODE,)),
        Field(name="labs", kind="rows", fields=(CODE, VALUE)),
    ),
    unit="id",
)


@pytest.mark.parametrize("conditions", ["id,code\na,1\na,2\nc,3\n", "id,code\na,1\nc,3\na,2\n"])
def test_tables_of_one_unit_are_joined_in_the_order_of_the_first(tmp_path, conditions):
    inputs = several(tmp_path, conditions)
    assert list(opened(*inputs, schema=TABLES)) == [
        ("f", (("1",), ("2",)), (("x", "6"),)),
        ("m", (), (("x", "5.0"),)),
        ("f", (("3",),), ()),
    ]


def test_joined_tables_in_one_order_hold_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(units, "HELD_BYTES", 400)
    people, conditions, labs = several(tmp_path, "")
    names = [f"p{k}" for k in range(50)]
    write(people, "id,sex\n" + "".join(f"{name},f\n" for name in names))
    write(tmp_path / "conditions.csv", "id,code\n" + "".join(f"{name},1\n" for name in names[::3]))
    write(tmp_path / "labs.csv", "patient,code,value\n" + "".join(f"{name},x,1\n" for name in names[1::2]))
    source = opened(people, conditions, labs, schema=TABLES)
    assert [len(one[1] + one[2]) for one in source] == [(k % 3 == 0) + k % 2 for k in range(50)]
    write(tmp_path / "conditions.csv", "id,code\n" + "".join(f"{name},1\n" for name in names[::-1]))
    with pytest.raises(SourceError, match="in another order than other inputs"):
        list(opened(people, conditions, labs, schema=TABLES))


def test_a_row_of_an_unknown_unit_and_a_unit_twice_are_refused(tmp_path):
    inputs = several(tmp_path, "id,code\na,1\nd,2\n")
    with pytest.raises(SourceError, match=r"conditions\.csv, row 2: its 'id' has no row in .*people\.csv"):
        list(opened(*inputs, schema=TABLES))
    inputs = several(tmp_path, "id,code\na,1\n")
    write(tmp_path / "people.csv", "id,sex\na,f\nb,m\na,f\n")
    with pytest.raises(SourceError, match=r"people\.csv, row 1 to 3 have one 'id'; expected one row for each"):
        list(opened(*inputs, schema=TABLES))


def test_a_table_may_be_empty_but_not_be_missing_or_unknown(tmp_path):
    people, conditions, labs = several(tmp_path, "id,code\n")
    source = opened(people, conditions, labs, schema=TABLES)
    assert [one[1] for one in source] == [(), (), ()]
    assert source.empty == (conditions.partition("=")[2],)
    with pytest.raises(InvalidConfig, match=r"no input holds the rows of field 'labs' \(hint: labs=FILE"):
        opened(conditions, schema=TABLES)
    with pytest.raises(InvalidConfig, match="no field of rows 'notes'; it has 'conditions', 'labs'"):
        opened(people, conditions, labs, f"notes={tmp_path / 'labs.csv'}", schema=TABLES)
    with pytest.raises(InvalidConfig, match="'sex' is a column of no rows"):
        opened(conditions, labs, schema=TABLES)


def test_tables_of_one_unit_are_described_together(tmp_path):
    people, conditions, labs = several(tmp_path, "id,code,why\na,1,x\na,2,y\nc,3,z\n")
    found = describe([people, conditions, labs], unit="id", drop=["why"])
    schema = found.schema
    assert schema is not None
    assert schema.unit == "id"
    assert [(one.name, [inner.name for inner in one.fields]) for one in schema.fields] == [
        ("sex", []),
        ("conditions", ["code"]),
        ("labs", ["code", "value"]),
    ]
    assert [one.name for one in found.columns] == ["sex", "conditions.code", "labs.code", "labs.value"]
    assert list(opened(people, conditions, labs, schema=Schema.of(schema.document())))[1] == ("m", (), (("x", "5.0"),))
    with pytest.raises(InvalidConfig, match=r"tables of data of one unit \(hint: --unit"):
        describe([people, labs])
    with pytest.raises(MissingColumn, match=r"no column 'id', the unit; .*hint: labs:COLUMN="):
        describe([people, labs.replace(":patient", "")], unit="id")
    with pytest.raises(MissingColumn, match="no input has a column 'because'"):
        describe([people, labs], unit="id", drop=["because"])


def test_a_table_called_rows_and_one_called_as_a_column(tmp_path):
    people, conditions, labs = several(tmp_path, "id,code\na,1\na,2\nc,3\n")
    write(people, "id,sex,day\na,f,1\na,f,2\nb,m,1\nc,f,3\n")
    schema = describe([people, labs.replace("labs:", "rows:")], unit="id").schema
    assert schema is not None
    assert [one.name for one in schema.fields] == ["sex", "rows_", "rows"]
    with pytest.raises(InvalidConfig, match=r"both called 'sex'; .*\(hint: sex_rows=FILE"):
        describe([people, conditions.replace("conditions=", "sex=")], unit="id")


def test_rows_of_a_unit_that_do_not_follow_one_another_any_more_are_noticed(tmp_path):
    path = write(tmp_path / "a.csv", "id,n\na,1\na,2\nb,3\n")
    opened, _ = open_inputs([path], "record")
    strand = units.Strand(opened, "id", name="a.csv", inner=(replace(VALUE, name="n"),))
    runs = strand.whole()
    write(path, "id,n\na,1\nb,3\na,2\n")
    with pytest.raises(SourceError, match="the rows of one 'id' followed one another, and do no more"):
        list(runs)


def test_a_new_column_of_a_joined_table_is_left_out_by_the_name_that_the_hint_says(tmp_path):
    people, conditions, labs = several(tmp_path, "id,code\na,1\n", "patient,code,value,sex\nb,x,5.0,m\n")
    with pytest.raises(SourceError, match=r"hint: --drop labs\.sex leaves"):
        opened(people, conditions, labs, schema=TABLES)
    left = replace(TABLES, dropped=("labs.sex",))
    assert list(opened(people, conditions, labs, schema=left))[1] == ("m", (), (("x", "5.0"),))
    table = ult.fit(
        [people, conditions, labs], tmp_path / "t.ult", codec="record/columns", schema=left, encrypt=False, workers=1
    ).table
    with pytest.raises(InvalidConfig, match=r"'labs\.value' is a field of the table"):
        ult.encode([people, conditions, labs], table, tmp_path / "s", drop=["labs.value"], workers=1)


def test_images_and_cells_as_inputs_are_refused_by_what_to_do(tmp_path):
    people, *_ = several(tmp_path, "id,code\na,1\n")
    (tmp_path / "scans").mkdir()
    write(tmp_path / "scans" / "a.png", "no image, which nobody opens")
    for name, kind in (("scans", "image"), ("x.h5ad", "series"), ("100.hea", "series")):
        write(tmp_path / name, "") if "." in name else None
        with pytest.raises((MissingSource, SourceError), match=f"as a field beside others, .* --form COLUMN={kind}"):
            describe([people, f"more={tmp_path / name}"], unit="id")


def test_records_of_several_tables_are_written_as_lists_in_an_object(tmp_path):
    schema = Schema(fields=(replace(SEX, absent="f"), *TABLES.fields[1:]), unit="id", columns=("sex", "code", "value"))
    people, conditions, labs = several(tmp_path, "id,code\na,1\n")
    records = list(opened(people, conditions, labs, schema=schema))
    out = tmp_path / "out.jsonl"
    with open_nested_sink(out, schema, pa.schema([("n", pa.int64())])) as sink:
        sink.write(records[:2], pa.table({"n": [7, 8]}))
        sink.write(records[2:], pa.table({"n": [9]}))
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert found == [
        {"n": 7, "id": "1", "sex": "f", "conditions": [{"code": "1"}], "labs": [{"code": "x", "value": "6"}]},
        {"n": 8, "id": "2", "sex": "m", "conditions": [], "labs": [{"code": "x", "value": "5.0"}]},
        {"n": 9, "id": "3", "sex": "f", "conditions": [], "labs": []},
    ]
    with pytest.raises(OutputError, match=r"rows of 2 tables of data: 'conditions', 'labs'; expected \.jsonl"):
        open_nested_sink(tmp_path / "out.csv", schema, None)

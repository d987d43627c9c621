"""Units that are one but for how they are spelled, and rows without one."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.columns.schema import Schema
from ult.data.composed.alike import plain
from ult.errors import SourceError

CODE = Field(name="code", kind="category")
VISITS = Schema(fields=(Field(name="visits", kind="rows", fields=(CODE,)),), unit="id")
TWO = Schema(
    fields=tuple(Field(name=name, kind="rows", fields=(CODE,)) for name in ("visits", "labs")),
    unit="id",
)


def table(path, *units):
    path.write_text("id,code\n" + "".join(f"{one},x\n" for one in units), encoding="utf-8")
    return str(path)


def read(*inputs, schema=VISITS):
    return list(open_source(list(inputs), modality="record", schema=schema))


@pytest.mark.parametrize("other", ["1.0", "01", " 1", "1.", "\uff11", "1\u00a0"])
@pytest.mark.parametrize("scattered", [False, True])
def test_one_person_spelled_in_two_ways_is_refused_not_two_records(tmp_path, other, scattered):
    ours = ("2", "1", "2") if scattered else ("2", "1")
    inputs = table(tmp_path / "a.csv", *ours), table(tmp_path / "b.csv", "3", other)
    with pytest.raises(SourceError, match=r"b.csv, row 2: its unit is that of .*a.csv, row 2 but for"):
        read(*inputs)
    named = f"visits={inputs[0]}", f"labs={inputs[1]}"
    with pytest.raises(SourceError, match=r"b.csv, row 2: its unit is that of .*a.csv, row 2 but for"):
        read(*named, schema=TWO)


def test_units_that_differ_in_more_and_one_spelling_throughout_are_read(tmp_path):
    one = table(tmp_path / "a.csv", "01", "02.0", " 7", "A1", "a1", "A01", "1.5", "10", "100", "01")
    assert len(read(one)) == 9
    assert [plain(unit) for unit in ("10", "1.50", "-1", "00")] == ["10", "1.50", "-1", "0"]


@pytest.mark.parametrize("none", ["NA", "nan", "NULL", "-", "  ", "n/a"])
def test_rows_without_a_unit_are_not_those_of_one_person(tmp_path, none):
    with pytest.raises(SourceError, match=r"a.csv, row 2: 'id' says that there is none"):
        read(table(tmp_path / "a.csv", "1", none, "2"))


def test_a_uuid_is_one_in_either_case(tmp_path):
    uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    with pytest.raises(SourceError, match="row 2: its unit is that of"):
        read(table(tmp_path / "a.csv", uuid, uuid.upper()))


def test_a_kept_view_of_texts_goes_with_scattered_units(tmp_path):
    ours = pa.table({"id": ["1", "2", "1"], "code": ["x"] * 3, "place": pa.array(["n", "s", "n"], pa.string_view())})
    pq.write_table(ours, tmp_path / "a.parquet")
    source = open_source([str(tmp_path / "a.parquet")], modality="record", schema=VISITS, keep=["place"])
    assert [one for batch in source.batches() for one in batch.kept["place"].to_pylist()] == ["n", "s"]


def test_a_unit_of_a_type_without_texts_is_refused_by_file_and_column(tmp_path):
    pq.write_table(pa.table({"id": [b"1", b"2"], "code": ["x", "y"]}), tmp_path / "a.parquet")
    for told in (lambda one: read(one), lambda one: ult.describe(one, unit="id")):
        with pytest.raises(SourceError, match=r"a.parquet: column 'id' is binary; expected one value a cell"):
            told(str(tmp_path / "a.parquet"))


def test_split_deals_one_person_to_one_part(tmp_path):
    rows = [table(tmp_path / "a.csv", *map(str, range(20))), table(tmp_path / "b.csv", *(f"{k}.0" for k in range(20)))]
    with pytest.raises(SourceError, match=r"b.csv, row 1: its unit is that of .*a.csv, row 1 but for"):
        ult.split(rows, tmp_path / "parts", group="id")
    with pytest.raises(SourceError, match=r"c.csv, row 1 has nothing in 'id'"):
        ult.split(table(tmp_path / "c.csv", "NA", *map(str, range(20))), tmp_path / "parts", group="id")

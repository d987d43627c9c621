"""Records of fields: a row each, or all rows of a unit, and the names of inputs."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ult
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.columns.schema import Schema
from ult.data.composed import units
from ult.data.composed.grouped import named
from ult.errors import InvalidConfig, MissingColumn, SourceError

SEX, DAY, LAB = (Field(name=n, kind=kind) for n, kind in [("sex", "category"), ("day", "date"), ("lab", "number")])
FLAT = Schema(fields=(SEX, DAY, LAB), dropped=("pid",))
UNIT = Schema(fields=(SEX, Field(name="rows", kind="rows", fields=(DAY, LAB))), unit="pid")
VISITS = "pid,sex,day,lab\n1,f,2020-01-01,5.0\n1,f,2020-01-02,\n2,m,2020-01-03,007\n"
PEOPLE = [("f", (("2020-01-01", "5.0"), ("2020-01-02", ""))), ("m", (("2020-01-03", "007"),))]


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return path


def opened(*inputs, schema, **options):
    return open_source([str(one) for one in inputs], modality="record", schema=schema, **options)


def test_a_row_is_a_tuple_of_cells_as_written_in_the_order_of_the_fields(tmp_path):
    path = write(tmp_path / "a.csv", 'lab,pid,sex,day\n5.00,1,"f\n",2020-1-1\n,2,NA,\n')
    assert list(opened(path, schema=FLAT)) == [("f\n", "2020-1-1", "5.00"), ("NA", "", "")]


def test_cells_of_typed_columns_come_as_text_arrays_and_null(tmp_path):
    path, big = tmp_path / "a.parquet", 2**63 - 1
    table = {"n": pa.array([big, None]), "x": pa.array([5.0, -0.0]), "s": pa.array([[1.0, 2.5], None])}
    pq.write_table(pa.table(table), path)
    fields = (Field(name="s", kind="series"), Field(name="n", kind="number"), Field(name="x", kind="number"))
    first, second = opened(path, schema=Schema(fields=fields))
    assert first[1:] == (str(big), "5")
    assert np.array_equal(first[0], [1.0, 2.5])
    assert second[:2] == (None, None)


def test_parts_that_another_process_reads_are_the_same_records(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"lab": range(100), "k": range(100)}), path, row_group_size=7)
    source = opened(path, schema=Schema(fields=(LAB,)), keep=["k"])
    parts = [pickle.loads(pickle.dumps(piece)).read() for piece in source.pieces(50)]  # noqa: S301
    assert len(parts) > 1
    assert [one for part in parts for one in part.records] == list(source) == [(str(i),) for i in range(100)]
    assert pa.concat_tables(part.kept for part in parts)["k"].to_pylist() == list(range(100))


def test_columns_that_the_schema_does_not_know_are_refused_by_name(tmp_path):
    path = write(tmp_path / "a.csv", "sex,day,labs,extra\nf,1,2,3\n")
    with pytest.raises(MissingColumn, match=r"a\.csv has no column 'lab', which the schema.*did you mean 'labs'"):
        opened(path, schema=FLAT)
    write(path, "sex,day,lab,more\nf,1,2,3\n")
    with pytest.raises(SourceError, match=r"does not name: 'more'; columns unseen at fit.*--drop more"):
        opened(path, schema=FLAT)
    assert list(opened(path, schema=FLAT, keep=["more"])) == [("f", "1", "2")]
    with pytest.raises(SourceError, match="'sex' is both a field"):
        opened(path, schema=FLAT, keep=["sex"])


def test_records_of_fields_need_a_schema_and_no_column(tmp_path):
    path = write(tmp_path / "a.csv", VISITS)
    with pytest.raises(InvalidConfig, match=r"need a schema \(hint: ult describe"):
        open_source([path], modality="record")
    with pytest.raises(InvalidConfig, match="have no schema"):
        open_source([path], modality="text", schema=FLAT)
    with pytest.raises(InvalidConfig, match="column is for"):
        opened(path, schema=FLAT, column="sex")


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_rows_of_a_unit_are_one_record_wherever_they_stand(tmp_path, order):
    head, *rows = VISITS.splitlines(keepends=True)
    path = write(tmp_path / "a.csv", head + "".join(rows[i] for i in order))
    source = opened(path, schema=UNIT, keep=["pid"])
    (batch,) = source.batches()
    assert list(batch.records) == (PEOPLE if order[0] == 0 else PEOPLE[::-1])
    assert batch.kept["pid"].to_pylist() == (["1", "2"] if order[0] == 0 else ["2", "1"])
    place = batch.where.place(batch.records.index(PEOPLE[0]), 1)
    assert place == f"{path}, row {order.index(0) + 1} to {order.index(1) + 1}, column 'rows'"


def test_a_unit_may_go_on_in_the_next_file_and_batches_are_bounded(tmp_path, monkeypatch):
    files = [write(tmp_path / f"{k}.csv", f"pid,sex,day,lab\n{k},f,1,1\n{k + 1},f,2,2\n") for k in range(5)]
    monkeypatch.setattr("ult.data.composed.grouped.BLOCK_ROWS", 2)
    batches = list(opened(*files, schema=UNIT).batches())
    assert [batch.rows for batch in batches] == [2, 2, 2]
    assert batches[0].records[1] == ("f", (("2", "2"), ("1", "1")))


def test_a_value_that_changes_within_a_unit_is_refused_by_row_and_column(tmp_path):
    for text in (VISITS + "2,f,2020-01-04,1\n", VISITS + "1,m,2020-01-04,1\n"):
        path = write(tmp_path / "a.csv", text)
        with pytest.raises(SourceError, match=r"a\.csv, row 4: 'sex' is not what it is in .*a\.csv, row [13]"):
            list(opened(path, schema=UNIT))
    write(path, "pid,sex,day,lab\n,f,1,1\n")
    with pytest.raises(SourceError, match="row 1: 'pid' is empty"):
        list(opened(path, schema=UNIT))


def test_scattered_rows_come_together_in_bounded_memory_and_others_stream(tmp_path, monkeypatch):
    rows = [f"{k},f,1,{k}\n" for k in range(100) for _ in range(2)]
    path = write(tmp_path / "a.csv", "pid,sex,day,lab\n" + "".join(rows))
    monkeypatch.setattr(units, "HELD_BYTES", 1000)
    assert len(list(opened(path, schema=UNIT))) == 100
    write(path, "pid,sex,day,lab\n" + "".join(rows[::2] + rows[1::2]))
    monkeypatch.setattr(units, "PASS_BYTES", 1000)
    assert [len(one) for _, one in opened(path, schema=UNIT)] == [2] * 100
    for apart in ("", "2,f,1,1\n"):
        write(path, "pid,sex,day,lab\n" + "1,f,1,1\n" * 100 + apart + "1,f,1,1\n")
        with pytest.raises(SourceError, match="one 'pid' has over"):
            list(opened(path, schema=UNIT))
    monkeypatch.setattr(units, "_FIRST_CHECK", 8)
    monkeypatch.setattr(units, "HELD_BYTES", 2**20)
    write(path, "pid,sex,day,lab\n" + "".join(rows[::2] + rows[1::2]))
    assert [len(one) for _, one in opened(path, schema=UNIT)] == [2] * 100


def test_a_file_that_is_there_has_no_name_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "year=2020.csv", "")
    assert named("year=2020.csv") is None
    assert named("year=20*.csv") is None
    assert named("year=2021.csv").path == "2021.csv"


def test_a_promise_counts_units_not_rows(tmp_path):
    path, phrases = tmp_path / "a.csv", {}
    for people in ("abcd", "abcdeg"):
        rows = [f"{who},f,2020-01-0{day},{ord(who)}.5\n" for who in people for day in range(1, 10)]
        write(path, "pid,sex,day,lab\n" + "".join(rows))
        made = ult.fit(str(path), tmp_path / people, codec="record/columns", schema=UNIT, encrypt=False).table
        assert (made.records, made.min_records) == (len(people), 5)
        phrases[len(people)] = made.phrases
    assert phrases[4] == 0
    assert phrases[6] > 10

"""Bad tables of records: one line with file, row and column, what to type next, and nothing that is half-written."""

import csv
import json
import sqlite3

import openpyxl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import ult
from ult.codecs.record import RecordColumns
from ult.data import oversize
from ult.data.columns.describe import describe
from ult.data.tables import delimited
from ult.errors import InvalidConfig, InvalidRecord, SourceError, UltError

HEAD = ("a", "d", "c")
ROWS = [(f"{20 + k % 30}.5", f"2019-03-{1 + k % 28:02d}", "xy"[k % 2]) for k in range(40)]
MADE = {"codec": "record/columns", "encrypt": False, "workers": 1, "vocabulary_size": 600, "min_records": 1}


def with_cell(row, place, cell):
    """Return the rows with one other cell."""
    return [tuple(cell if (i, j) == (row, place) else one for j, one in enumerate(r)) for i, r in enumerate(ROWS)]


def lines(path, head, rows):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return path


def objects(path, head, rows):
    cells = [", ".join(f"{json.dumps(h)}: {json.dumps(cell)}" for h, cell in zip(head, r, strict=True)) for r in rows]
    path.write_text("".join(f"{{{one}}}\n" for one in cells))
    return path


def arrow_table(head, rows):
    return pa.Table.from_arrays([pa.array(list(one)) for one in zip(*rows, strict=True)], names=list(head))


def parquet(path, head, rows):
    pq.write_table(arrow_table(head, rows), path)
    return path


def arrow(path, head, rows):
    feather.write_feather(arrow_table(head, rows), path)
    return path


def workbook(path, head, rows):
    book = openpyxl.Workbook()
    for one in (head, *rows):
        book.active.append(list(one))
    book.save(path)
    return path


def base(path, head, rows):
    with sqlite3.connect(path) as made:
        made.execute(f"create table t ({','.join(f'{name!r} text' for name in head)})")
        made.executemany(f"insert into t values ({','.join('?' * len(head))})", rows)  # noqa: S608
    made.close()
    return f"sqlite:{path}?table=t"


READERS = {".csv": lines, ".jsonl": objects, ".parquet": parquet, ".feather": arrow, ".xlsx": workbook, ".db": base}
PLACES = {".jsonl": "line 7", ".xlsx": "sheet 'Sheet', row 8"}  # of the seventh row; else row 7


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    return ult.fit(lines(folder / "good.csv", HEAD, ROWS), folder / "t.ult", **MADE).table


@pytest.mark.parametrize("suffix", READERS)
def test_each_reader_names_file_row_and_column_and_writes_nothing(tmp_path, table, suffix):
    def refused(head, rows):
        (tmp_path / "in").mkdir(exist_ok=True)
        for path in (tmp_path / "in").iterdir():
            path.unlink()
        source = READERS[suffix](tmp_path / "in" / f"bad{suffix}", head, rows)
        with pytest.raises(UltError) as caught:
            ult.encode(source, table, tmp_path / "s", workers=1)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
        assert "\n" not in str(caught.value)
        return caught.value

    row = PLACES.get(suffix, "row 7")
    error = refused(HEAD, with_cell(6, 0, "abc"))
    assert f"bad{suffix}" in error.what
    assert f"{row}, column 'a': cell is no number; expected a number with '.'" in error.what
    assert error.hint == "--form a=category, of ult fit or ult describe, takes any text"
    assert "abc" not in str(error)
    for cell in ("1,5", "1.234,5"):
        assert refused(HEAD, with_cell(6, 0, cell)).hint.startswith("--form a=, if , is its decimal mark, or ")
    error = refused(HEAD, with_cell(6, 1, "2019-02-30"))
    assert f"{row}, column 'd': cell is no date of the form Y-m-d that exists" in error.what
    assert "has no column 'd'" in refused(("a", "c"), [(a, c) for a, _, c in ROWS]).what
    assert refused(("a", "dd", "c"), ROWS).hint == "did you mean 'dd'? Then rename it to 'd' in the file"
    error = refused((*HEAD, "e"), [(*one, "z") for one in ROWS])
    assert ("columns unseen at fit are refused" in error.what, error.hint) == (True, "--drop e leaves them out")
    if suffix != ".db":  # which has no such table
        assert "twice" in refused(("a", "d", "a"), ROWS).what


def test_columns_in_another_order_are_the_same_records(tmp_path, table):
    turned = lines(tmp_path / "turned.csv", ("c", "a", "d"), [(c, a, d) for a, d, c in ROWS])
    ult.encode(turned, table, tmp_path / "s", workers=1)
    ult.decode(tmp_path / "s", table, tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_bytes() == lines(tmp_path / "x.csv", HEAD, ROWS).read_bytes()


def test_a_query_with_one_column_twice_is_refused(tmp_path, table):
    source = base(tmp_path / "t.db", HEAD, ROWS).partition("?")[0]
    with pytest.raises(SourceError, match="column twice: 'a', 'd', 'a'"):
        ult.encode(source, table, tmp_path / "s", workers=1, reading={"query": "select a, d, a from t"})


def test_a_cell_that_is_not_of_the_kind_that_was_asked_for_has_its_place(tmp_path):
    path = lines(tmp_path / "p.csv", HEAD, [("old" if k == 6 else a, d, c) for k, (a, d, c) in enumerate(ROWS)])
    with pytest.raises(InvalidConfig, match=r"'a' cannot be read as 'number', .* first in .*p\.csv, row 7;"):
        ult.fit(path, tmp_path / "t.ult", **MADE, forms={"a": "number"})
    assert not (tmp_path / "t.ult").exists()


def test_what_is_read_as_another_kind_is_told_by_the_fit_too(tmp_path):
    mixed = [("1,5" if k % 2 else "1.5", d, c) for k, (_, d, c) in enumerate(ROWS)]
    rows = [(a, d if k != 6 else "2019-02-30", c) for k, (a, d, c) in enumerate(mixed)]
    path = lines(tmp_path / "p.csv", HEAD, rows)
    told = ult.fit(path, tmp_path / "t.ult", **MADE).remarks()
    assert "'a' is a category: no decimal mark suits all its cells" in told
    assert any(one.startswith("'d' is a category: it has a date that does not exist (") for one in told)
    assert any(one.endswith("p.csv, row 7)") for one in told)
    with pytest.raises(SourceError, match="row 7: 'd' is a date that does not exist"):
        ult.fit(path, tmp_path / "u.ult", **MADE, forms={"d": "date"})
    asked = lines(tmp_path / "q.csv", HEAD, [(f"{k + 1},234", d, c) for k, (_, d, c) in enumerate(ROWS)])
    with pytest.raises(InvalidConfig, match="can be read in two ways") as caught:
        ult.fit(asked, tmp_path / "u.ult", **MADE)
    assert "--form a=. or --form a=," in caught.value.hint
    assert not (tmp_path / "u.ult").exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_a_huge_cell_is_refused_before_it_fills_memory(tmp_path, table, monkeypatch, suffix):
    monkeypatch.setattr(oversize, "LONGEST", 2000)
    path = READERS[suffix](tmp_path / f"huge{suffix}", HEAD, with_cell(6, 2, "é" * 1001))
    for verb in (describe, lambda path: ult.encode(path, table, tmp_path / "s", workers=1)):
        with pytest.raises(SourceError, match=rf"{PLACES.get(suffix, 'row 7')}, column 'c': cell has 2.0 kB") as caught:
            verb(path)
        assert "--codec text/bytes reads long texts" in caught.value.hint
    assert not (tmp_path / "s").exists()


def test_a_huge_cell_is_refused_before_it_is_read_whole_but_not_in_a_dropped_column(tmp_path, monkeypatch):
    path = lines(tmp_path / "huge.csv", ("a", "b", "c"), [("1", "x", "y")] * 3 + [("2", '"' + "z,\n" * 30_000, "w")])
    monkeypatch.setattr(oversize, "LONGEST", 2000)
    monkeypatch.setattr(delimited, "BLOCK", 512)
    monkeypatch.setattr(delimited, "_WIDE", 1)
    with pytest.raises(SourceError, match=r"huge\.csv, row 4, column 'b': cell has over 2\.0 kB; expected at most"):
        describe(path)
    assert [one.name for one in describe(path, drop=["b"]).columns] == ["a", "c"]


def test_many_columns_are_read_in_linear_time(tmp_path, table):
    names = [f"c{k}" for k in range(1500)]
    path = lines(tmp_path / "wide.csv", names, [[str(7 * k % 10 + n) for k in range(1500)] for n in range(3)])
    assert len(describe(path).columns) == 1500
    with pytest.raises(UltError, match=r"'c0', 'c1'.* and 1488 more"):
        ult.encode(path, table, tmp_path / "s", workers=1)


def test_a_record_that_is_no_file_s_names_its_field():
    codec = RecordColumns(fields=[{"name": "a", "kind": "number"}])
    with pytest.raises(InvalidRecord, match=r"^'a': cell is no number"):
        codec.encode(("x",))


def test_too_few_ids_for_many_columns_are_refused_before_records_are_counted(tmp_path, monkeypatch):
    """A marker for each of the columns is an id, so that 1,100 columns need more than 1,024."""
    monkeypatch.setattr("ult.owner.fit.pieces.count", lambda *args, **how: pytest.fail("the records were counted"))
    path = tmp_path / "wide.csv"
    path.write_text("".join(",".join(line) + "\n" for line in ([f"c{k}" for k in range(1100)], ["1"] * 1100)))
    with pytest.raises(InvalidConfig, match="too small for record/columns") as refused:
        ult.fit(path, tmp_path / "t.ult", codec="record/columns", vocabulary_size=1024, encrypt=False)
    assert refused.value.hint == "--vocabulary-size 2048"

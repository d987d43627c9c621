"""Tables of SQLite: cells as texts, only read, and nothing guessed."""

import sqlite3
from pathlib import Path

import pytest

from ult.data import open_source
from ult.data.reading import Reading
from ult.data.tables.sql import SqliteRows
from ult.errors import EmptySource, InvalidConfig, SourceError, UltError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def base(*statements, name="a.db"):
    with sqlite3.connect(name) as made:
        for statement in statements:
            made.execute(statement)
    made.close()


VISITS = (
    "create table visits (id integer, x real, note text)",
    "insert into visits values (1, 0.1, 'a'), (2, null, ' b')",
)


def rows(address="sqlite:a.db", **asked):
    opened = SqliteRows(address, Reading(**asked))
    many = [zip(*chunk.columns.values(), strict=True) for chunk in opened.chunks(list(opened.types))]
    return list(opened.types), [row for chunk in many for row in chunk]


def test_cells_are_texts():
    base(*VISITS, "insert into visits values (9223372036854775807, 1e300, '5.00')")
    whole = (["id", "x", "note"], [("1", "0.1", "a"), ("2", None, " b"), (str(2**63 - 1), "1e+300", "5.00")])
    for address in ("sqlite:a.db", "sqlite:///a.db", "sqlite:a.db?table=visits", f"sqlite:///{Path('a.db').resolve()}"):
        assert rows(address) == whole
    assert rows(query="select note, id + 1 as more from visits where x is null") == (["note", "more"], [(" b", "3")])
    source = open_source(["sqlite:a.db"], modality="text", column="note")
    assert list(source) == ["a", " b", "5.00"]
    base("delete from visits")
    with pytest.raises(SourceError, match=r"a\.db changed"):
        source.check_unchanged()


def test_a_table_is_named_where_there_are_several():
    base(*VISITS, 'create table "o""dd" (a)', 'insert into "o""dd" values (1)', "create table none (a)")
    with pytest.raises(SourceError, match=r"has 3 tables; it has 'visits'.*hint: sqlite:PATH\?table=NAME"):
        rows()
    assert rows('sqlite:a.db?table=o"dd') == (["a"], [("1",)])
    with pytest.raises(SourceError, match="has no table 'x'"):
        rows("sqlite:a.db?table=x")
    with pytest.raises(EmptySource, match="has no rows"):
        rows("sqlite:a.db?table=none")
    with pytest.raises(InvalidConfig, match="expected sqlite:PATH"):
        rows("sqlite:a.db?password=secret")


@pytest.mark.parametrize(
    "query",
    ["delete from visits", "attach 'b.db' as b", "select 1; select 2", "pragma writable_schema=1", "drop table visits",
     "select load_extension('x')", "select nothing from visits", "insert into visits values (1, 2, 3) returning id"],
)  # fmt: skip
def test_a_query_only_selects(query):
    base(*VISITS)
    before = Path("a.db").read_bytes()
    with pytest.raises(UltError) as raised:
        rows(query=query)
    assert "\n" not in str(raised.value)
    assert Path("a.db").read_bytes() == before
    assert not Path("b.db").exists()


def test_what_has_no_text_and_what_is_no_database():
    base("create table t (a)", "insert into t values ('x'), (x'00ff')")
    with pytest.raises(SourceError, match="row 2: 'a' is binary data"):
        rows()
    with pytest.raises(SourceError, match="has a column twice"):
        rows(query="select a, a from t")
    Path("a.db").write_bytes(b"SQLite format 3\0" + b"x" * 200)
    with pytest.raises(SourceError, match="cannot be read"):
        rows()
    with pytest.raises(SourceError, match=r"b\.db is not there"):
        rows("sqlite:b.db")

"""Tables of PostgreSQL: typed cells, only read, and no password in what is told or stored. The server is a real one."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest

import ult
from needed import needed
from ult.__main__ import main
from ult.cli.unit import unit
from ult.codecs.record.field import Field
from ult.data import open_source
from ult.data.columns.schema import Schema
from ult.data.composed.fields import texts
from ult.data.reading import Reading
from ult.data.stamp import Snapshot
from ult.data.tables.postgres import PostgresRows, shown
from ult.errors import EmptySource, InvalidConfig, SourceError, UltError

PASSWORD = "pw-0f9e8d#7"
MADE = """
create table visits as select i as id, (i * 1.5)::numeric(12, 2) as price, i % 2 = 0 as flag,
  9007199254740992 + i as big, nullif('note ' || i, 'note 2') as note,
  timestamptz '2024-05-01 10:00+02' + i * interval '1 hour' as at, array['a', null] as tags,
  '01020304-0506-0708-090a-0b0c0d0e0f10'::uuid as u, interval '1 day' as span from generate_series(1, 3000) i;
create table nothing (a int);
create table stays as select ((i * 7919) % 50)::text as patient, i as n, repeat('x', 600) as filler
  from generate_series(1, 2000) i;
create index on stays (patient);
vacuum analyze stays;
create view by_patient as select patient, n from stays;
create schema lab; create view lab.few as select id from visits where id < 9;
"""


@pytest.fixture(scope="module")
def server():
    """The address of a server that listens at a socket in a folder of its own, with a password."""
    initdb, setpriv = needed("initdb", package="postgresql"), []
    folder = Path(tempfile.mkdtemp(prefix="ult-pg-", dir="/tmp"))
    if os.geteuid() == 0:  # as whom PostgreSQL does not run
        setpriv = [needed("setpriv", package="util-linux"), "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chown(folder, 65534, 65534)
    bin_ = Path(initdb).resolve().parent

    def run(*words, **options):
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PGPASSWORD": PASSWORD}
        subprocess.run([*setpriv, *words], check=True, capture_output=True, cwd=folder, env=env, text=True, **options)

    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    asked = ["--no-sync", "-A", "scram-sha-256", "-U", "me", "--pwfile", "password"]
    run(bin_ / "initdb", "-D", "data", *asked)
    listens = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=1MB"
    run(bin_ / "pg_ctl", "-D", "data", "-o", listens, "-w", "-l", "log", "start")
    try:
        run(bin_ / "psql", "-h", folder, "-U", "me", "-q", "-d", "postgres", "-v", "ON_ERROR_STOP=1", input=MADE)
        yield f"postgresql://me:{PASSWORD.replace('#', '%23')}@/postgres?host={folder}"
    finally:
        run(bin_ / "pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def rows(address, *names, **asked):
    """Return the texts of columns, row by row."""
    opened = PostgresRows(address, Reading(**asked))
    chunks = list(opened.chunks(names or list(opened.types)))
    assert [chunk.first for chunk in chunks[:3]] == [1, 1025, 2049][: len(chunks)]
    return [row for one in chunks for row in zip(*(texts(one, name) for name in one.columns), strict=True)]


def test_cells_have_the_types_of_the_table(server):
    opened = PostgresRows(f"{server}&table=visits")
    assert [str(kind) for kind in opened.types.values()][:6] == [
        "int32", "string", "bool", "int64", "string", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    names = [name for name in opened.types if name != "span"]
    found = rows(f"{server}&table=visits", *names)
    uuid = "01020304-0506-0708-090a-0b0c0d0e0f10"
    assert len(found) == 3000
    first = ("1", "1.50", "false", str(2**53 + 1), "note 1", "2024-05-01 09:00:00Z", '["a",null]', uuid)
    assert (found[0], found[1][4]) == (first, None)
    assert rows(f"{server}&table=lab.few") == [(str(k),) for k in range(1, 9)]
    query = "select id, price from visits where id > 2998 order by id desc;"
    assert rows(server, query=query) == [("3000", "4500.00"), ("2999", "4498.50")]


@pytest.mark.parametrize(
    ("more", "query", "told"),
    [
        ("", None, "has 5 tables; it has 'by_patient', 'lab.few', "),
        ("&table=none", None, "has no table 'none'"),
        ("&table=nothing", None, "has no rows"),
        ("&table=visits", "select 1", "names a table beside --query"),
        ("", "delete from nothing returning a", "the query is refused: syntax error"),
        ("", "select nextval('s')", 'relation "s" does not exist'),
        ("", "select a from nothing for update", "the query writes"),
        ("", "select id, id from visits", "has a column twice: 'id', 'id'"),
        ("", "select 1; select 2", "the query is refused"),
        ("", "select note::int as note from visits", "cannot be read"),
    ],
)
def test_nothing_is_written_and_what_is_wrong_is_said(server, more, query, told):
    with pytest.raises(UltError) as raised:
        PostgresRows(server + more, Reading(query=query))
    assert told in str(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    assert PASSWORD not in str(raised.value)
    assert "note 1" not in str(raised.value)


def test_no_password_is_told_or_stored(server, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = f"{server}&table=visits"
    fields = ("--column", "price", "--column", "flag", "--column", "at")
    for words in (
        ("describe", address, "--drop", "span", "-o", "s.json"),
        ("fit", address, "--codec", "record/columns", *fields, "--no-encryption", "--workers", 1, "-o", "t.ult"),
        ("encode", address, "-t", "t.ult", "--workers", 1, "-o", "s"),
        ("decode", "s", "-t", "t.ult", "-o", "back.parquet"),
        ("encode", address, address, "-t", "t.ult", "-o", "s2"),
        ("encode", address.replace("/postgres?", "/none?"), "-t", "t.ult", "-o", "s2"),
        ("encode", address.replace("0f9e", "9f0e"), "-t", "t.ult", "-o", "s2"),
    ):
        monkeypatch.setattr(sys, "argv", ["ult", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
    told = "".join(capfd.readouterr())
    assert "is named twice" in told
    assert "there is no such database or user" in told
    assert "the user or the password is wrong" in told
    every = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(every) > 4
    for secret in (PASSWORD, PASSWORD[:-2], PASSWORD.replace("#", "%23"), PASSWORD.replace("0f9e", "9f0e")):
        assert secret not in told
        assert not any(secret.encode() in data for data in every)
    source = open_source([address], modality="text", column="note")
    assert PASSWORD[:-2] not in repr(source.stamp)
    assert pa.parquet.read_table("back.parquet")["price"][2].as_py() == "4.50"


def test_a_table_that_changes_between_two_passes_is_noticed(server):
    opened = PostgresRows(server, Reading(query="select i from generate_series(1, (random() * 1e5)::int + 1) i"))
    with pytest.raises(SourceError, match="changed while it was read"):
        assert all(list(opened.chunks(["i"])) for _ in range(9))


@pytest.mark.parametrize(
    "cell", ["random()", "random() > 0.5", "case when random() < 0.5 then i end", "'x' || random()"]
)
def test_other_cells_in_a_later_pass_are_noticed(server, cell):
    opened = PostgresRows(server, Reading(query=f"select {cell} as a, i as b from generate_series(1, 60) i"))  # noqa: S608
    assert all(list(opened.chunks(["b"])) for _ in range(3))
    with pytest.raises(SourceError, match="column 'a' has other cells than before"):
        assert all(list(opened.chunks(["a"])) for _ in range(2))


@pytest.mark.parametrize("name", ["stays", "by_patient"])
def test_an_index_on_the_unit_does_not_part_its_rows(server, name):
    inner = (Field(name="n", kind="number", type="int32"),)
    schema = Schema(fields=(Field(name="rows", kind="rows", fields=inner),), unit="patient", dropped=("filler",))
    found = list(open_source([f"{server}&table={name}"], modality="record", schema=schema))
    assert (len(found), {len(one[0]) for one in found}) == (50, {40})


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql://u:a%20b@db.example:5432/clinic?table=visits&password=x", "postgresql://db.example:5432/clinic"),
        ("postgres://u@h1:1,h2:2/db?sslpassword=x", "postgresql://h1:1,h2:2/db"),
        ("postgresql://u:p/w@h/db", "postgresql://"),
        ("postgresql://u:p?w@h/db", "postgresql://"),
        ("postgresql://u:p#w@h/db", "postgresql://"),
        ("postgresql://u:p@w@h/db", "postgresql://"),
        ("postgresql://u:secret", "postgresql://"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
    ],
)
def test_an_address_is_shown_without_what_it_hides(address, told):
    assert shown(address).partition("?")[0] == told
    assert Snapshot([address]).stamp()[0][0] == shown(address)
    assert unit([address], "text").startswith("each row of ")
    assert not {"p/w", "p?w", "secret", "password", "p#w", "p@w"} & set(unit([address], "text").split())


def test_a_server_that_is_not_there_is_said_without_its_address():
    with pytest.raises(
        SourceError, match=r"postgresql://127\.0\.0\.1:1/d\?table=t cannot be opened: no server listens there"
    ) as e:
        ult.describe(f"postgresql://me:{PASSWORD[:6]}@127.0.0.1:1/d?table=t")
    assert PASSWORD[:6] not in str(e.value)
    with pytest.raises(SourceError, match="the address is no valid URI"):
        PostgresRows("postgresql://h/d?tabel=t")
    with pytest.raises(InvalidConfig, match="--query is for sqlite:, postgresql: files"):
        open_source(["a.csv"], modality="text", reading={"query": "select 1"})
    assert issubclass(EmptySource, SourceError)

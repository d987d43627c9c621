"""Cells of delimited text: exact under every form that can be asked for, and none is guessed."""

import csv
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ult.cli import app
from ult.codecs.utf8 import is_utf8
from ult.data import open_sink, open_source
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import CHUNK_BYTES
from ult.data.tables.tabular import CsvRows
from ult.errors import EmptySource, InvalidConfig, SourceError

CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    [" a", '"', "\r\n", "1,5", "a;b"]
)
TABLES = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5))
ODD = 'name,value\r\n" a ", 1\r\n"x\r\ny","say ""hi"""\r\n,\r\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows(name, reading=AS_IT_IS):
    """Return the names of the columns and the rows of a file."""
    opened = CsvRows(str(name), reading)
    many = [zip(*chunk.columns.values(), strict=True) for chunk in opened.chunks(list(opened.types))]
    return list(opened.types), [list(row) for chunk in many for row in chunk]


@given(table=TABLES, mark=st.sampled_from(",;\t| x"), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_every_cell_comes_back(tmp_path_factory, table, mark, encoding):
    text = io.StringIO(newline="")
    names = [f"c{k}" for k in range(1, len(table[0]) + 1)]
    csv.writer(text, delimiter=mark, quoting=csv.QUOTE_ALL).writerows([names, *table])
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert rows(path, Reading(separator=mark)) == (names, table)
    assert rows(path, Reading(separator=mark, header=False)) == (names, [names, *table])


def test_blanks_quotes_and_line_breaks_of_a_cell_stay():
    Path("a.csv").write_bytes(ODD.encode())
    assert rows("a.csv") == (["name", "value"], [[" a ", " 1"], ["x\r\ny", 'say "hi"'], ["", ""]])


@pytest.mark.parametrize(
    ("encoding", "asked"),
    [("utf-16", None), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-8-sig", None), ("utf-8-sig", "utf8"),
     ("cp1252", "windows-1252"), ("latin-1", "latin-1"), ("utf-32", None), ("shift_jis", "shift_jis")],
)  # fmt: skip
def test_an_encoding_is_asked_for_or_says_so_itself(encoding, asked):
    cell = "日本" if encoding == "shift_jis" else "Müller €" if encoding != "latin-1" else "Müller"
    Path("a.csv").write_bytes(f"n,ö\n{cell},1\n".encode(encoding, "replace"))
    assert rows("a.csv", Reading(encoding=asked))[1] == [[cell, "1"]]


def test_files_that_need_a_word_name_it():
    Path("a.csv").write_bytes("a,b\nMüller,1\n".encode("cp1252"))
    with pytest.raises(SourceError, match=r"a.csv, line 2 is not UTF-8.*hint: --encoding NAME, where NAME is often cp"):
        rows("a.csv")
    Path("b.csv").write_bytes("some,names\nplain,words\n".encode("utf-16-be"))
    with pytest.raises(SourceError, match=r"b\.csv is UTF-16BE; .*hint: --encoding utf-16-be"):
        rows("b.csv")
    with pytest.raises(SourceError, match=r"no byte order mark.*hint: --encoding utf-16-le"):
        rows("b.csv", Reading(encoding="utf-16"))
    Path("c.csv").write_bytes(b"a\n\x81\n")
    with pytest.raises(SourceError, match="is not cp1252; expected cp1252 text"):
        rows("c.csv", Reading(encoding="cp1252"))
    Path("d.data").write_text("63.0, male\n")
    with pytest.raises(SourceError, match=r"\.data file.*hint: --no-header"):
        rows("d.data")
    assert rows("d.data", Reading(header=False)) == (["c1", "c2"], [["63.0", " male"]])


def test_separators():
    Path("a.tsv").write_text('a\tb\n1,5\t"x\ty"\n')
    assert rows("a.tsv") == (["a", "b"], [["1,5", "x\ty"]])
    Path("b.csv").write_text('sep=;\n"a";b\n1;2\n')
    assert rows("b.csv", Reading(separator=";")) == (["a", "b"], [["1", "2"]])
    Path("c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"name holds ',': .*not by ';' \(hint: --separator ,"):
        rows("c.csv", Reading(separator=";"))
    assert (
        Reading(separator="tab").mark(".csv") == Reading(separator="\\t").mark(".csv") == AS_IT_IS.mark(".tsv") == "\t"
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"separator": ";;"}, "one character"), ({"separator": '"'}, "one character"), ({"separator": ""}, "one char"),
     ({"encoding": "hex"}, "not known"), ({"encoding": "x\0"}, "not known"), ({"encoding": "utf-7"}, "not known"),
     ({"encoding": "klingon"}, "'klingon', which is not known")],
)  # fmt: skip
def test_what_cannot_be_asked(asked, message):
    with pytest.raises(InvalidConfig, match=message):
        Reading(**asked)


@pytest.mark.parametrize(
    ("asked", "name"),
    [({"separator": ";"}, "a.jsonl"), ({"header": False}, "a.txt"), ({"encoding": "cp1252"}, "a.parquet"),
     ({"sheet": "x"}, "a.csv"), ({"query": "select 1"}, "a.csv")],
)  # fmt: skip
def test_what_an_input_has_not_is_refused(asked, name):
    Path(name).write_text('{"text": "a"}\n')
    with pytest.raises(InvalidConfig, match=rf"^--\S+ is for .* files; the inputs are {Path(name).suffix}"):
        open_source([name], modality="text", reading=asked)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_lines_in_another_encoding(name):
    text = "Müller\nweiß\n" if name == "a.txt" else '{"text": "Müller"}\n{"text": "weiß"}\n'
    Path(name).write_bytes(text.encode("cp1252"))
    source = open_source([name], modality="text", reading={"encoding": "cp1252"})
    assert list(source) == ["Müller", "weiß"]
    with pytest.raises(SourceError, match="--encoding NAME"):
        list(open_source([name], modality="text"))
    for encoding in ("utf-16", "cp037"):
        with pytest.raises(SourceError, match=f"one byte.*hint: iconv -f {encoding}"):
            open_source([name], modality="text", reading={"encoding": encoding})


def test_many_columns_and_a_name_twice():
    names = [f"n{k}" for k in range(100_000)]
    Path("a.csv").write_text(",".join(names) + "\n" + ",".join("7" * len(names)) + "\n")
    assert rows("a.csv") == (names, [["7"] * len(names)])
    Path("b.csv").write_text(",".join([*names, "n99999"]) + "\n" + "," * len(names) + "\n")
    with pytest.raises(SourceError, match=r"'n99999' is column 100000 and 100001.*--no-header"):
        rows("b.csv")


def test_a_chunk_is_bounded_by_its_bytes_and_its_cells():
    Path("a.csv").write_text("a,b\n" + f"{'x' * (CHUNK_BYTES // 4)},1\n" * 9)
    assert [chunk.length for chunk in CsvRows("a.csv").chunks(["b"])] == [4, 4, 1]
    wide = "," * 9999 + "\n"
    Path("b.csv").write_text(",".join(map(str, range(10_000))) + "\n" + wide * 60)
    assert [chunk.length for chunk in CsvRows("b.csv").chunks(["5"])] == [26, 26, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [('a,b\n"x', "line 2 is not CSV: unexpected end of data"), ("a,b\n1\n", "line 2 has 1 cell; expected 2 as in"),
     ('a,b\n1,"x"y\n', "line 2 is not CSV: ',' expected after"), ("a,b\n1,2,3\n", "line 2 has 3 cells")],
)  # fmt: skip
def test_damage_is_told_by_line(text, message):
    Path("a.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        rows("a.csv")


def test_a_file_of_names_alone_is_empty():
    Path("a.tsv").write_text("a\tb\n\n")
    with pytest.raises(EmptySource, match="a header and no rows"):
        rows("a.tsv")


def test_tab_separated_output_is_read_again():
    texts = ["a\tb", 'c"', "", "d\ne", " f"]
    with open_sink("a.tsv", modality="text", column="text") as sink:
        sink.write(texts)
    assert list(open_source(["a.tsv"], modality="text")) == texts


def test_the_command_line_asks():
    Path("a.csv").write_bytes(("text;n\n" + "Müller war da;1\n" * 9).encode("cp1252"))
    asked = ["--separator", ";", "--encoding", "cp1252", "--column", "text"]
    done = CliRunner().invoke(app, ["dedupe", "a.csv", "-o", "b.csv", *asked])
    assert done.exit_code == 0, done.output
    assert Path("b.csv").read_text("utf-8") == "text\nMüller war da\n"
    Path("h.data").write_text("7 apples\n7 apples\n")
    done = CliRunner().invoke(app, ["dedupe", "h.data", "-o", "c.tsv", "--no-header"])
    assert Path("c.tsv").read_text("utf-8") == "c1\n7 apples\n"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_bytes_are_utf8_where_python_decodes_them(size):
    ends = b"\0A\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff"
    for some in itertools.product(ends, repeat=size):
        for data in (bytes(some), b"a" * 9 + bytes(some), bytes(some) + b"\x80"):
            assert is_utf8(data) == (data.decode("utf-8", "ignore").encode() == data)

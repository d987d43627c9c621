"""The picture of a record: every piece stands at its field, and together the pieces say the cell."""

import re
import stat

import numpy as np
import pytest
import typer

import ult
from ult.cli import app
from ult.codecs.record import RecordColumns
from ult.errors import InvalidConfig, WrongTable
from ult.owner.picture import lines, picture

FIELDS = [
    {"name": "sex", "kind": "category"},
    {"name": "age", "kind": "number", "edges": ["40", "60.5"], "absent": "50"},
    {"name": "visits", "kind": "rows", "fields": [
        {"name": "code", "kind": "category", "absent": "Z00"},
        {"name": "value", "kind": "number", "by": "code", "edges": ["1"], "edges_by": {"K": ["4", "5"]}},
        {"name": "note", "kind": "text"},
    ]},
    {"name": "scan", "kind": "image"},
]  # fmt: skip
SCAN = np.full((8, 8), 90, np.uint8)
RECORDS = [
    ("f", "071", (("K", "4.20", "tired, short of breath"), ("Z00", "0.5", "no complaints")), SCAN),
    ("m", "50", (), SCAN),
    ("d", "-3", (("K", "9", "é and 日本"), ("K", "3.9", "")), SCAN),
]


@pytest.fixture(scope="module")
def table():
    codec, vocabulary = RecordColumns(fields=FIELDS), ult.Vocabulary(size=900)
    return ult.Table.fit(RECORDS * 20, codec=codec, vocabulary=vocabulary, min_records=2)


@pytest.mark.parametrize("record", RECORDS)
def test_the_pieces_of_a_field_are_its_cell(table, record):
    ids = table.encode(record)
    found = lines(table, ids)
    assert [piece.id for line in found for piece in line.pieces if not piece.goes_on] == ids.tolist()
    said = {(line.field, line.row): "".join(piece.text for piece in line.pieces) for line in found}
    sex, age, visits, _ = record
    assert said["sex", None] == sex
    assert said["age", None] == {"071": "[60.5, ∞) 071", "50": "", "-3": "[-∞, 40) -3"}[age]
    assert said["scan", None].startswith("(")
    for row, (code, value, note) in enumerate(visits):
        assert said["code", row] == ("" if code == "Z00" else code)
        assert re.sub(r"\[.*\) ", "", said["value", row]) == value
        assert said["note", row] == note
    assert all(line.cell for line in found if line.field in ("age", "code", "value"))
    assert [line.row for line in found if line.head] == list(range(len(visits)))  # an empty note is no head of a row
    assert {line.field for line in found if line.head} <= {"visits"}


def test_a_bin_is_told_by_the_edges_of_its_code(table):
    said = {
        (line.field, line.row): "".join(piece.text for piece in line.pieces)
        for line in lines(table, table.encode(RECORDS[0]))
    }
    assert said["value", 0].startswith("[4, 5)")
    assert said["value", 1].startswith("[-∞, 1)")


def test_the_owner_sees_the_picture_and_nobody_else(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "notes.txt").write_text("".join(f"patient {n % 7} has <b>no</b> fever\n" for n in range(40)))
    for name, symbols in (("t.ult", "300"), ("other.ult", "310")):
        app(["fit", "notes.txt", "-o", name, "--no-encryption", "--vocabulary-size", symbols], standalone_mode=False)
    app(["encode", "notes.txt", "-t", "t.ult", "-o", "s"], standalone_mode=False)
    capsys.readouterr()
    app(["inspect", "s", "-t", "t.ult", "--record", "39", "--plot", "one.png"], standalone_mode=False)
    told = capsys.readouterr()
    assert "record 39 of 40" in told.out
    assert "in the clear" in told.err
    assert stat.S_IMODE((tmp_path / "one.png").stat().st_mode) == 0o600
    assert "".join(piece.text for line in picture("s", "t.ult", 39).lines for piece in line.pieces) == (
        "patient 4 has <b>no</b> fever"
    )
    with pytest.raises(InvalidConfig, match="from 0 to 39"):
        picture("s", "t.ult", 40)
    with pytest.raises(WrongTable):
        picture("s", "other.ult")
    with pytest.raises((typer.Exit, WrongTable)):
        app(["inspect", "s", "-t", "other.ult", "--plot", "two.png"], standalone_mode=False)
    assert not (tmp_path / "two.png").exists()

"""Sheets of Excel: what a cell holds, as text; what cannot be read is told by sheet and cell."""

import datetime as dt
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from ult.data import open_source
from ult.data.reading import Reading
from ult.data.tables.excel import ExcelRows
from ult.errors import EmptySource, InvalidConfig, MissingSource, SourceError, UltError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def book(rows, name="a.xlsx", **sheets):
    made = openpyxl.Workbook()
    made.active.title = "Data"
    for row in rows:
        made.active.append(row)
    for title, others in sheets.items():
        sheet = made.create_sheet(title)
        for row in others:
            sheet.append(row)
    made.save(name)
    return made


def rows(name="a.xlsx", **asked):
    opened = ExcelRows(name, Reading(**asked))
    many = [zip(*chunk.columns.values(), strict=True) for chunk in opened.chunks(list(opened.types))]
    return list(opened.types), [row for chunk in many for row in chunk]


def test_values_are_texts():
    values = {
        "number": (5, "5"), "float": (0.1, "0.1"), "big": (2**53, "9007199254740992"), "small": (5e-324, "5e-324"),
        "text": (" 5.00", " 5.00"), "date": (dt.date(2024, 5, 1), "2024-05-01"),
        "moment": (dt.datetime(2024, 5, 1, 8, 30), "2024-05-01 08:30:00"), "time": (dt.time(8, 30), "08:30:00"),
        "span": (dt.timedelta(hours=30, seconds=1), "30:00:01"), "bool": (True, "TRUE"), "error": ("#N/A", "#N/A"),
        "empty": (None, None), "lines": ("a\nb", "a\nb"),
    }  # fmt: skip
    book([list(values), [value for value, _ in values.values()], ["x"]])
    names, found = rows()
    assert names == list(values)
    assert dict(zip(names, found[0], strict=True)) == {name: text for name, (_, text) in values.items()}
    assert found[1] == ("x", *[None] * (len(values) - 1))


def test_floats_come_back():
    bits = np.random.default_rng(1).integers(0, 2**63 - 2**53, 300).view(np.float64)
    values = [float(f"{value:.15g}") for value in bits]  # openpyxl writes 16 digits, Excel 17
    book([["x"], *([value] for value in values)])
    assert [float(text) for (text,) in rows()[1]] == values


def test_a_sheet_is_asked_for():
    book([["a"], [1]], Other=[["b"], [2]])
    with pytest.raises(SourceError, match=r"has 2 sheets: 'Data', 'Other'.*hint: --sheet NAME"):
        rows()
    assert rows(sheet="Other") == (["b"], [("2",)])
    with pytest.raises(MissingSource, match="has no sheet 'None'"):
        rows(sheet="None")
    Path("a.csv").write_text("a\n1\n")
    with pytest.raises(InvalidConfig, match=r"--sheet is for \.xlsx"):
        open_source(["a.csv"], modality="text", reading={"sheet": "Data"})


def test_rows_that_are_hidden_merged_or_empty():
    made = book([["a", "b"], ["x", "y"], [], ["z", None]])
    made.active.row_dimensions[4].hidden = True
    made.active.merge_cells("A2:B2")
    made.save("a.xlsx")
    opened = ExcelRows("a.xlsx")
    assert rows() == (["a", "b"], [("x", None), ("z", None)])
    assert [one.place(1) for one in opened.chunks(["a"])] == ["a.xlsx, sheet 'Data', row 4"]
    assert "1 merged ranges" in opened.told[0]
    assert "1 hidden rows" in opened.told[1]


def test_formulas_have_the_value_that_is_stored():
    book([["a", "b"], [1, "=A2+1"]])
    with pytest.raises(SourceError, match=r"cell B2 has a formula without a value .hint: open the workbook"):
        rows()
    with zipfile.ZipFile("a.xlsx") as old, zipfile.ZipFile("b.xlsx", "w") as new:
        for name in old.namelist():
            data = old.read(name).replace(b"<f>A2+1</f><v />", b"<f>A2+1</f><v>2</v>").replace(b"<v></v>", b"<v>2</v>")
            new.writestr(name, data)
    assert rows("b.xlsx") == (["a", "b"], [("1", "2")])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([["a", None, "b"], [1, 2, 3]], "cell B1 is empty; expected the name"),
        ([["a", "a"], [1, 2]], "names a column twice: 'a'"),
        ([["a"], [1, 2]], "cell B2 is beyond the last of 1 columns"),
        ([["a"]], "names of columns and no rows"),
        ([], "'Data' is empty"),
    ],
)  # fmt: skip
def test_sheets_that_are_no_table(made, message):
    book(made)
    with pytest.raises(EmptySource if len(made) < 2 else SourceError, match=message):
        rows()


def test_without_a_header():
    book([[1, "a"], [2, "b"]])
    assert rows(header=False) == (["c1", "c2"], [("1", "a"), ("2", "b")])
    assert list(open_source(["a.xlsx"], modality="text", column="c2", reading={"header": False})) == ["a", "b"]
    with pytest.raises(SourceError, match="has no column 'c9'"):
        open_source(["a.xlsx"], modality="text", column="c9", reading={"header": False})


def test_numbers_of_a_sheet_are_series():
    book([["x", "y"], [1, 2.5], [3, None]])
    first, second = open_source(["a.xlsx"], modality="series")
    assert first.tolist() == [1, 2.5]
    assert np.isnan(second[1])


def test_damage_is_one_line():
    book([["a", "b"], *([i, f"text {i}"] for i in range(50))])
    whole = Path("a.xlsx").read_bytes()
    for length in range(1, len(whole), 400):
        Path("a.xlsx").write_bytes(whole[:length])
        with pytest.raises(UltError, match=r"^a\.xlsx [^\n]+$"):
            rows()
    rng = np.random.default_rng(2)
    for _ in range(12):
        broken = np.frombuffer(whole, np.uint8).copy()
        broken[rng.integers(0, len(broken), 6)] ^= 255
        Path("a.xlsx").write_bytes(broken.tobytes())
        try:
            rows()
        except UltError as error:
            assert "\n" not in str(error)  # noqa: PT017

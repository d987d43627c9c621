"""Columns that are left out of shards are named, and a misspelt column is answered by the one that is meant."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ult.data import open_source
from ult.errors import MissingColumn
from ult.owner.inputs import remarks


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("id,label,text\n" + "".join(f"{n},A,no fever {n}\n" for n in range(9)))
    return path


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ((), ["2 columns are left out: 'id', 'label'"]),
        (("label",), ["1 column is left out: 'id'"]),
        (("label", "id"), []),
    ],
)
def test_a_remark_names_the_columns_that_are_left_out(notes, keep, said):
    assert remarks(open_source([notes], modality="text", column="text", keep=keep)) == said


def test_a_remark_names_eight_of_many_and_the_beginning_of_a_long_one(tmp_path):
    names = ["text", "x" * 50, *(f"c{n}" for n in range(19))]
    pq.write_table(pa.table({name: ["a", "b"] for name in names}), tmp_path / "wide.parquet")
    (said,) = remarks(open_source([tmp_path / "wide.parquet"], modality="text", column="text"))
    assert said.startswith(f"20 columns are left out: '{'x' * 40}...', 'c0', ")
    assert said.endswith("'c6' and 12 more")


def test_columns_of_any_input_are_named_and_those_of_a_record_are_not(notes, tmp_path):
    (tmp_path / "more.csv").write_text("text,ward\nfever,3\n")
    both = open_source([notes, tmp_path / "more.csv"], modality="text", column="text")
    assert both.left_out == ("id", "label", "ward")
    (tmp_path / "wide.csv").write_text("a,b,c\n1.5,2,3\n4,5,6\n")
    wide = open_source([tmp_path / "wide.csv"], modality="series", keep=["c"])
    assert (wide.fields, wide.left_out) == (("a", "b"), ())
    assert open_source([tmp_path / "wide.csv"], modality="series", column="b").left_out == ("a", "c")


def test_what_is_made_of_the_names_of_images_is_no_column_that_is_left_out(tmp_path):
    for n in range(2):
        Image.new("L", (8, 8), n).save(tmp_path / f"{n}.png")
    assert open_source([tmp_path], modality="image").left_out == ()
    (tmp_path / "labels.csv").write_text("name,age\n0.png,7\n1.png,9\n")
    assert open_source([tmp_path], modality="image").left_out == ("age",)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("txt", "did you mean 'text'?"), ("TEXT", "did you mean 'text'?"), ("lable", "did you mean 'label'?"), ("zz", "")],
)
def test_a_misspelt_column_is_answered_by_one_that_is_there(notes, asked, hint):
    with pytest.raises(MissingColumn) as caught:
        open_source([notes], modality="text", column=asked)
    assert caught.value.hint == hint


def test_no_hint_names_a_column_to_publish(notes):
    with pytest.raises(MissingColumn, match="has no column 'lable'") as caught:
        open_source([notes], modality="text", column="text", keep=["lable"])
    assert not caught.value.hint

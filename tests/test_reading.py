"""Inputs as people have them are read as meant, or refused with place and hint; nothing is silently lost."""

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ult
from ult.codecs.image import ImageDct
from ult.codecs.series import SeriesMulaw
from ult.data import files, open_source
from ult.data.opening import open_inputs
from ult.errors import EmptySource, InvalidRecord, MissingColumn, MissingSource, OutputError, SourceError
from ult.host.free import check_free
from ult.trainer.datasets import packing


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(*names: str, modality: str = "text", **options: Any) -> list[Any]:
    return list(open_source(names, modality=modality, **options))


def refused(*names: str, modality: str = "text", **options: Any) -> SourceError:
    with pytest.raises(SourceError) as raised:
        read(*names, modality=modality, **options)
    return raised.value


def test_json_lines_as_they_are_found() -> None:
    Path("blank.jsonl").write_text('\n{"text": "a"}\n  \r\n\n{"text": "b"}\n\n')
    assert read("blank.jsonl") == ["a", "b"]
    Path("nan.jsonl").write_text('{"text": "a", "n": NaN}\n{"text": "b", "n": [-Infinity]}\n')
    assert read("nan.jsonl") == ["a", "b"]
    assert "line 1: 'n' is NaN, which is not JSON" in refused("nan.jsonl", keep=["n"]).what
    Path("wrong.jsonl").write_text('{"text": "a"}\n\n\n{"text": 5}\n')
    assert "wrong.jsonl, line 4: 'text' is int" in refused("wrong.jsonl").what
    Path("a list.json").write_text('[{"text": "a"}]')
    assert refused("a list.json").hint.startswith("jq -c '.[]' 'a list.json' > 'a list.jsonl'")
    Path("white.jsonl").write_text("\n \n\n")
    assert isinstance(refused("white.jsonl"), EmptySource)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "c d.jsonl"])
def test_text_of_two_bytes_a_character_is_never_taken_for_another(name: str, encoding: str) -> None:
    text = "text\nFranz Müller\n" if name == "a.txt" else '{"text": "Franz Müller"}\n'
    Path(name).write_bytes(text.encode(encoding))
    error = refused(name)
    assert f"{name} is UTF-" in error.what
    assert error.hint.startswith(f"iconv -f {encoding[:6]}")
    assert "latin" not in error.hint
    assert shlex.split(error.hint)[5] == name


def test_text_with_zeros_is_text() -> None:
    Path("a.txt").write_bytes(b"a\0b\0c\0d\ne\0f plain words after it\n")
    assert read("a.txt") == ["a\0b\0c\0d", "e\0f plain words after it"]


def test_an_empty_file_among_many_is_named_and_all_empty_is_an_error() -> None:
    Path("a.csv").write_text("text\none\n")
    Path("b.csv").write_text("text\n")
    Path("c.csv").touch()
    source = open_source(["a.csv", "b.csv", "c.csv"], modality="text")
    assert list(source) == ["one"]
    assert source.empty == ("b.csv", "c.csv")
    assert isinstance(refused("b.csv", "c.csv"), EmptySource)
    for name, array in (("none.npy", np.zeros((0, 3))), ("flat.npy", np.zeros(0))):
        np.save(name, array)
        assert isinstance(refused(name, modality="series"), EmptySource)


def test_pipes_and_links_to_nothing_are_called_what_they_are() -> None:
    os.mkfifo("a.txt")
    Path("b.txt").symlink_to("gone")
    for name in ("a.txt", "/dev/null"):
        assert "is a pipe or a device" in refused(name).what
    assert "is a link to nothing" in refused("b.txt").what
    error = refused("-")
    assert ("standard input is not read" in error.what, "COMMAND > records.csv" in error.hint) == (True, True)
    with pytest.raises(OutputError, match="nothing is written to standard output"):
        check_free("-", force=False)


def pixels(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def test_folders_behind_links_are_read_once_and_loops_end() -> None:
    pixels("in/cat/a.png")
    pixels("elsewhere/deep/b.png")
    Path("in/dog").symlink_to(Path("elsewhere").resolve())
    Path("in/cat/loop").symlink_to(Path("in").resolve())
    source = open_source(["in"], modality="image", keep=["name"])
    names = [name for batch in source.batches() for name in batch.kept["name"].to_pylist()]
    assert names == ["cat/a.png", "dog/deep/b.png"]
    assert files.expand("in/**/*.png") == ["in/cat/a.png", "in/dog/deep/b.png"]


def test_a_folder_that_may_not_be_listed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels("in/cat/a.png")
    pixels("in/dog/a.png")
    listed = os.listdir

    def denied(path: Any) -> list[str]:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "listdir", denied)
    for name in ("in", "in/**/*.png", "in/*/*.png"):
        assert "in/dog cannot be listed: Permission denied" in refused(name, modality="image").what


def test_one_image_is_not_many_and_channels_come_last() -> None:
    for name, shape in (("rgb", (64, 48, 3)), ("rgba", (64, 48, 4)), ("first", (3, 64, 48))):
        np.save(f"{name}.npy", np.zeros(shape, np.uint8))
        assert f"is an array {shape}: one image in colour" in refused(f"{name}.npy", modality="image").what
    np.save("one.npy", np.zeros((1, 64, 48, 3), np.uint8))
    np.save("grey.npy", np.zeros((64, 48, 3, 1), np.uint8))
    assert [one.shape for one in read("one.npy", modality="image")] == [(64, 48, 3)]
    assert {one.shape for one in read("grey.npy", modality="image")} == {(48, 3)}


def test_masked_values_are_not_encoded() -> None:
    record = np.ma.masked_array([1.0, 2.0, 999.0], mask=[False, False, True])
    for codec, one in (
        (SeriesMulaw(low=0.0, high=9.0), record),
        (ImageDct(), np.ma.masked_array(np.zeros((8, 8), np.uint8), mask=np.eye(8))),
    ):
        with pytest.raises(InvalidRecord, match="masked"):
            codec.encode(one)
    with pytest.raises(InvalidRecord, match=r"records\[1\]: record is a masked array with 1 of 3"):
        SeriesMulaw.calibrated([record.data, record])
    assert len(SeriesMulaw().encode(np.ma.masked_array([0.5], mask=[False])).symbols) == 1


REACTION = "CC.O=C([O-]->[K+])c1ccccc1>>CCO"


def test_dative_bonds_and_extensions_of_reactions() -> None:
    Path("a.txt").write_text(REACTION + "\n")
    assert read("a.txt", modality="molecule", side="right") == ["CCO"]
    assert read("a.txt", modality="molecule", side="left") == [REACTION.removesuffix("CCO")]
    Path("b.txt").write_text("N->[Cu].N->[Zn]\n")
    assert "b.txt, line 1 holds 0 of '>'" in refused("b.txt", modality="molecule", side="right").what
    for extended in ("CCO.[Na+].[Cl-]>>CC |f:1.2|", "CC>>CO\tpatent 7"):
        Path("c.txt").write_text(extended + "\n")
        assert read("c.txt", modality="molecule") == [extended]
        for side in ("left", "right"):
            assert "line 1 holds white space" in refused("c.txt", modality="molecule", side=side).what


def test_canonical_smiles_are_canonical() -> None:
    pytest.importorskip("rdkit")
    Path("a.txt").write_text(f"[NH3][Pt][NH3]\nCC(=O)[O-][Na+]\n{REACTION}\n")
    first = open_source(["a.txt"], modality="molecule", canonical=True)
    Path("b.txt").write_text("".join(one + "\n" for one in first))
    again = open_source(["b.txt"], modality="molecule", canonical=True)
    assert list(again) == Path("b.txt").read_text().splitlines()
    assert not first.invalid
    assert not again.invalid


def test_two_labels_of_one_image_are_refused() -> None:
    pixels("in/a.png")
    Path("in/labels.csv").write_text("name,label\na.png,cat\na.png,dog\n")
    assert "two rows for 'a.png'" in refused("in", modality="image", keep=["label"]).what


KINDS = {"string": ["a", "b"], "large_string": ["c", "d"], "string_view": ["e", "f"]}


def test_parquet_types_of_one_meaning_are_one_source() -> None:
    names = []
    for kind, texts in KINDS.items():
        values = pa.array(texts).cast(getattr(pa, kind)())
        pq.write_table(pa.table({"text": values, "label": values}), f"{kind}.parquet")
        names.append(f"{kind}.parquet")
    values = pa.array(["g", "g"]).dictionary_encode()
    pq.write_table(pa.table({"text": values, "label": values}), "dictionary.parquet")
    source = open_source([*names, "dictionary.parquet"], modality="text", column="text", keep=["label"])
    batches = list(source.batches())
    assert [text for batch in batches for text in batch.records] == [*"abcdef", "g", "g"]
    assert [text for batch in batches for text in batch.kept["label"].to_pylist()] == [*"abcdef", "g", "g"]
    for name, numbers in (("i", pa.array([1, 2**53 + 1])), ("f", pa.array([1.5, None])), ("s", pa.array([3], "int16"))):
        pq.write_table(pa.table({"g": numbers, "text": ["x"] * len(numbers)}), f"{name}.parquet")
    kept = open_source(["s.parquet", "f.parquet"], modality="text", column="text", keep=["g"])
    assert [value for batch in kept.batches() for value in batch.kept["g"].to_pylist()] == [3.0, 1.5, None]
    found = read("f.parquet", "s.parquet", modality="series", keep=["text"])
    assert [float(one[0]) for one in found if not np.isnan(one[0])] == [1.5, 3.0]
    assert "cannot be kept" in refused("i.parquet", "f.parquet", column="text", keep=["g"]).what  # it is no float64
    pq.write_table(pa.table({"g": ["1.5"], "text": ["x"]}), "t.parquet")
    assert "expected one type" in refused("f.parquet", "t.parquet", modality="series", keep=["text"]).what


def test_labels_of_every_kind_that_shards_take_are_numbered() -> None:
    texts = pa.array(["x", "y", "x"])
    for values, classes in (
        (texts.cast(pa.string_view()), {"x": 0, "y": 1}),
        (texts.dictionary_encode(), {"x": 0, "y": 1}),
        (pa.array([True, False, True]), {1: 0, 0: 1}),
        (pa.array([7, 9, 7], "uint8"), {7: 0, 9: 1}),
    ):
        seen: dict[Any, int] = {}
        assert packing._numbers(pa.chunked_array([values]), "label", seen).tolist() == [0, 1, 0]
        assert seen == classes


VALUES = {
    "missing": (["1.5", "NA", "2"], r"genes.csv, row 2: 'g' is a missing value spelled 'NA'"),
    "censored": (["<0.1", "1"], r"genes.csv, row 1: 'g' is no number"),
    "units": (["5 mg", "7 mg"], r"genes.csv, row 1: 'g' is no number"),
    "nothing": (["NA", "N/A"], r"genes.csv, row 1: 'g' is a missing value"),
}


@pytest.mark.parametrize("name", VALUES)
def test_no_hint_publishes_a_column_of_values(name: str) -> None:
    cells, message = VALUES[name]
    Path("genes.csv").write_text("id,g\n" + "".join(f"p{i},{cell}\n" for i, cell in enumerate(cells)))
    error = refused("genes.csv", modality="series", keep=["id"])
    assert message in error.what
    assert "--keep" not in str(error)
    error = refused("genes.csv", modality="series")  # the column of names is no value, but the other comes first
    assert "--keep" not in str(error)


def test_no_hint_publishes_values_of_other_types() -> None:
    from decimal import Decimal

    columns: dict[str, pa.Array] = {
        "bool": pa.array([True, False]),
        "decimal": pa.array([Decimal("1.5"), None]),
        "null": pa.nulls(2),
        "text": pa.array(["1.5", None]),
        "date": pa.array([1, 2], pa.date32()),
        "time": pa.array([1, 2], pa.timestamp("us")),
    }
    for name, values in columns.items():
        pq.write_table(pa.table({"x": [1.0, 2.0], "g": values}), f"{name}.parquet")
        error = refused(f"{name}.parquet", modality="series")
        assert "--keep" not in str(error), name
        assert "'g'" in error.what


@pytest.mark.parametrize(("name", "header"), [("sample id", "sample id,g1"), ("", '"",g1'), ("it's", "it's,g1")])
def test_a_hint_can_be_pasted(name: str, header: str) -> None:
    Path("a.csv").write_text(header + "\ns1,1\ns2,2\n")
    error = refused("a.csv", modality="series")
    assert shlex.split(error.hint) == ["--keep", name]
    assert "in the clear" in error.what


def test_an_image_without_a_label_does_not_lead_to_publishing_its_name() -> None:
    pixels("in/anna_huber.png")
    with pytest.raises(MissingColumn) as raised:
        read("in", modality="image", keep=["label"])
    assert "--keep name" not in str(raised.value)


def test_folders_of_other_tools_are_named_by_what_is_in_them() -> None:
    Path("d.parquet/deep").mkdir(parents=True)
    for name in ("_SUCCESS", "._SUCCESS.crc"):
        Path("d.parquet", name).touch()
    pq.write_table(pa.table({"text": ["a b", "c d"]}), "d.parquet/part-00000.snappy.parquet")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), "d.parquet/part-00001.snappy.parquet")
    error = refused("d.parquet")
    assert isinstance(error, MissingSource)
    assert read(shlex.split(error.hint)[0]) == ["a b", "c d"]
    Path("d.parquet/part-00000.snappy.parquet").rename("d.parquet/deep/part-00000.snappy.parquet")
    assert read(shlex.split(refused("d.parquet").hint)[0]) == ["a b", "c d"]


def test_what_save_to_disk_wrote_is_read() -> None:
    datasets = pytest.importorskip("datasets")
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"text": ["a b", "c d"]})
    data.save_to_disk("disk")
    datasets.DatasetDict(train=data, test=data.select([1])).save_to_disk("both")
    if shown:
        datasets.enable_progress_bars()
    assert read("hf:disk") == ["a b", "c d"]
    assert read("hf:both?split=test") == ["c d"]
    assert shlex.split(refused("hf:both").hint) == ["hf:both?split=train"]
    assert "splits 'train', 'test'" in refused("hf:both?split=valid").what


def test_a_refused_record_is_named() -> None:
    values = np.ones((500, 3))
    values[:, 0] = np.arange(500)
    np.save("good.npy", values)
    values[321, 1] = np.inf
    np.save("bad.npy", values)
    source = open_source(["good.npy", "bad.npy"], modality="series")
    with pytest.raises(InvalidRecord, match=r"^bad\.npy, row 322: value 2 is infinite"), source.naming(SeriesMulaw()):
        ult.Table.fit(source, codec="series/mulaw", vocabulary=ult.Vocabulary(512), min_records=1)
    with pytest.raises(InvalidRecord, match=r"^records\[321\]: value 2 is infinite"):
        ult.Table.fit(list(values), codec="series/mulaw", vocabulary=ult.Vocabulary(512), min_records=1)
    table = ult.Table.fit(list(values[:9]), codec="series/mulaw", vocabulary=ult.Vocabulary(512), min_records=1)
    with pytest.raises(InvalidRecord, match=r"^records\[321\]: value 2 is infinite"):
        table.encode_batch(list(values))


def test_csv_of_other_marks_and_other_files_of_that_name() -> None:
    for name, text in (("semi", "text;label\na;1\n"), ("tab", "text\tlabel\na\t1\n"), ("excel", "sep=;\ntext;label\n")):
        Path(f"{name}.csv").write_text(text)
        error = refused(f"{name}.csv")  # or the label would be taken for a part of the text
        assert "separated by that, not by commas" in error.what
        assert error.hint == ("--separator tab" if name == "tab" else "--separator ';'")
    Path("blank.csv").write_text("\ntext,n\na,1\n\nb,2\n\n")
    assert read("blank.csv", column="text") == ["a", "b"]
    for start, kind in ((b"PK\3\4" + bytes(99), "Excel"), (b"\x1f\x8b" + bytes(99), "gzip"), (b"PAR1", "Parquet")):
        Path("x.csv").write_bytes(start)
        assert kind in refused("x.csv").what
    Path("a b.csv.gz").touch()
    assert refused("a b.csv.gz").hint == "gunzip -k 'a b.csv.gz'"
    Path("truths.csv").write_text("ill,v\nTrue,1\nFalse,2\n")
    assert "--keep" not in str(refused("truths.csv", modality="series"))


def test_images_of_formats_that_are_not_read_are_named() -> None:
    pixels("in/cat/a.png")
    Path("in/cat/b.HEIC").touch()
    assert open_source(["in"], modality="image").empty == ("in/cat/b.HEIC",)


def test_records_that_a_codec_is_to_take_are_named_at_once() -> None:
    Path("a.csv").write_text("x,y\n1,2\n3,inf\n")
    with pytest.raises(InvalidRecord, match=r"^a\.csv, row 2, column 'y': value 2 is infinite"):
        open_source(["a.csv"], modality="series").records(SeriesMulaw())


def test_hints_that_name_a_column_or_a_split_can_be_pasted() -> None:
    pq.write_table(pa.table({"my text": ["a"], "other text": ["b"]}), "a.parquet")
    assert shlex.split(refused("a.parquet").hint) == ["--column", "my text"]
    Path("b.csv").write_text("id,label,note\n7,no,longer than its label\n8,yes,\n")
    assert shlex.split(refused("b.csv").hint) == ["--column", "note"]  # not the first: a table of ids reads no notes
    np.savez("a.npz", **{"x y": np.ones((2, 3)), "z": np.ones((2, 3))})
    assert shlex.split(refused("a.npz", modality="series").hint) == ["--column", "x y"]


def test_the_glob_that_a_folder_is_hinted_at_reads_each_of_its_files() -> None:
    for name in ("my [1] notes/a.TXT", "my [1] notes/ward/b.TXT", "my [1] notes/ward/deep/c.TXT"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    pattern, *_ = shlex.split(refused("my [1] notes").hint)
    assert len(read(pattern)) == 3  # a shell would read an unquoted ** as *, and leave out two of them


def test_a_folder_of_images_is_read_by_the_codec_that_its_hint_names() -> None:
    Path("scans").mkdir()
    Path("scans/read me.txt").write_text("of ward 3")
    for n in range(2):
        Image.new("L", (8, 8), n).save(f"scans/{n}.png")
    assert refused("scans").hint == "its records are of modality image: --codec image/dct"
    Path("scans/2.png").write_bytes(Path("scans/1.png").read_bytes()[:50])
    error = refused("scans", modality="image")
    assert "scans/2.png" in error.what
    assert "--skip-unreadable" in error.hint


def test_a_file_of_fhir_is_read_as_its_hint_says() -> None:
    Path("export").mkdir()
    Path("export/Patient.ndjson").write_text(
        '{"resourceType": "Patient", "id": "a", "birthDate": "1950-01-01", "deceasedDateTime": "2000-01-01"}\n'
        '{"resourceType": "Patient", "id": "b", "birthDate": "1960-01-01"}\n'
    )
    error = refused("export/Patient.ndjson")
    assert "expected to be told which" in error.what  # not that line 2 lacks a field that nobody asked for
    address, *_ = shlex.split(error.hint)
    opened, _ = open_inputs([address], "record")
    assert "birth" in str([chunk.columns["code"] for chunk in opened[0].chunks(["code"])]).lower()

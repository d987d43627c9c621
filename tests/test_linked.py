"""Columns that name files: images and series beside a table become fields of its records. All people are invented."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import ult
from ult.codecs.clipped import clipped
from ult.data import open_source
from ult.data.images.image import packed, to_pixels
from ult.errors import InvalidRecord, OutputError, SourceError

N = 12
FORMS = {"scan": "image", "ecg": "series"}


def scan(k, deep=False):
    grey = (np.arange(8 * (9 + k % 2)).reshape(8, -1) * (k + 1)) % 251
    return (grey * 16 - 1000).astype(np.int16) if deep else grey.astype(np.uint8)


def ecg(k):
    return np.sin(np.arange(20 + k)) * 3


@pytest.fixture
def patients(tmp_path):
    """A table of patients, each with a scan and a series; some have none."""
    (tmp_path / "files").mkdir()
    with (tmp_path / "p.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["ward", "scan", "ecg"])
        for k in range(N):
            Image.fromarray(scan(k)).save(tmp_path / f"files/Doe{k}.png")
            np.save(tmp_path / f"files/Doe{k}.npy", ecg(k))
            table.writerow(["ab"[k % 2], "" if k == 3 else f"files/Doe{k}.png", "" if k == 4 else f"files/Doe{k}.npy"])
    return tmp_path / "p.csv"


def fit(inputs, out, **options):
    """Fit a small table of records and store it in the clear."""
    given = {"codec": "record/columns", "vocabulary_size": 2000, "min_records": 1, "encrypt": False, "workers": 1}
    return ult.fit(inputs, out, **{"forms": FORMS} | given | options).table


def ids(inputs, table, tmp_path):
    """Encode, and return the ids; the shards are in `s`."""
    ult.encode(inputs, table, tmp_path / "s", workers=1, force=True)
    return [one.tolist() for one in ult.Shards(tmp_path / "s").ids()]


def test_a_folder_comes_back_whose_table_names_files_by_their_rows(tmp_path, patients):
    table = fit(patients, tmp_path / "t.ult")
    first = ids(patients, table, tmp_path)
    ult.decode(tmp_path / "s", table, tmp_path / "back")
    lines = (tmp_path / "back/records.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["ward,scan,ecg", "a,scan/00000001.png,ecg/00000001.npy"]
    assert lines[4:6] == ["b,,ecg/00000004.npy", "a,scan/00000005.png,"]
    assert not [path for path in (tmp_path / "back").rglob("*") if "Doe" in path.name]
    assert len(list((tmp_path / "back").rglob("*.*"))) == 1 + 2 * (N - 1)
    image = table.codec.kinds[1].codec
    for k in (0, 1, N - 1):
        again = np.asarray(Image.open(tmp_path / f"back/scan/{k + 1:08d}.png"))
        assert np.abs(again.astype(int) - scan(k)).max() <= image.error_bound(scan(k))
        bound = table.codec.kinds[2].codec.error_bound(ecg(k))
        assert (np.abs(np.load(tmp_path / f"back/ecg/{k + 1:08d}.npy") - ecg(k)) <= bound).all()
    assert ids(tmp_path / "back/records.csv", table, tmp_path) == first
    ult.decode(tmp_path / "s", table, tmp_path / "back", force=True)
    ult.decode(tmp_path / "s", table, tmp_path / "back.parquet")
    assert ids(tmp_path / "back.parquet", table, tmp_path) == first
    with pytest.raises(OutputError, match=r"\.csv cannot hold 'scan'.*back for a folder"):
        ult.decode(tmp_path / "s", table, tmp_path / "back.csv")
    (tmp_path / "back/mine.txt").write_text("x")
    with pytest.raises(OutputError, match=r"holds mine\.txt"):
        ult.decode(tmp_path / "s", table, tmp_path / "back", force=True)


def test_options_hold_every_value_of_the_column(tmp_path, patients):
    for k in range(N):
        Image.fromarray(np.abs(scan(k, deep=True)).astype(np.uint16)).save(tmp_path / f"files/Doe{k}.png")
    schema = ult.describe(patients, forms=FORMS).schema
    options = {one.name: one.options for one in schema.fields}
    assert options["scan"] == {"bits": 12, "low": 0, "high": 4095, "places": 4}
    assert (options["ecg"]["low"], options["ecg"]["high"]) == pytest.approx((-3, 3), abs=0.1)
    table = fit(patients, tmp_path / "t.ult", forms=None, schema=schema)
    np.save(tmp_path / "files/Doe0.npy", np.array([9.0, 0.0]))
    assert "1 of " in str(ult.encode(patients, table, tmp_path / "s", workers=1).remarks())
    assert clipped(table.codec, [("a", None, np.array([9.0, 0.0])), ("a", None, None)]) == (1, 2)
    Image.fromarray(scan(0)).save(tmp_path / "files/Doe0.png")
    with pytest.raises(SourceError, match=r"row 2, column 'scan' .* more than 8 bits, and that of .*row 1"):
        ult.describe(patients, forms=FORMS)
    with pytest.raises(InvalidRecord, match=r"row 1, column 'scan'.*expected a uint16"):
        ids(patients, table, tmp_path)


def test_images_with_negative_values_are_tiff(tmp_path, patients):
    for k in range(N):
        np.save(tmp_path / f"files/Doe{k}.png.npy", scan(k, deep=True))
    text = patients.read_text(encoding="utf-8").replace(".png", ".png.npy")
    patients.write_text(text, encoding="utf-8")
    table = fit(patients, tmp_path / "t.ult")
    first = ids(patients, table, tmp_path)
    for out, again in (("back", "back/records.csv"), ("back.parquet", "back.parquet")):
        ult.decode(tmp_path / "s", table, tmp_path / out)
        assert ids(tmp_path / again, table, tmp_path) == first
    data, suffix = packed(scan(3, deep=True))
    assert suffix == ".tif"
    assert np.array_equal(to_pixels(data, "x"), scan(3, deep=True))


def test_rows_of_a_unit_hold_images_too(tmp_path, patients):
    text = patients.read_text(encoding="utf-8").replace("ward,", "ward,pid,")
    lines = text.splitlines()
    patients.write_text("\n".join([lines[0], *(f"x,{k // 3},{line[2:]}" for k, line in enumerate(lines[1:]))]) + "\n")
    (tmp_path / "people.csv").write_text("pid,face\n" + "".join(f"{k},files/Doe{k}.png\n" for k in range(N // 3)))
    every = FORMS | {"face": "image"}
    forms = {"forms": every, "unit": "pid", "drop": ["ward"]}
    table = fit([tmp_path / "people.csv", f"visits={patients}"], tmp_path / "t.ult", **forms)
    assert [one.kind for one in table.codec.fields] == ["image", "rows"]
    first = ids([tmp_path / "people.csv", f"visits={patients}"], table, tmp_path)
    ult.decode(tmp_path / "s", table, tmp_path / "back")
    assert len(list((tmp_path / "back/face").iterdir())) == N // 3
    assert len(first) == N // 3
    more = {**forms, "forms": every | {"note": "text"}}
    (tmp_path / "notes.csv").write_text("pid,note\n" + "".join(f"{k // 2},some words\n" for k in range(N // 2)))
    inputs = [tmp_path / "people.csv", f"visits={patients}", f"notes={tmp_path / 'notes.csv'}"]
    table = fit(inputs, tmp_path / "u.ult", **more)
    ids(inputs, table, tmp_path)
    ult.decode(tmp_path / "s", table, tmp_path / "nested")
    first = json.loads((tmp_path / "nested/records.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert (first["face"], first["visits"][1]["scan"]) == ("face/00000001.png", "visits_scan/00000002.png")
    assert np.load(tmp_path / "nested" / first["visits"][0]["ecg"]).shape == (20,)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("files/none.png", r"p\.csv, row 2, column 'scan': .*none\.png is not there; expected the file of an image"),
        ("files", r"p\.csv, row 2, column 'scan': .*files is a folder"),
        ("files/Doe1.npy", r"p\.csv, row 2, column 'scan': .*Doe1\.npy is an array \(21,\); expected one image"),
        ("files/Doe1.png/2", r"Doe1\.png is one image; expected its name alone"),
        ("files/two.tif", r"two\.tif has 2 images; expected the name of one \(hint: two\.tif/1 is its first\)"),
        ("files/two.tif/3", r"two\.tif has 2 images, and none is called '3'"),
        ("files/cut.png", r"p\.csv, row 2, column 'scan': .*cut\.png is not an image that Pillow can read"),
        ("http://example.org/a.png", "row 2, column 'scan': .*is not there"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_row_and_column(tmp_path, patients, name, told):
    pages = [Image.fromarray(scan(k)) for k in (0, 1)]
    pages[0].save(tmp_path / "files/two.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "files/cut.png").write_bytes((tmp_path / "files/Doe1.png").read_bytes()[:48])
    patients.write_text(patients.read_text(encoding="utf-8").replace("files/Doe1.png", name), encoding="utf-8")
    with pytest.raises(SourceError, match=told):
        fit(patients, tmp_path / "t.ult")
    assert not (tmp_path / "t.ult").exists()


def test_missing_files_are_counted_and_a_page_of_several_is_read(tmp_path, patients):
    table = fit(patients, tmp_path / "t.ult")
    pages = [Image.fromarray(scan(k)) for k in (0, 1)]
    pages[0].save(tmp_path / "files/two.tif", save_all=True, append_images=pages[1:])
    schema = ult.describe(patients, forms=FORMS).schema
    text = patients.read_text(encoding="utf-8").replace("Doe1.png", "two.tif/2")
    patients.write_text(text, encoding="utf-8")
    records = list(open_source([patients], modality="record", schema=schema))
    assert np.array_equal(records[1][1], scan(1))
    patients.write_text(text.replace("Doe5", "no5").replace("Doe6", "no6"), encoding="utf-8")
    with pytest.raises(SourceError, match=r"row 6, column 'scan'.*that cells name 4 are missing, such as .*no6"):
        ult.encode(patients, table, tmp_path / "s", workers=1)
    assert not (tmp_path / "s").exists()


def test_a_file_that_changes_is_noticed_and_parts_are_read_by_workers(tmp_path, patients):
    cells = list(csv.DictReader(io.StringIO(patients.read_text(encoding="utf-8"))))
    path = tmp_path / "p.parquet"
    columns = {name: [row[name] or None for row in cells] for name in cells[0]}
    pq.write_table(pa.table(columns), path, row_group_size=3)
    schema = ult.describe(path, forms=FORMS).schema
    source = open_source([path], modality="record", schema=schema)
    read = [one for piece in source.pieces(1) for one in piece.read().records]
    assert [None if one[1] is None else one[1].shape for one in read[2:5]] == [(8, 9), None, (8, 9)]
    (tmp_path / "files/Doe2.png").write_bytes((tmp_path / "files/Doe1.png").read_bytes())
    with pytest.raises(SourceError, match=r"Doe2\.png changed while it was read"):
        source.check_unchanged()

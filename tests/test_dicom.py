"""DICOM files: every frame exactly as pydicom reads it, or one line that says why not, before memory is taken."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from ult.data import open_source
from ult.data.columns.kept import check_kept
from ult.data.images.dicom_tag import identifies
from ult.errors import MissingColumn, MissingSource, SourceError

EXPLICIT, IMPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".2", ".1.99"))
RLE, JPEG_BASELINE = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED, MPEG = "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.102"
CT, CAPTURE, REPORT = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "7", "88.11"))


def dataset(pixels, *, bits=None, syntax=EXPLICIT, kind="MONOCHROME2", **tags):
    """Return a dataset of frames (n, h, w[, 3]) with `bits` stored."""
    allocated = 8 * pixels.dtype.itemsize
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = map(
        UID, (syntax, CT, "1.2.3")
    )
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.Modality, data.PatientName = CT, "1.2.3", "CT", "Doe^Jane"
    data.Rows, data.Columns = pixels.shape[1:3]
    data.NumberOfFrames, data.SamplesPerPixel = len(pixels), pixels.shape[3] if pixels.ndim == 4 else 1
    data.BitsAllocated, data.BitsStored = allocated, bits or allocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PhotometricInterpretation = kind
    if pixels.ndim == 4:
        data.PlanarConfiguration = 0
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"
    for name, value in tags.items():
        setattr(data, name, value) if value is not None else delattr(data, name)
    return data


def write(path, data):
    syntax = data.file_meta.TransferSyntaxUID
    pydicom.dcmwrite(path, data, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG, enforce_file_format=True)
    return path


def read(path, **options):
    source = open_source([path], modality="image", **options)
    return list(source), source


def noise(dtype, low, high, shape=(1, 6, 5)):
    return np.random.default_rng(0).integers(low, high + 1, shape).astype(dtype)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        (noise(np.uint8, 0, 255), 8),
        (noise(np.uint16, 0, 1023), 10),
        (noise(np.uint16, 0, 65535), 16),
        (noise(np.int16, -2048, 2047), 12),
        (noise(np.int16, -32768, 32767, (3, 4, 7)), 16),
        (noise(np.int8, -128, 127), 8),
    ],
)
def test_every_stored_value_is_read(tmp_path, syntax, pixels, bits):
    records, _ = read(write(tmp_path / "a.dcm", dataset(pixels, bits=bits, syntax=syntax)))
    assert len(records) == len(pixels)
    for record, frame in zip(records, pixels, strict=True):
        np.testing.assert_array_equal(record, frame)
        signed = pixels.dtype.kind == "i"
        assert record.dtype == (np.int16 if signed else np.uint8 if bits == 8 else np.uint16)


def test_ten_bits_in_sixteen_leave_out_what_the_others_hold(tmp_path):
    pixels = noise(np.uint16, 0, 255)
    records, _ = read(write(tmp_path / "a.dcm", dataset(pixels | 0x8000, bits=8)))
    np.testing.assert_array_equal(records[0], pixels[0])
    assert records[0].dtype == np.uint8


def test_colour_palettes_and_single_bits(tmp_path):
    rgb = noise(np.uint8, 0, 255, (2, 4, 6, 3))
    records, _ = read(write(tmp_path / "rgb.dcm", dataset(rgb, kind="RGB")))
    np.testing.assert_array_equal(np.stack(records), rgb)
    index, table = (
        noise(np.uint8, 0, 3, (1, 4, 6)),
        {"Red": [0, 9, 8, 255], "Green": [1, 2, 3, 4], "Blue": [9, 9, 0, 0]},
    )
    words: dict[str, object] = {f"{name}PaletteColorLookupTableDescriptor": [4, 0, 16] for name in table}
    words |= {
        f"{name}PaletteColorLookupTableData": (256 * np.array(row)).astype("<u2").tobytes()
        for name, row in table.items()
    }
    records, _ = read(write(tmp_path / "palette.dcm", dataset(index, kind="PALETTE COLOR", **words)))
    np.testing.assert_array_equal(
        records[0], np.stack([np.array(row, np.uint8)[index[0]] for row in table.values()], -1)
    )
    bits = noise(np.uint8, 0, 1, (1, 8, 8))
    one = dataset(bits, BitsAllocated=1, BitsStored=1, HighBit=0)
    one.PixelData = np.packbits(bits, bitorder="little").tobytes()
    records, _ = read(write(tmp_path / "one.dcm", one))
    np.testing.assert_array_equal(records[0], bits[0] * 255)


def test_compressed_frames(tmp_path):
    pixels = noise(np.uint16, 0, 4095, (3, 9, 8))
    data = dataset(pixels, bits=12)
    data.compress(RLE)
    records, source = read(write(tmp_path / "a.dcm", data), keep=["name"])
    np.testing.assert_array_equal(np.stack(records), pixels)
    assert [name for batch in source.batches() for name in batch.kept["name"].to_pylist()] == [
        "a.dcm/1", "a.dcm/2", "a.dcm/3",
    ]  # fmt: skip


def test_a_file_without_its_header_or_suffix(tmp_path):
    pixels = noise(np.uint16, 0, 4095)
    data = dataset(pixels, bits=12, syntax=IMPLICIT)
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, implicit_vr=True, little_endian=True, enforce_file_format=True)
    whole = buffer.getvalue()
    (tmp_path / "IM0001").write_bytes(whole)
    (tmp_path / "1.2.840.7").write_bytes(whole)
    (tmp_path / "README").write_text("not an image")
    records, source = read(tmp_path)
    assert len(records) == 2
    assert source.empty == (str(tmp_path / "README"),)
    assert len(read(tmp_path / "IM0001")[0]) == 1
    start = whole.index(b"\x08\0\x16\0")  # of the dataset, after the group of the file
    (tmp_path / "old.dcm").write_bytes(whole[start:])
    np.testing.assert_array_equal(read(tmp_path / "old.dcm")[0][0], pixels[0])


def test_tags_are_kept_by_name_and_nothing_else_of_the_header(tmp_path):
    write(tmp_path / "a.dcm", dataset(noise(np.uint8, 0, 9), RescaleSlope="2.50", PixelSpacing=["0.5", "0.50"]))
    write(tmp_path / "b.dcm", dataset(noise(np.uint8, 0, 9), Modality="MR"))
    _, source = read(tmp_path, keep=["Modality", "RescaleSlope", "PixelSpacing", "name"])
    kept = pa.concat_tables([batch.kept for batch in source.batches()]).to_pydict()
    assert kept == {
        "Modality": ["CT", "MR"],
        "RescaleSlope": ["2.50", None],
        "PixelSpacing": [r"0.5\0.50", None],
        "name": ["a.dcm", "b.dcm"],
    }
    with pytest.raises(
        MissingColumn, match=r"no column 'Modalty'; it has .* and tags of DICOM .*hint: a tag is called by its keyword"
    ):
        read(tmp_path, keep=["Modalty"])
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(MissingColumn, match=r"c\.png is no DICOM file, so it has no Modality"):
        read(tmp_path, keep=["Modality"])


@pytest.mark.parametrize(
    "name",
    ["PatientName", "PatientID", "PatientBirthDate", "StudyDate", "AccessionNumber", "InstitutionName", "StudyTime",
     "StudyInstanceUID", "ReferringPhysicianName", "ImageComments", "StationName",
     "OtherPatientIDs", "SeriesDescription"],
)  # fmt: skip
def test_tags_that_say_who_somebody_is(name):
    assert identifies(name)


def test_tags_that_do_not():
    names = ("Modality", "PatientAge", "PatientSex", "BodyPartExamined", "RescaleSlope", "WindowCenter", "SOPClassUID")
    assert not [name for name in names if identifies(name)]


def test_what_the_owner_is_told(tmp_path):
    plain = noise(np.uint8, 0, 9)
    write(tmp_path / "a.dcm", dataset(plain, BurnedInAnnotation="YES", RescaleSlope="1", RescaleIntercept="-1024"))
    write(tmp_path / "b.dcm", dataset(plain, Modality="US"))
    write(tmp_path / "c.dcm", dataset(plain, SOPClassUID=CAPTURE, kind="MONOCHROME1"))
    write(tmp_path / "d.dcm", dataset(plain, Modality="US", BurnedInAnnotation="NO"))
    write(tmp_path / "e.dcm", dataset(plain, RescaleSlope="1", RescaleIntercept="0"))
    told = read(tmp_path)[1].told
    starts = [
        "1 of 5 files: BurnedInAnnotation is YES",
        "1 of 5 files: stored values",
        "2 of 5 files: BurnedInAnnotation is not",
    ]
    assert sorted(
        one[: len(start)] for one, start in zip(told, [*starts, "1 of 5 files: MONOCHROME1"], strict=True)
    ) == sorted([*starts, "1 of 5 files: MONOCHROME1"])


def test_what_holds_no_image_is_passed_over(tmp_path):
    write(tmp_path / "a.dcm", dataset(noise(np.uint8, 0, 9)))
    report = dataset(noise(np.uint8, 0, 9), SOPClassUID=REPORT, Rows=None, Columns=None, PixelData=None)
    write(tmp_path / "report.dcm", report)
    records, source = read(tmp_path)
    assert (len(records), source.empty) == (1, (str(tmp_path / "report.dcm"),))
    with pytest.raises(SourceError, match=r"report\.dcm holds no image: it is Basic Text SR Storage"):
        read(tmp_path / "report.dcm")


HOSTILE = {
    "wide": ({"Rows": 65535, "Columns": 65535}, r"says 1 frames of 65535 x 65535; expected at most"),
    "frames": ({"NumberOfFrames": 2**30}, r"is cut short: its header says \d+ bytes of pixels"),
    "rows": ({"Rows": 4000}, r"is cut short"),
    "none": ({"Rows": 0}, r"says 1 frames of 0 x 5"),
    "32 bits": ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, r"has 32 bits a pixel; expected 1 or 8 to 16"),
    "stored": ({"BitsStored": 17}, r"BitsStored 17, HighBit 15, BitsAllocated 16; they do not fit"),
    "high": ({"HighBit": 3}, r"HighBit 3, BitsAllocated 16; they do not fit"),
    "no bits": ({"BitsAllocated": None}, r"has no whole number as BitsAllocated: 'None'"),
    "colour": ({"PhotometricInterpretation": "RGB"}, r"has 1 samples a pixel of RGB"),
    "ink": ({"PhotometricInterpretation": "CMYK", "SamplesPerPixel": 4}, r"has 4 samples a pixel of CMYK"),
    "no pixels": ({"PixelData": None}, r"is cut short|holds no pixels"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_headers_that_lie(tmp_path, name):
    tags, message = HOSTILE[name]
    path = write(tmp_path / "a.dcm", dataset(noise(np.uint16, 0, 9), **tags))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match=message) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in caught.value.what
    assert "Doe" not in str(caught.value)


def test_files_that_are_cut_or_none(tmp_path):
    whole = write(tmp_path / "whole.dcm", dataset(noise(np.uint16, 0, 9, (2, 20, 20)))).read_bytes()
    for size in (0, 3, 131, 140, 300, len(whole) - 700):
        path = tmp_path / "cut.dcm"
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"cut\.dcm"):
            read(path)
    (tmp_path / "text.dcm").write_text("This is no image. " * 99)
    with pytest.raises(SourceError, match=r"text\.dcm is not a DICOM file"):
        read(tmp_path / "text.dcm")
    with pytest.raises(MissingSource):
        read(tmp_path / "missing.dcm")


@pytest.mark.parametrize(
    ("syntax", "name"), [(JPEG_EXTENDED, r"JPEG Extended \(Process 2 and 4\)"), (MPEG, "MPEG-4 AVC/H.264 High Profile")]
)
def test_a_transfer_syntax_that_nothing_reads_is_named(tmp_path, syntax, name):
    data = dataset(noise(np.uint16, 0, 9), bits=12)
    data.file_meta.TransferSyntaxUID = UID(syntax)
    data.PixelData = encapsulate([b"\xff\xd8 not a picture \xff\xd9"])
    data["PixelData"].is_undefined_length = True
    with pytest.raises(SourceError, match=rf"a\.dcm is compressed as {name}"):
        read(write(tmp_path / "a.dcm", data))


def test_a_picture_without_its_end_is_refused(tmp_path):
    data = dataset(noise(np.uint8, 0, 255, (1, 16, 16)))
    data.file_meta.TransferSyntaxUID = UID(JPEG_BASELINE)
    buffer = io.BytesIO()
    Image.fromarray(noise(np.uint8, 0, 255, (16, 16))).save(buffer, "JPEG")
    for picture, good in ((buffer.getvalue(), True), (buffer.getvalue()[:-90], False)):
        data.PixelData = encapsulate([picture])
        data["PixelData"].is_undefined_length = True
        path = write(tmp_path / "a.dcm", data)
        if good:
            np.testing.assert_array_equal(read(path)[0][0], np.asarray(Image.open(buffer)))
            continue
        with pytest.raises(SourceError, match=r"a\.dcm is cut short: its picture has no end"):
            read(path)


def test_a_deflated_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ult.data.images.dicom.MAX_INFLATED", 2**20)
    path = write(tmp_path / "a.dcm", dataset(np.zeros((1, 2000, 2000), np.uint8), syntax=DEFLATED))
    assert path.stat().st_size < 2**16
    with pytest.raises(SourceError, match=r"a\.dcm inflates to more than 1048576 bytes"):
        read(path)


def test_links_and_folders_within_folders(tmp_path):
    inner = tmp_path / "in" / "study" / "series"
    inner.mkdir(parents=True)
    write(inner / "a.dcm", dataset(noise(np.uint8, 0, 9)))
    (tmp_path / "in" / "link").symlink_to(inner)
    (inner / "up").symlink_to(tmp_path / "in")
    records, source = read(tmp_path / "in", keep=["label"])
    labels = [one for batch in source.batches() for one in batch.kept["label"].to_pylist()]
    assert (len(records), labels) == (2, ["link", "series"])
    Path(tmp_path / "in" / "gone.dcm").symlink_to(tmp_path / "nowhere.dcm")
    with pytest.raises(SourceError, match=r"gone\.dcm"):
        read(tmp_path / "in")


def test_identifying_tags_are_kept_only_if_that_is_said(tmp_path):
    path = str(write(tmp_path / "a.dcm", dataset(noise(np.uint8, 0, 9))))
    check_kept([path], "image", ["Modality", "PatientAge"])
    for keyword, what in (("PatientName", "names of people"), ("StudyDate", "dates")):
        with pytest.raises(SourceError, match=rf"'{keyword}' .* identifier: {what}, by its standard.*leave out --keep"):
            check_kept([path], "image", [keyword])

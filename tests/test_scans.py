"""Grey of 16 bits, pages of TIFF, slices of NIfTI, and what lies beside the images of a folder: exact, or refused."""

import gzip
import io
import json
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ult.codecs.image import ImageDct
from ult.data import open_sink, open_source
from ult.errors import InvalidConfig, MissingColumn, OutputError, SourceError


def read(path, **options):
    source = open_source([path], modality="image", **options)
    return list(source), source


def kept(path, *names):
    source = open_source([path], modality="image", keep=names)
    return pa.concat_tables([batch.kept for batch in source.batches()]).to_pydict()


def tiff(pages, *, order="<", bits=16, signed=False, photometric=1, subfile=0, text=b""):
    """Return an uncompressed TIFF of grey pages (h, w), written by hand."""
    out, link = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0)), 4
    for page in pages:
        at = len(out)
        out += page.astype(page.dtype.newbyteorder(order)).tobytes()
        said = len(out)
        out += text + b"\0" * (1 + (len(out) + len(text) + 1) % 2)
        tags = [
            (254, 4, 1, subfile), (256, 4, 1, page.shape[1]), (257, 4, 1, page.shape[0]), (258, 3, 1, bits),
            (259, 3, 1, 1), (262, 3, 1, photometric), (270, 2, len(text) + 1, said), (273, 4, 1, at), (277, 3, 1, 1),
            (278, 4, 1, page.shape[0]), (279, 4, 1, page.nbytes), (339, 3, 1, 2 if signed else 1),
        ]  # fmt: skip
        out[link : link + 4] = struct.pack(f"{order}I", len(out))
        out += struct.pack(f"{order}H", len(tags))
        for tag, kind, count, value in tags:
            short = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
            out += struct.pack(f"{order}HHI", tag, kind, count) + short
        link = len(out)
        out += bytes(4)
    return bytes(out)


PAGES = [np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000 + k for k in range(3)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_tiff_are_images(tmp_path, order):
    for name, pages, signed in (("u", PAGES, False), ("i", [(page - 20_000).astype(np.int16) for page in PAGES], True)):
        (tmp_path / f"{name}.tif").write_bytes(tiff(pages, order=order, signed=signed))
        records, source = read(tmp_path / f"{name}.tif", keep=["name"])
        for record, page in zip(records, pages, strict=True):
            np.testing.assert_array_equal(record, page)
            assert record.dtype == (np.int16 if signed else np.uint16)
    assert kept(tmp_path, "name")["name"][:4] == ["i.tif/1", "i.tif/2", "i.tif/3", "u.tif/1"]
    assert source.kept_schema.names == ["name"]


def test_compressed_and_eight_bit_pages(tmp_path):
    pages = [Image.fromarray(np.full((4, 5), k, np.uint16)) for k in (1, 300, 65535)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    records, _ = read(tmp_path / "a.tiff")
    assert [int(record[0, 0]) for record in records] == [1, 300, 65535]
    small = [Image.fromarray(np.full((4, 5, 3), k, np.uint8)) for k in (1, 2)]
    small[0].save(tmp_path / "b.tif", save_all=True, append_images=small[1:])
    assert [record.dtype for record in read(tmp_path / "b.tif")[0]] == [np.uint8] * 2


def test_grey_png_of_16_bits_comes_back_from_a_folder(tmp_path):
    pixels = np.arange(70, dtype=np.uint16).reshape(7, 10) * 900
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (record,), _ = read(tmp_path)
    np.testing.assert_array_equal(record, pixels)
    codec = ImageDct(bits=16)
    once = codec.decode(codec.encode(record).symbols)
    for name in ("back", "back.npz", "back.parquet"):
        with open_sink(tmp_path / name, modality="image", column="image") as sink:
            sink.write([once])
    np.testing.assert_array_equal(read(tmp_path / "back")[0][0], once)
    np.testing.assert_array_equal(read(tmp_path / "back.parquet")[0][0], once)
    np.testing.assert_array_equal(np.load(tmp_path / "back.npz")["image"][0], once)
    (again,), _ = read(tmp_path / "back.npz", reading={"layout": "nhw"})
    np.testing.assert_array_equal(again, once)


def test_what_png_cannot_hold_is_tiff_or_refused_as_it_is_written(tmp_path):
    deep = [np.full((n, 2, 3), 40_000 + n, np.uint16) for n in (2, 3)]
    with (
        pytest.raises(OutputError, match=r"colour of 16 bits, which neither PNG nor TIFF holds .*a folder holds them"),
        open_sink(tmp_path / "out.parquet", modality="image", column="image") as sink,
    ):
        sink.write(deep)
    assert not (tmp_path / "out.parquet").exists()
    for _ in range(2):  # the second replaces the first
        with open_sink(tmp_path / "deep", modality="image", column="image", force=True) as sink:
            sink.write(deep)
    for kept, again in zip(deep, read(tmp_path / "deep" / "*.npy", reading={"layout": "hwc"})[0], strict=True):
        np.testing.assert_array_equal(again, kept)
    images = [np.full((2, 3), -1, np.int16), np.full((3, 2), 7, np.int16)]
    for out in ("out", "out.parquet"):
        with open_sink(tmp_path / out, modality="image", column="image") as sink:
            sink.write(images)
        for one, again in zip(images, read(tmp_path / out)[0], strict=True):
            np.testing.assert_array_equal(again, one)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000000.tif", "00000001.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subfile": 1}, r"a\.tif, page 1 is a copy at a lower resolution"),
        ({"subfile": 4}, r"a\.tif, page 1 is a mask"),
        ({"text": b"ImageJ=1.53\nimages=31\n"}, r"a stack of 31 images that ImageJ stored as 3; .*--layout nhw"),
        ({"photometric": 0}, r"16 bits a channel"),
    ],
)
def test_pages_that_are_no_images_of_their_own(tmp_path, options, message):
    (tmp_path / "a.tif").write_bytes(tiff(PAGES, **options))
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.tif")


def test_tiffs_that_are_cut_or_lie(tmp_path):
    whole = tiff(PAGES)
    for size in (0, 5, 60, len(whole) - 100):
        (tmp_path / "a.tif").write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"a\.tif"):
            read(tmp_path / "a.tif")
    wide = whole.replace(struct.pack("<HHII", 256, 4, 1, 4), struct.pack("<HHII", 256, 4, 1, 10**6))
    wide = wide.replace(struct.pack("<HHII", 257, 4, 1, 3), struct.pack("<HHII", 257, 4, 1, 10**6))
    (tmp_path / "a.tif").write_bytes(wide)
    with pytest.raises(SourceError, match=r"a\.tif says it is an image of more than \d+ pixels"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "|u1"])
@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 3, 2), (4, 5)])
def test_slices_of_nifti_are_as_stored(tmp_path, suffix, dtype, shape):
    volume = np.random.default_rng(0).integers(0, 250, shape).astype(dtype)
    path = tmp_path / f"a{suffix}"
    order = ">" if dtype[0] == ">" else "<"
    image = nib.Nifti1Image(volume, None, nib.Nifti1Header(endianness=order))
    image.set_data_dtype(volume.dtype)
    nib.save(image, path)
    data = bytearray(gzip.decompress(path.read_bytes()) if suffix == ".nii.gz" else path.read_bytes())
    data[112:120] = struct.pack(f"{order}ff", 2.5, -7.0)  # scl_slope, scl_inter
    path.write_bytes(gzip.compress(bytes(data)) if suffix == ".nii.gz" else bytes(data))
    records, source = read(path)
    slices = volume.reshape(4, 5, -1, order="F")
    assert len(records) == slices.shape[2]
    for k, record in enumerate(records):
        np.testing.assert_array_equal(record, slices[:, :, k])
        assert record.dtype == np.dtype(dtype).newbyteorder("=")
    assert any("volume[:, :, k]" in one for one in source.told)
    assert any("scl_slope" in one for one in source.told)


def test_nifti_that_is_none_lies_or_has_floats(tmp_path):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 2), np.float32), None), path)
    with pytest.raises(SourceError, match=r"a\.nii holds float32; expected integers of 8 or 16 bits"):
        read(path)
    nib.save(nib.Nifti1Image(np.zeros((30, 40, 2), np.int16), None), path)
    whole = path.read_bytes()
    for size in (0, 100, 400, len(whole) - 99):
        path.write_bytes(whole[:size])
        with pytest.raises(SourceError, match=r"a\.nii"):
            read(path)
    lying = bytearray(whole)
    lying[42:50] = struct.pack("<4h", 8000, 8000, 8000, 1)
    tracemalloc.start()
    for name, data in (("a.nii", bytes(lying)), ("a.nii.gz", gzip.compress(bytes(lying)))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=r"says it is an array \(8000, 8000, 8000"):
            read(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def pictures(folder, *names):
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((3, 3), k, np.uint8)).save(folder / name)


def test_metadata_of_an_imagefolder(tmp_path):
    pictures(tmp_path, "b.png", "a.png", "deep/c.png")
    (tmp_path / "metadata.csv").write_text("file_name,finding,age\na.png,none,07\nb.png,mass,61\ndeep/c.png,,5\n")
    assert kept(tmp_path, "finding", "age", "name") == {
        "finding": ["none", "mass", ""],
        "age": ["07", "61", "5"],
        "name": ["a.png", "b.png", "deep/c.png"],
    }
    (tmp_path / "metadata.csv").unlink()
    rows = [{"file_name": name, "age": age} for name, age in (("a.png", 7), ("b.png", None))]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "deep" / "metadata.jsonl").write_text(json.dumps({"file_name": "./c.png", "age": 5}))
    assert kept(tmp_path, "age") == {"age": [7, None, 5]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,x\na.png,1\n", r"metadata\.csv has no row for 'b\.png'"),
        (
            "file_name,x\na.png,1\nb.png,2\nc.png,3\n",
            r"metadata\.csv names 'c\.png', which the folder has not",
        ),
        ("file_name,x\na.png,1\na.png,2\nb.png,3\n", r"two rows for 'a\.png'"),
        ("file,x\na.png,1\n", r"metadata\.csv has no column 'file_name'; it has 'file', 'x'"),
    ],
)
def test_metadata_that_does_not_fit_is_named(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises((SourceError, MissingColumn), match=message):
        kept(tmp_path, "x")


def test_metadata_twice_or_of_other_columns(tmp_path):
    pictures(tmp_path, "a.png", "deep/b.png")
    (tmp_path / "metadata.csv").write_text("file_name,x\na.png,1\n")
    (tmp_path / "deep" / "metadata.csv").write_text("file_name,y\nb.png,1\n")
    with pytest.raises(SourceError, match=r"metadata\.csv has the columns 'file_name', 'x', and deep/metadata\.csv"):
        kept(tmp_path, "x")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "x": 1}')
    with pytest.raises(SourceError, match=r"has metadata\.csv and metadata\.jsonl in one folder"):
        kept(tmp_path, "x")


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path):
    pictures(tmp_path, "a.png")
    for name in ("b.npy", "c.zip", "d.jp2", "e", "notes.txt"):
        (tmp_path / name).write_bytes(b"?")
    assert [name.rpartition("/")[2] for name in read(tmp_path)[1].empty] == ["b.npy", "c.zip", "d.jp2", "e"]


def test_an_animation_is_still_refused(tmp_path):
    frames = [Image.fromarray(np.full((3, 3), k, np.uint8)) for k in (1, 200)]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "a.gif").write_bytes(data.getvalue())
    with pytest.raises(SourceError, match=r"a\.gif has 2 frames; expected one"):
        read(tmp_path / "a.gif")


def test_all_files_of_a_folder_that_cannot_be_read_are_named_and_left_out_if_asked(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for k in range(3):
        Image.fromarray(np.full((4, 5), k, np.uint8)).save(folder / f"{k}.tif")
    (folder / "3.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(SourceError, match=r"3\.tif is not a TIFF .*hint: --skip-unreadable leaves it out"):
        read(folder)
    (folder / "4.dcm").write_bytes(bytes(200))
    with pytest.raises(SourceError, match=r"has 2 files that cannot be read: .*3\.tif .*; .*4\.dcm .*leaves them out"):
        read(folder)
    (folder / "5.png").write_bytes(b"no picture")
    source = open_source([folder], modality="image", reading={"skip_unreadable": True})
    assert [int(one.max()) for one in source] == [0, 1, 2]
    assert "3 files left out that cannot be read: " in source.told[0]
    with pytest.raises(InvalidConfig, match="--skip-unreadable is for image files"):
        open_source([tmp_path / "a.csv"], modality="text", reading={"skip_unreadable": True})

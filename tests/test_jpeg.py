"""`image/jpeg`: files become symbols and files again, of which every decoder shows the same pixels."""

import io
import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import format_jpeg
import ult
from strategies import IMAGES, JPEGS, jpeg
from ult.audit.release.reading import judge_code
from ult.codecs.jpeg import ImageJpeg
from ult.errors import InvalidRecord, SourceError

CODEC = ImageJpeg()
SECRET = "x-y-z-longer"
RGB = IMAGES["rgb 33x31 noise"]
PLAIN = jpeg(RGB)


def again(file):
    return CODEC.decode(CODEC.encode(file).symbols)


def pixels(file):
    with Image.open(io.BytesIO(file)) as image:
        return np.array(image)


def replaced(marker, at, new, file=PLAIN):
    """Return a file with bytes changed, from `at` on behind the length of its first segment of that kind."""
    place = file.index(bytes([255, marker])) + 4 + at
    return file[:place] + new + file[place + len(new) :]


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize(
    "name", ["grey 33x31 noise", "rgb 33x31 noise", "rgb 1x70 noise", "rgb 1x1 noise", "grey ramp"]
)
def test_what_libjpeg_wrote_comes_back_byte_for_byte(name, subsampling):
    if "grey" in name:
        subsampling = "4:4:4"  # of one plane a file may say another, which means nothing
    exif = Image.Exif()
    exif[0x0112] = 6
    for quality in (3, 60, 97):  # at 1 and 100 both tables are equal, and ours says them once
        plain = jpeg(IMAGES[name], quality=quality, subsampling=subsampling)
        assert again(plain) == plain
        for more in (
            {"optimize": True},
            {"restart_marker_blocks": 2},
            {"exif": exif, "comment": "by nobody", "icc_profile": b"profile" * 9, "dpi": (300, 300)},
        ):
            assert again(jpeg(IMAGES[name], quality=quality, subsampling=subsampling, **more)) == plain


def test_scans_of_a_plane_each_and_units_of_more_blocks():
    whole = jpeg(RGB, subsampling="4:4:4")
    for file, factors in ((PLAIN, [2, 1, 1]), (whole, [1, 1, 1])):
        picture = ult.codecs.jpeg.picture.read(file, 2**20)
        grid = ult.codecs.jpeg.picture.grid_of(33, 31, factors[0], factors[0], 3).tolist()
        ends = np.cumsum([rows * columns for rows, columns in grid])[:-1]
        planes = [
            {divmod(k, columns): dict(enumerate(block)) for k, block in enumerate(part.tolist())}
            for part, (_, columns) in zip(np.split(picture.levels, ends), grid, strict=True)
        ]
        apart = file[: file.index(b"\xff\xda")]
        for p, blocks in enumerate(planes):
            bits = format_jpeg.scan([blocks], [grid[p]], 1, 1)
            bits += "1" * (-len(bits) % 8)
            data = bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
            apart += b"\xff\xda\0\x08\1" + bytes([p + 1, 0, 0, 63, 0]) + data
        assert again(apart + b"\xff\xd9") == file
        assert (pixels(apart + b"\xff\xd9") == pixels(file)).all()


def test_what_stands_beside_the_picture_is_told():
    exif = Image.Exif()
    exif[0x010F] = "maker"
    assert not any(map(CODEC.has_more, [PLAIN, again(PLAIN), jpeg(RGB, dpi=(300, 300)), jpeg(RGB, optimize=True)]))
    for more in ({"exif": exif}, {"comment": "x"}, {"icc_profile": b"x" * 200}):
        assert CODEC.has_more(jpeg(RGB, **more))
    assert CODEC.has_more(PLAIN + b"more")
    thumbnail = b"JFIF\0\1\1\0\0\1\0\1\1\1abc"
    assert CODEC.has_more(PLAIN[:2] + b"\xff\xe0\0\x13" + thumbnail + PLAIN[20:])
    assert not CODEC.has_more(again(PLAIN + b"more"))


def rgb_planes():
    return jpeg(RGB, keep_rgb=True)


def cmyk():
    file = io.BytesIO()
    Image.new("CMYK", (9, 9)).save(file, "JPEG")
    return file.getvalue()


def png():
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "PNG")
    return file.getvalue()


FRAME = PLAIN[PLAIN.index(b"\xff\xc0") :][:19]
RESTARTS = JPEGS["restarts"]
HOSTILE = {
    "png": (png, "does not begin as a JPEG file"),
    "progressive": (lambda: jpeg(RGB, progressive=True), "is progressive; expected a baseline one"),
    "arithmetic": (lambda: PLAIN.replace(b"\xff\xc0", b"\xff\xc9"), "is arithmetically coded"),
    "lossless": (lambda: PLAIN.replace(b"\xff\xc0", b"\xff\xc3"), "is lossless"),
    "cmyk": (cmyk, r"has 4 planes \(CMYK\); expected 1 or 3"),
    "red, green, blue": (rgb_planes, "planes of red, green and blue"),
    "12 bits": (lambda: replaced(0xC0, 0, b"\x0c"), "has 12 bits a sample; expected 8"),
    "no rows": (lambda: replaced(0xC0, 1, b"\0\0"), "is 0 x 31; expected no 0"),
    "no columns": (lambda: replaced(0xC0, 3, b"\0\0"), "is 33 x 0; expected no 0"),
    "huge": (lambda: replaced(0xC0, 1, b"\xff\xff\xff\xff"), "is 65535 x 65535 x 3; expected at most"),
    "larger than its data": (lambda: replaced(0xC0, 1, b"\x0f\xff\x0f\xff"), "bytes; expected more for"),
    "a row of units more": (lambda: replaced(0xC0, 1, b"\0\x31"), "ends before its last block"),
    "a row of units less": (lambda: replaced(0xC0, 1, b"\0\x20"), "data behind the last block"),
    "subsampling": (lambda: replaced(0xC0, 7, b"\x31"), "planes sampled 3 x 1, 1 x 1, 1 x 1"),
    "factor 0, grey": (lambda: replaced(0xC0, 7, b"\x01", JPEGS["grey"]), "planes sampled 0 x 1; expected"),
    "size beyond": (lambda: replaced(0xC4, 17, b"\x10"), "a size beyond 15 bits"),
    "factor 0": (lambda: replaced(0xC0, 10, b"\x01"), "planes sampled 2 x 2, 0 x 1, 1 x 1"),
    "two planes of one name": (lambda: replaced(0xC0, 9, b"\x01"), "two planes of one name"),
    "no such table": (lambda: replaced(0xC0, 8, b"\x03"), "quantisation table 3, which does not come before"),
    "step 0": (lambda: replaced(0xDB, 5, b"\0"), "a quantisation step of 0"),
    "16 bits of steps": (lambda: replaced(0xDB, 0, b"\x10"), "quantisation table of 16 bits"),
    "too many codes": (lambda: replaced(0xC4, 1, b"\x03\x00\x03"), "more codes than there are"),
    "codes cut short": (lambda: replaced(0xC4, 1, b"\xff"), "Huffman table that is cut short"),
    "other codes": (lambda: replaced(0xC4, 17, b"\x0b" * 12), "ends before its last block|a level outside|no Huffman"),
    "no such Huffman table": (lambda: replaced(0xDA, 2, b"\x33"), "by Huffman table 3, which does not come before"),
    "some levels": (lambda: replaced(0xDA, 7, b"\x01"), "a scan of some levels"),
    "scan of another plane": (lambda: replaced(0xDA, 1, b"\x09"), "of a plane that it has not"),
    "two frames": (lambda: PLAIN.replace(FRAME, FRAME * 2), "two frames"),
    "no frame": (lambda: PLAIN[:2] + b"\xff\xd9", "no frame"),
    "no scan": (lambda: PLAIN[: PLAIN.index(b"\xff\xda")] + b"\xff\xd9", "no scan of 3 of its 3 planes"),
    "a scan before the frame": (lambda: PLAIN[:2] + PLAIN[PLAIN.index(b"\xff\xda") :], "a scan before its frame"),
    "restarts out of order": (lambda: RESTARTS.replace(b"\xff\xd1", b"\xff\xd2"), "restart markers that are out"),
    "a restart less": (lambda: RESTARTS.replace(b"\xff\xd1", b"", 1), "restart markers that are out of order"),
    "restarts unannounced": (lambda: PLAIN[:-2] + b"\xff\xd0\xff\xd9", "restart markers that are out of order"),
    "hierarchical": (lambda: PLAIN[:2] + b"\xff\xde\0\2" + PLAIN[2:], "is hierarchical"),
    "height later": (lambda: PLAIN[:-2] + b"\xff\xdc\0\4\0\x21\xff\xd9", "a segment DC"),
    "a length beyond the end": (lambda: PLAIN[:2] + b"\xff\xe1\xff\xff" + PLAIN[2:], "which the file does not hold"),
    "a length of 1": (lambda: PLAIN[:2] + b"\xff\xe1\0\1" + PLAIN[2:], "a segment of 1 bytes"),
    "no marker": (lambda: PLAIN[:2] + b"abc" + PLAIN[2:], "has no marker at byte 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_other_files_are_refused_with_what_to_type(name):
    make, message = HOSTILE[name]
    file = make()
    assert file != PLAIN
    with pytest.raises(InvalidRecord, match=message) as caught:
        CODEC.encode(file)
    assert caught.value.hint.startswith("--codec image/dct")
    with pytest.raises(InvalidRecord, match="; expected at most 3068 samples"):
        ImageJpeg(max_length=3068).encode(PLAIN)


def test_no_file_that_is_cut_short_is_read():
    for end in range(len(PLAIN)):
        with pytest.raises(InvalidRecord):
            CODEC.encode(PLAIN[:end])


@given(st.sampled_from(sorted(JPEGS)), st.data())
def test_what_is_read_of_a_damaged_file_shows_what_it_shows(name, data):
    file = bytearray(JPEGS[name])
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(2, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = again(bytes(file))
    except InvalidRecord:
        return
    assert again(found) == found
    if b"JFIF\0" in file and not re.search(rb"\xff[\xe1-\xef]", file):  # else another marker may say other colours
        assert (pixels(bytes(file)) == pixels(found)).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of files, of which two say more than their pictures."""
    folder = tmp_path_factory.mktemp("jpeg") / "scans"
    folder.mkdir()
    for k in range(6):
        shades = np.add.outer(np.arange(24 + k), np.arange(40)) * (k + 2) % 256
        image = np.repeat(shades[:, :, None], 3, 2).astype(np.uint8)
        (folder / f"{k}.jpg").write_bytes(jpeg(image, **({"comment": "Jane Doe"} if k % 3 == 1 else {})))
    return folder


def test_a_folder_becomes_shards_and_a_folder_again(folder, tmp_path):
    fitted = ult.fit(folder, tmp_path / "t.ult", codec="image/jpeg", keep=["name"], passphrase=SECRET, min_records=1)
    told = "2 of 6 files: metadata, a colour profile, a comment or a thumbnail, which are not encoded"
    assert fitted.remarks().count(told) == 1
    encoded = ult.encode(folder, fitted.table, tmp_path / "s", keep=["name"])
    assert encoded.remarks().count(told) == 1
    ult.decode(tmp_path / "s", fitted.table, tmp_path / "out")
    for k in range(6):
        found = (tmp_path / "out" / f"{k}.jpg").read_bytes()
        assert found == again((folder / f"{k}.jpg").read_bytes())
        assert b"Jane" not in found
    ult.decode(tmp_path / "s", fitted.table, tmp_path / "out.parquet")
    files = pq.read_table(tmp_path / "out.parquet")["image"].to_pylist()
    assert files == [(tmp_path / "out" / f"{k}.jpg").read_bytes() for k in range(6)]
    reread = ult.encode(tmp_path / "out.parquet", fitted.table, tmp_path / "s2", keep=["name"])
    assert not [one for one in reread.remarks() if "metadata" in one]
    for one, other in zip(reread.shards.ids(), encoded.shards.ids(), strict=True):
        assert one.tolist() == other.tolist()
    ult.encode(folder / "0.jpg", fitted.table, tmp_path / "s3")
    ult.decode(tmp_path / "s3", fitted.table, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert (arrays["image"] == pixels((folder / "0.jpg").read_bytes())).all()


def test_an_attack_reads_ids_and_is_not_said_to_rebuild_pixels(tmp_path):
    for part in ("ours", "theirs"):
        (tmp_path / part).mkdir()
        for k in range(4):
            waves = np.add.outer(np.arange(16), np.arange(24)) * (k + 2 + (part == "ours")) % 256
            (tmp_path / part / f"{k}.jpg").write_bytes(jpeg(waves.astype(np.uint8)))
    fitted = ult.fit(tmp_path / "ours", tmp_path / "t.ult", codec="image/jpeg", passphrase=SECRET, min_records=1)
    encoded = ult.encode(tmp_path / "ours", fitted.table, tmp_path / "s")
    audit = json.loads(ult.audit.audit_code(encoded.path, table=fitted.table, reference=tmp_path / "theirs").text)
    assert max(attack["occurrences"] for attack in audit["attacks"]) > 0
    values = [one for one in judge_code(audit) if one.topic == "rebuilt"]
    assert [(one.level, one.measured) for one in values] == [("amber", False)]


def test_a_file_of_another_kind_is_named(folder, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "a.jpg").write_bytes(PLAIN)
    (mixed / "b.png").write_bytes(png())
    with pytest.raises(InvalidRecord, match=r"b\.png: .*does not begin as a JPEG file") as caught:
        ult.fit(mixed, tmp_path / "t.ult", codec="image/jpeg", passphrase=SECRET)
    assert "--codec image/dct" in str(caught.value)
    assert not (tmp_path / "t.ult").exists()
    with pytest.raises(SourceError, match=r"expected \.jpeg, \.jpg, \.parquet"):
        ult.fit(mixed / "b.png", tmp_path / "t.ult", codec="image/jpeg", passphrase=SECRET)


def test_files_of_a_folder_that_are_not_encoded_are_left_out_by_name_if_asked(folder, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    (mixed / "late.jpg").write_bytes(jpeg(RGB, progressive=True))
    (mixed / "p.png").write_bytes(png())
    (mixed / "cut.jpg").write_bytes(PLAIN[:-40])
    table, shards = tmp_path / "t.ult", tmp_path / "s"
    skipping = {"skip_unreadable": True}
    with pytest.raises(InvalidRecord, match="--skip-unreadable leaves them out"):
        ult.fit(mixed, table, codec="image/jpeg", passphrase=SECRET, min_records=1)
    fitted = ult.fit(mixed, table, codec="image/jpeg", passphrase=SECRET, min_records=1, reading=skipping)
    encoded = ult.encode(mixed, fitted.table, shards, keep=["name"], reading=skipping)
    (told,) = [one for one in encoded.remarks() if one.startswith("3 files left out that cannot be read: ")]
    assert "late.jpg: JPEG is progressive" in told
    assert "p.png: record does not begin as a JPEG file" in told
    assert "cut.jpg: JPEG ends after" in told
    ult.decode(shards, table, tmp_path / "out", passphrase=SECRET)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{k}.jpg" for k in range(6)]

"""Arrays whose axes and types have to be said: each layout that is asked for, and refusals that name it."""

import numpy as np
import pytest

from ult.data import open_source
from ult.errors import InvalidConfig, MissingColumn, SourceError

RNG = np.random.default_rng(0)


def read(path, layout=None, **options):
    return list(open_source([path], modality="image", reading={"layout": layout} if layout else None, **options))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [("hw", (5, 7)), ("wh", (7, 5)), ("hwc", (5, 7, 3)), ("chw", (4, 5, 7)), ("nhw", (9, 5, 7)), ("nhwc", (9, 5, 7, 1)),
     ("nchw", (9, 3, 5, 7)), ("hwn", (5, 7, 9)), ("cnhw", (3, 9, 5, 7))],
)  # fmt: skip
def test_every_value_is_where_the_layout_says(tmp_path, monkeypatch, dtype, order, layout, shape):
    monkeypatch.setattr("ult.data.array.CHUNK_BYTES", 200)  # so that there are several chunks
    array = np.asarray(RNG.integers(0, 250, shape).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    found = read(tmp_path / "a.npy", layout)
    order_of = [layout.index(letter) for letter in "nhwc" if letter in layout]
    images = array.transpose(order_of) if "n" in layout else array.transpose(order_of)[None]
    images = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    assert len(found) == len(images)
    for one, other in zip(found, images, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize(("factor", "dtype"), [(255, np.uint8), (4095, np.uint16), (65535, np.uint16)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_of_whole_steps_come_back_whole(tmp_path, factor, dtype, kind):
    whole = RNG.integers(0, factor + 1, (4, 6, 5))
    np.save(tmp_path / "a.npy", (whole / factor).astype(kind))
    found = read(tmp_path / "a.npy", f"nhw*{factor}")
    np.testing.assert_array_equal(np.stack(found), whole)
    assert found[0].dtype == dtype


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.01, 1.5])
def test_a_float_beyond_the_range_is_named(tmp_path, wrong):
    array = np.zeros((3, 4, 4), np.float32)
    array[1, 2, 3] = wrong
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(SourceError, match=r"a\.npy: 'image', image 2: a value is .*; expected 0 to 1"):
        read(tmp_path / "a.npy", "nhw*255")


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((5, 7), np.uint8), "--layout hw"),
        (np.zeros((9, 5, 7), np.uint16), "--layout nhw"),
        (np.zeros((5, 7, 3), np.uint8), "--layout nhw or --layout hwc"),
        (np.zeros((3, 5, 7), np.uint8), "--layout nhw or --layout chw"),
        (np.zeros((9, 3, 5, 7), np.float32), r"--layout 'nchw\*255', if 1 stands for 255"),
    ],
)
def test_what_is_not_asked_for_is_refused_with_what_to_ask(tmp_path, array, hint):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises((SourceError, MissingColumn), match=rf"a\.npy.*hint: {hint}"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("array", "layout", "message"),
    [
        (np.zeros((5, 7), np.uint8), "nhw", r"is an array \(5, 7\), and the layout nhw has 3 axes"),
        (np.zeros((5, 7, 2), np.uint8), "hwc", r"2 channels by hwc; expected 1, 3 or 4"),
        (np.zeros((0, 5, 7), np.uint8), "nhw", r"without rows|no axis of 0"),
        (np.zeros((5, 7), np.float64), "hw", r"holds float64; .*--layout 'hw\*255'"),
        (np.zeros((5, 7), np.uint8), r"hw*255", r"holds uint8; the layout hw\*255 takes floats"),
        (np.zeros((5, 7), np.int64), "hw", r"holds int64; the layout hw takes uint8, uint16, int16 or floats"),
    ],
)
def test_arrays_that_are_not_so_laid_out(tmp_path, array, layout, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.npy", layout)


@pytest.mark.parametrize("layout", ["", "n", "hwx", "hhw", "nhw*", "nhw*0", "nhw*70000", "h w", "HW"])
def test_layouts_that_are_none(tmp_path, layout):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(InvalidConfig, match=r"layout is .*; expected the axes h and w"):
        list(open_source([tmp_path / "a.npy"], modality="image", reading={"layout": layout}))


def test_a_layout_is_for_arrays_of_images(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    with pytest.raises(InvalidConfig, match="--layout is for images; the codec reads series records"):
        open_source([tmp_path / "a.npy"], modality="series", reading={"layout": "hw"})
    (tmp_path / "a.csv").write_text("x\n1\n")
    with pytest.raises(InvalidConfig, match=r"--layout is for \.npy, \.npz files; the inputs are \.csv"):
        open_source([tmp_path / "a.csv"], modality="series", reading={"layout": "hw"})


def test_an_archive_keeps_labels_beside_laid_out_images(tmp_path):
    np.savez(tmp_path / "a.npz", scan=RNG.integers(0, 999, (4, 5, 6)).astype(np.uint16), label=np.array(list("abcd")))
    source = open_source(
        [tmp_path / "a.npz"], modality="image", keep=["label"], reading={"layout": "hwn"}, column="scan"
    )
    with pytest.raises(SourceError, match="columns of different lengths"):
        list(source)
    source = open_source([tmp_path / "a.npz"], modality="image", keep=["label"], reading={"layout": "nhw"})
    assert [label for batch in source.batches() for label in batch.kept["label"].to_pylist()] == list("abcd")


def test_an_array_that_is_cut_short(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 30, 40), np.uint16))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-5])
    with pytest.raises(SourceError, match="cut short"):
        read(tmp_path / "a.npy", "nhw")

"""`image/dct` of 9 to 16 bits: what it keeps, by how much it changes, and what is refused or counted."""

import warnings

import numpy as np
import pytest
from PIL import Image

from ult import Table, Vocabulary
from ult.audit.code.audit import _public
from ult.codecs.dct import deep
from ult.codecs.image import ImageDct
from ult.errors import InvalidConfig, InvalidRecord, ValuesClipped


def scan(low, high, dtype=np.uint16, shape=(40, 45), seed=0):
    """Return a smooth slice with a disc, a hard edge and some noise, of stored values from `low` to `high`."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 0.3 + 0.2 * np.sin(x / 9) + 0.3 * ((x - 20) ** 2 + (y - 15) ** 2 < 90)
    image[30:] = 0.05
    image += np.random.default_rng(seed).normal(0, 0.01, shape)
    return np.rint(low + image.clip(0, 1) * (high - low)).astype(dtype)


@pytest.mark.parametrize("bits", [9, 12, 13, 16])
def test_the_error_is_the_bound_and_the_bound_is_small(bits):
    record = scan(0, 2**bits - 1)
    bounds = []
    for quality in (50, 75, 100):
        codec = ImageDct(bits=bits, quality=quality)
        once = codec.decode(codec.encode(record).symbols)
        bounds.append(codec.error_bound(record))
        assert bounds[-1] == np.abs(once.astype(int) - record).max()
        assert codec.error_bound(once) == 0
        assert bounds[-1] <= 3 * 4 * 2 ** ((100 - quality) / 12.5) * 2 ** max(bits - 13, 0)  # three steps
    assert bounds == sorted(bounds, reverse=True)
    assert ImageDct().error_bound(np.full((9, 9), 3, np.uint8)) == 0


def test_a_window_is_what_steps_are_measured_in():
    record = scan(30_000, 30_250)
    whole, window = ImageDct(bits=16, quality=100), ImageDct(bits=16, quality=100, low=30_000, high=30_255)
    assert window.error_bound(record) < 12 < whole.error_bound(record)


def test_signed_values_come_back_as_signed():
    record = scan(-1024, 3071, np.int16)
    codec = ImageDct(bits=12, low=-1024, quality=100)
    assert (codec.low, codec.high) == (-1024, 3071)
    once = codec.decode(codec.encode(record).symbols)
    assert once.dtype == np.int16
    assert np.abs(once.astype(int) - record).max() <= 12
    same = scan(0, 3000, np.int16)
    np.testing.assert_array_equal(codec.encode(same).symbols, codec.encode(same.astype(">u2")).symbols)
    for level in (-1024, -1, 0, 3071):
        flat = np.full((9, 17), level, np.int16)
        np.testing.assert_array_equal(codec.decode(codec.encode(flat).symbols), flat)


def test_values_outside_the_window_are_refused_or_counted():
    record = scan(0, 4095)
    record[0, :3] = 5000
    with pytest.raises(InvalidRecord, match=r"image has values from 77 to 5000; expected 0 to 4095"):
        ImageDct(bits=12).encode(record)
    codec = ImageDct(bits=12, clip=1)
    assert (codec.clipped(record), ImageDct(bits=13).clipped(record)) == (3, 0)
    np.testing.assert_array_equal(codec.encode(record).symbols, codec.encode(record.clip(0, 4095)).symbols)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ValuesClipped)
        table = Table.fit([record], codec=codec, vocabulary=Vocabulary(600), allow_lost=True, min_records=1)
    with pytest.warns(ValuesClipped, match=r"^3 of 1,800 values lie outside"):
        table.encode(record)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 7}, "bits is 7; expected int from 8 to 16"),
        ({"bits": 17}, "bits is 17"),
        ({"low": 0}, "low, high and clip are for images of 9 to 16 bits"),
        ({"clip": 1}, "low, high and clip are for images of 9 to 16 bits"),
        ({"bits": 12, "low": 0, "high": 100}, "expected 256 to 4096 values of 12 bits"),
        ({"bits": 9, "low": 0, "high": 4095}, "expected 256 to 512 values of 9 bits"),
        ({"bits": 16, "low": -1, "high": 40_000}, "high is 40000; expected int from -32768 to 32767"),
        ({"bits": 16, "low": 1.5}, "low is 1.5; expected int"),
        ({"bits": 12, "clip": 2}, "clip is 2"),
    ],
)
def test_windows_that_are_none(options, message):
    with pytest.raises(InvalidConfig, match=message):
        ImageDct(**options)


def test_an_image_of_other_bits_is_refused_with_what_takes_it():
    with pytest.raises(InvalidRecord, match=r"image is uint16; expected a uint8 array .*--option bits=16"):
        ImageDct().encode(np.zeros((2, 2), np.uint16))
    with pytest.raises(InvalidRecord, match=r"image is uint8; expected a uint16 or int16 array"):
        ImageDct(bits=12).encode(np.zeros((2, 2), np.uint8))


def test_tables_of_8_bits_say_nothing_of_bits():
    assert ImageDct(bits=8).config() == {"quality": 50, "coefficients": 8, "max_length": 2**26}
    assert ImageDct(bits=12).nbytes(np.zeros((2, 3), np.uint16)) == 12


@pytest.mark.parametrize("quality", [1, 100])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-300, 299), (0, 65535)])
def test_the_last_resort_is_its_own_encoding(quality, low, high):
    window = deep.make_window(low, high, 8, quality)
    work = np.zeros((3, 8, 8), np.int64)
    for base in (0, window.width // 3, window.width - 1):
        for brightness in (-(2**24), -999, 0, 12_345, 2**24):
            levels = np.zeros((2, 64), np.int16)
            levels[1, 0] = deep._flat(brightness, base, window)
            image, again = np.empty((3, 12), np.int32), np.empty_like(levels)
            deep.synthesise(levels, base, window, image, work)
            assert deep.analyse(image, window, again, work) == base
            np.testing.assert_array_equal(again, levels)


def test_matrices_and_steps_do_not_hang_on_the_last_bit_of_a_cosine():
    for n in range(1, 9):
        u, x = np.mgrid[:8, :n]
        basis = np.sqrt(np.where(u, 2, 1)) * np.cos((2 * x + 1) * u * np.pi / (2 * n))
        for scaled in (2**16 * basis, 2**19 / n * basis):
            assert np.abs(np.abs(scaled[:n]) % 1 - 0.5).min() > 1e-6
    for quality in range(1, 101):
        step = 4 * 2 ** ((100 - quality) / 12.5)
        for doublings in range(4):
            for one in [0.7 * step, *(step * (1 + 0.08 * f) for f in range(15)), step]:
                assert abs(16 * one * 2**doublings % 1 - 0.5) > 1e-9


def test_public_images_of_an_audit_are_read_by_the_table_s_own_options(tmp_path):
    Image.fromarray(scan(0, 4095)).save(tmp_path / "a.png")
    (record,) = _public([tmp_path], ImageDct(bits=12), None)
    np.testing.assert_array_equal(record, scan(0, 4095))
    with pytest.raises(InvalidRecord, match=r"a\.png: image is uint16; expected a uint8 array"):
        _public([tmp_path], ImageDct(), None)

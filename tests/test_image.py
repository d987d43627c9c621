"""`image/dct`: projection, constant images, brightness, the header, and symbols that no encoder wrote."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ult.codecs.dct.blocks import SCALE, SLOPE, UNIT, workspace
from ult.codecs.dct.colour import bases_of, colour_of, load, store
from ult.codecs.dct.grammar import LEVEL, MAX_PATCH, MEAN, ZEROS
from ult.codecs.dct.transform import _flatten, _measure, _paint, _rebase
from ult.codecs.image import ImageDct
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

QUALITIES = st.sampled_from([1, 20, 50, 75, 100])
KEPT = st.sampled_from([8, 8, 3, 1, 5])
SIDES = st.integers(1, 40)
SHAPES = st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.sampled_from([3, 4])))
NOISE = hnp.arrays(np.uint8, SHAPES)
NUMBER = st.integers(0, 255)


def project(codec, record):
    return codec.decode(codec.encode(record).symbols)


def check_projection(codec, record):
    once = project(codec, record)
    assert (once.shape, once.dtype) == (record.shape, np.uint8)
    np.testing.assert_array_equal(project(codec, once), once)


def scene(shape, seed=0):
    """Return a smooth ramp with a disc, some texture and a hard edge."""
    height, width, *channels = shape
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    grey = 60 + 80 * x / width + 40 * np.sin(y / 5) + 90 * ((x - width / 3) ** 2 + (y - height / 2) ** 2 < 60)
    grey[height * 2 // 3 :] = 250
    grey += rng.normal(0, 6, grey.shape)
    image = grey[..., None] * rng.uniform(0.4, 1.3, channels) if channels else grey
    return np.clip(image, 0, 255).astype(np.uint8)


def hostile_images():
    rng = np.random.default_rng(1)
    for size in ((1, 1), (1, 300), (300, 1), (7, 9), (8, 8), (16, 16), (17, 15), (33, 31)):
        for channels in ((), (3,), (4,)):
            shape = (*size, *channels)
            yield rng.integers(0, 256, shape).astype(np.uint8)
            yield rng.integers(0, 2, shape).astype(np.uint8) * 255
            yield np.indices(shape).sum(0).astype(np.uint8) % 2 * 255
            yield scene(shape)


@settings(deadline=None)  # the first example compiles
@given(NOISE, QUALITIES, KEPT)
def test_projects(record, quality, coefficients):
    check_projection(ImageDct(quality=quality, coefficients=coefficients), record)


@pytest.mark.parametrize("quality", [1, 50, 100])
@pytest.mark.parametrize("coefficients", [3, 8])
def test_projects_hostile_images(quality, coefficients):
    codec = ImageDct(quality=quality, coefficients=coefficients)
    for record in hostile_images():
        check_projection(codec, record)


@pytest.mark.parametrize("quality", [1, 30, 50, 60, 65, 70, 80, 90])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_tiles_that_are_looked_at_once_are_their_own_encoding(quality, channels):
    rng = np.random.default_rng(quality)
    for seed in range(6):
        smooth = np.repeat(np.repeat(rng.normal(0, 9, (24, 24, *channels)), 8, 0), 8, 1)
        record = np.clip(scene((192, 192, *channels), seed) * rng.uniform(0.3, 1) + smooth, 0, 255).astype(np.uint8)
        check_projection(ImageDct(quality=quality, coefficients=[8, 8, 3][seed % 3]), record)


@pytest.mark.parametrize("quality", [1, 50, 80, 100])
@pytest.mark.parametrize("coefficients", [3, 8])
def test_exact_second_tries_give_what_float32_was_sure_of(quality, coefficients):
    codec, doubting = (ImageDct(quality=quality, coefficients=coefficients) for _ in range(2))
    assert max(codec._luma.doubt, codec._chroma.doubt) < 0.06
    for name in ("_luma", "_chroma"):
        plane = getattr(codec, name)
        setattr(doubting, name, plane._replace(doubt=0.49, least=plane.least - np.float32(0.5)))
    for record in hostile_images():
        np.testing.assert_array_equal(codec.encode(record).symbols, doubting.encode(record).symbols)


@pytest.mark.parametrize("quality", [1, 13, 50, 80, 100])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("sides", [(16, 16), (3, 16), (13, 1), (9, 7)])
def test_the_last_resort_is_its_own_encoding(quality, first, sides):
    codec = ImageDct(quality=quality)
    rng = np.random.default_rng(quality)
    for _ in range(20):
        bases = bases_of(rng.integers(0, 256, 3).astype(np.uint8))
        tile = rng.integers(-99, 99, (6, 64)).astype(np.int16)
        tile[0, 0] *= not first
        tile[4:, 0] *= not first
        _flatten(codec._luma, codec._chroma, bases, first, tile)
        pixels = np.empty((*sides, 3), np.uint8)
        again, bases_again, work, corner = tile.copy(), bases.copy(), workspace(False), np.zeros((1, 2), np.int64)
        _paint(tile[None], *sides, codec._luma, codec._chroma, bases, work)
        store(work.samples, corner, *sides, pixels)
        load(pixels, corner, *sides, work.samples)
        if first:
            _rebase(*sides, bases_again, work)
        _measure(*sides, codec._luma, codec._chroma, bases_again, again[None], np.empty((1, 6)), work)
        within = [b for b in range(4) if b // 2 * 8 < sides[0] and b % 2 * 8 < sides[1]]
        np.testing.assert_array_equal(again[[*within, 4, 5]], tile[[*within, 4, 5]])
        np.testing.assert_array_equal(bases_again, bases)


@settings(deadline=None)
@given(st.sampled_from([(1, 1), (5, 9), (20, 33)]), hnp.arrays(np.uint8, st.sampled_from([1, 3, 4])), QUALITIES, KEPT)
def test_constant_images_are_exact(size, colour, quality, coefficients):
    record = np.broadcast_to(colour if len(colour) > 1 else colour[0], size + colour.shape * (len(colour) > 1))
    np.testing.assert_array_equal(project(ImageDct(quality=quality, coefficients=coefficients), record), record)


def test_bases_are_exact():
    axis = (0, 1, 2, 3, 79, 84, 127, 128, 138, 254, 255)
    for colour in itertools.product(axis, axis, axis, (0, 128, 255)):
        assert tuple(colour_of(bases_of(np.array(colour, np.uint8)))) == colour


def test_constant_colours_are_exact():
    # The last two drifted by 26 and 34 levels when the base was rounded in YCbCr.
    corners = itertools.product((0, 1, 127, 128, 254, 255), repeat=3)
    for colour in (*corners, (84, 138, 132), (79, 240, 251)):
        for quality in (31, 95):
            record = np.full((9, 17, 3), colour, np.uint8)
            np.testing.assert_array_equal(project(ImageDct(quality=quality), record), record)


@pytest.mark.parametrize("shape", [(64, 48), (61, 50, 3), (50, 61, 4)])
def test_brightness_and_contrast_survive(shape):
    for low, high in ((0, 255), (10, 40), (200, 230), (90, 160)):
        record = (low + scene(shape) * ((high - low) / 255)).astype(np.uint8)
        once = project(ImageDct(quality=75), record)
        axes = (0, 1)
        assert np.abs(once.mean(axes) - record.mean(axes)).max() < 1
        assert np.abs(once.std(axes) - record.std(axes)).max() < 2


def test_quality_buys_fidelity_with_symbols():
    record = scene((64, 64, 3))
    errors, lengths = [], []
    for quality in (10, 30, 50, 70, 90, 100):
        symbols = ImageDct(quality=quality).encode(record).symbols
        error = ImageDct(quality=quality).decode(symbols).astype(float) - record
        errors.append(np.square(error).mean())
        lengths.append(len(symbols))
    assert errors == sorted(errors, reverse=True)
    assert lengths == sorted(lengths)
    assert errors[-1] < 10  # what is left is the chroma of the hard edges


def test_grey_at_full_quality_is_within_the_rounding_of_its_steps():
    record = scene((40, 40))
    assert np.square(project(ImageDct(quality=100), record).astype(float) - record).mean() < 8**2 / 12


@pytest.mark.parametrize("shape", [(32, 32), (33, 31), (5, 70)])
def test_black_and_white_noise_keeps_its_contrast(shape):
    record = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8) * 255
    for quality, error in ((50, 42), (75, 12), (100, 4)):
        once = project(ImageDct(quality=quality), record)
        assert np.sqrt(np.square(once.astype(float) - record).mean()) < error


def test_tables_do_not_hang_on_the_last_bit_of_a_cosine():
    for side, kept in ((8, 8), (16, 8), (8, 3)):
        for n in range(1, side + 1):
            u, x = np.mgrid[:kept, :n]
            basis = np.cos((2 * x + 1) * u * np.pi / (2 * n)) * np.sqrt(np.where(u, 2, 1) / n) / SCALE
            for scaled in (basis * np.sqrt(side / n), basis * np.sqrt(n / side)):
                assert np.abs(np.abs(scaled) % 1 - 0.5).min() > 1e-6
    for quality in range(1, 101):
        for f in range(15):
            for slope in (0, SLOPE, SLOPE / 2):
                step = UNIT * 4 * 2 ** ((100 - quality) / 12.5) * (1 + slope * f)
                assert abs(step % 1 - 0.5) > 1e-9


def test_papers_setting_keeps_three_by_three():
    codec = ImageDct(coefficients=3)
    record = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    assert len(codec.encode(record).symbols) <= 3 + 3 * 16 * 9 + 200
    x = np.mgrid[:8, :8][1]
    kept = 128 + 60 * np.cos((2 * x + 1) * 2 * np.pi / 16)
    lost = 128 + 60 * np.cos((2 * x + 1) * 3 * np.pi / 16)
    assert np.abs(project(codec, kept.astype(np.uint8)) - kept).max() < 12
    assert project(codec, lost.astype(np.uint8)).std() == 0
    assert len(set(codec._luma.steps[1:])) == 1


@settings(deadline=None)
@given(NOISE, QUALITIES)
def test_patches_cover_the_symbols(record, quality):
    codec = ImageDct(quality=quality)
    patches = codec.encode(record)
    assert patches.symbols.dtype == np.uint32
    assert patches.symbols.max() < codec.alphabet
    lengths = np.diff(patches.ends, prepend=0)
    assert 0 < lengths.min() <= lengths.max() <= codec.max_patch == MAX_PATCH
    assert patches.ends[-1] == len(patches.symbols) <= codec.max_symbols
    assert patches.records.tolist() == [len(patches.ends)]


def test_symbols_of_a_flat_grey_image_are_as_documented():
    symbols = ImageDct().encode(np.full((300, 9), 200, np.uint8)).symbols
    assert symbols.tolist() == [0, 300 & 127 | 128, 2, 9, 200, *[MEAN + 32] * (38 * 2 - 1)]


def test_decodes_frozen_symbols():
    symbols = [3, 9, 10, 144, LEVEL + 4, MEAN + 34, MEAN, 5, MEAN + 32, ZEROS, LEVEL + 7, 2, 120, 133, LEVEL + 3]
    image = ImageDct().decode(np.array(symbols, np.uint32))
    assert image.shape == (9, 10, 3)
    assert image[0, :, 0].tolist() == FROZEN_ROW
    assert image[:, 9, 2].tolist() == FROZEN_COLUMN


FROZEN_ROW = [148, 147, 145, 143, 140, 139, 138, 138, 163, 163]
FROZEN_COLUMN = [144] * 8 + [32]


@settings(deadline=None)
@given(st.lists(st.integers(0, ZEROS), max_size=80), st.sampled_from([0, 3, 4]), SIDES, SIDES, KEPT)
def test_any_symbols_decode_or_raise(body, channels, height, width, coefficients):
    codec = ImageDct(coefficients=coefficients)
    symbols = np.array([channels, height, width, *body], np.uint32)
    good = set(codec.prefixes(symbols).tolist())
    for k in range(len(symbols) + 1):
        try:
            image = codec.decode(symbols[:k])
        except CorruptSymbols:
            assert k not in good
        else:
            assert k in good
            assert image.shape == ((height, width, channels) if channels else (height, width))


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))))
def test_prefixes_of_an_image_end_in_its_last_block(record):
    codec = ImageDct(quality=90)
    symbols = codec.encode(record).symbols
    longer = np.append(symbols, [0, ZEROS]).astype(np.uint32)
    good = codec.prefixes(longer).tolist()
    assert good[-1] == len(symbols)
    for k in range(len(longer) + 1):
        if k in good:
            check_projection(codec, codec.decode(longer[:k]))
        else:
            with pytest.raises(CorruptSymbols):
                codec.decode(longer[:k])


def test_hostile_headers_are_refused_before_allocation():
    codec = ImageDct()
    huge = [255, 255, 255, 255, 127]  # 2**35 - 1
    for header in (
        [3, *huge, *huge],
        [0, *huge, 1],
        [0, 255, 255, 255, 15, 1],  # 2**25 pixels, none of whose blocks follow
        [0, 1, 0],
        [0, 0, 0],
        [1, 8, 8],
        [2, 8, 8],
        [5, 8, 8],
        [128] * 15,
        [3, 255, 255, 255, 255, 255, 1],
        [],
        [3],
        [MEAN, 8, 8],
    ):
        with pytest.raises(CorruptSymbols):
            codec.decode(np.array([*header, 100], np.uint32))
        assert codec.prefixes(np.array(header, np.uint32)).size == 0


def test_max_length_is_in_samples():
    record = np.zeros((4, 5, 3), np.uint8)
    symbols = ImageDct(max_length=60).encode(record).symbols
    with pytest.raises(InvalidRecord):
        ImageDct(max_length=59).encode(record)
    with pytest.raises(CorruptSymbols):
        ImageDct(max_length=59).decode(symbols)
    narrow = np.random.default_rng(0).integers(0, 256, (1, 60)).astype(np.uint8)
    codec = ImageDct(max_length=60, quality=100)
    check_projection(codec, narrow)


@pytest.mark.parametrize(
    "record",
    [
        np.zeros((4, 4), np.float64),
        np.full((4, 4, 3), np.nan),
        np.zeros((4, 4), np.int8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4, 1), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((4, 4, 0), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        [[1, 2], [3, 4]],
        "image",
        None,
    ],
)
def test_refuses_other_records(record):
    with pytest.raises(InvalidRecord):
        ImageDct().encode(record)
    with pytest.raises(InvalidRecord):
        ImageDct().nbytes(record)


@pytest.mark.parametrize("symbols", [[-1], [ZEROS + 1], [2**40], [0.5], [[1]]])
def test_refuses_other_symbols(symbols):
    with pytest.raises(CorruptSymbols):
        ImageDct().decode(np.array(symbols))


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": 101},
        {"quality": 50.0},
        {"quality": True},
        {"coefficients": 0},
        {"coefficients": 9},
        {"max_length": 0},
        {"max_length": "1"},
    ],
)
def test_refuses_options(options):
    with pytest.raises(InvalidConfig):
        ImageDct(**options)


def test_config_through_json_makes_the_same_codec():
    codec = ImageDct(quality=33, coefficients=5, max_length=12345)
    again = ImageDct(**json.loads(json.dumps(codec.config())))
    assert again.config() == codec.config() == {"quality": 33, "coefficients": 5, "max_length": 12345}
    record = scene((20, 30, 3))
    np.testing.assert_array_equal(again.encode(record).symbols, codec.encode(record).symbols)


def test_memory_order_and_writability_do_not_matter():
    record = scene((20, 30, 3))
    turned = np.asfortranarray(record)
    turned.flags.writeable = False
    np.testing.assert_array_equal(ImageDct().encode(turned).symbols, ImageDct().encode(record).symbols)
    np.testing.assert_array_equal(
        ImageDct().encode(record[:, ::-1]).symbols, ImageDct().encode(record[:, ::-1].copy()).symbols
    )


def test_batch_is_the_records_one_by_one():
    codec = ImageDct()
    records = [scene((32, 32, 3), seed) for seed in range(3)] + [scene((9, 7)), scene((5, 40, 4))]
    patches = codec.encode_batch(records)
    ends = np.concatenate([[0], patches.ends])[np.concatenate([[0], patches.records])]
    for record, start, end in zip(records, ends, ends[1:], strict=False):
        np.testing.assert_array_equal(patches.symbols[start:end], codec.encode(record).symbols)
    assert codec.nbytes(records[0]) == 32 * 32 * 3

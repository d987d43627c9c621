"""`series/mulaw`: range, error bound, calibration, and numbers at the ends of float64."""

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ult.codecs.series import SeriesMulaw
from ult.errors import CorruptSymbols, InvalidConfig, InvalidRecord

MAX, TINY = sys.float_info.max, 5e-324
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SERIES = hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(allow_infinity=False))
RANGES = st.tuples(FINITE, FINITE).map(sorted)
HOSTILE_RANGES = [
    (0.0, 0.0),
    (-0.0, TINY),
    (-TINY, TINY),
    (-MAX, MAX),
    (MAX, MAX),
    (-MAX, -MAX / 2),
    (1e300, 1.1e300),
    (-1e-300, 1e-300),
    (1e6, np.nextafter(1e6, 2e6)),
    (-1e-9, 18.0),
    (-18.0, 1e-9),
    (999.0, 1001.0),
]


def project(codec, record):
    return codec.decode(codec.encode(record).symbols)


def check_projection(codec, record):
    once = project(codec, record)
    assert once.dtype == np.float64
    np.testing.assert_array_equal(project(codec, once), once)
    np.testing.assert_array_equal(np.isnan(once), np.isnan(record))
    with np.errstate(over="ignore"):
        error = np.abs(np.where(np.isnan(record), 0, once - record))
    bound = codec.error_bound(record)
    assert (error <= bound).all()
    assert np.isinf(bound).sum() == codec.clipped(record)


@settings(deadline=None)  # the first example compiles
@given(RANGES, SERIES, st.sampled_from([3, 4, 255, 256, 1000]), st.floats(1e-3, 1e6))
def test_projects(bounds, record, levels, mu):
    check_projection(SeriesMulaw(low=bounds[0], high=bounds[1], levels=levels, mu=mu), record)


@pytest.mark.parametrize(("low", "high"), HOSTILE_RANGES)
def test_projects_hostile_ranges(low, high):
    ends = np.array([low, high, np.nextafter(low, -MAX), np.nextafter(high, MAX), 0, -0.0, MAX, -MAX, TINY, -TINY])
    inside = low + np.linspace(0, 1, 1000) * (high / 2 - low / 2) * 2 if high - low < np.inf else ends
    for levels in (3, 256, 65536):
        codec = SeriesMulaw(low=low, high=high, levels=levels)
        check_projection(codec, np.concatenate([ends, inside, [np.nan]]))
        np.testing.assert_array_equal(project(codec, ends[:2]), ends[:2])
        levels_ = codec.decode(np.arange(levels))
        assert (np.diff(levels_) >= 0).all()
        np.testing.assert_array_equal(project(codec, levels_), levels_)


@settings(deadline=None)  # the first example compiles
@given(RANGES, SERIES, st.integers(3, 300), st.sampled_from([1e-3, 1.0, 255.0, 1e6]))
def test_bins_are_those_of_a_plain_search(bounds, record, levels, mu):
    check_bins(SeriesMulaw(low=bounds[0], high=bounds[1], levels=levels, mu=mu), record)


@pytest.mark.parametrize("levels", [3, 255, 256, 257, 4096, 65535, 65536])
@pytest.mark.parametrize("mu", [1e-3, 255.0, 1e6])
@pytest.mark.parametrize(("low", "high"), [(0.0, 17.3), (-3.1, 4.2), (-1e-9, 18.0), (7.0, 9.0), (-MAX, MAX)])
def test_one_comparison_finds_the_bin(low, high, mu, levels):
    codec = SeriesMulaw(low=low, high=high, levels=levels, mu=mu)
    assert codec._nearest.cells(np.float64)
    check_bins(codec, np.random.default_rng(0).uniform(low / 4, high / 4, 10_000) * 3.9)


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.0), (2.0, 2 + 1e-14)])
def test_edges_too_close_for_cells_are_searched(low, high):
    codec = SeriesMulaw(low=low, high=high)
    assert codec._nearest.cells(np.float64) is codec._nearest.cells(np.float32) is None
    check_bins(codec, np.array([low, high, np.nan, 0.0, -MAX, MAX]))
    with pytest.raises(InvalidRecord, match="value 1 is infinite"):
        codec.encode(np.array([np.inf]))


def check_bins(codec, record):
    edges = codec._nearest.edges[1:-1]
    near = [edges, np.nextafter(edges, -MAX), np.nextafter(edges, MAX), [np.nan, MAX, -MAX, TINY, -TINY, 0.0, -0.0]]
    record = np.concatenate([record, *near, codec.decode(np.arange(codec.levels))])
    with np.errstate(over="ignore"):
        single = record.astype(np.float32)
        singles = np.concatenate([single, *(np.nextafter(single, np.float32(end)) for end in (-np.inf, np.inf))])
    for values in (record, singles):
        values = values[~np.isinf(values)]  # the edge above the greatest float is one
        plain = np.searchsorted(edges, values.astype(np.float64), side="right")
        plain[np.isnan(values)] = codec.levels
        np.testing.assert_array_equal(codec.encode(values).symbols, plain)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_infinity_anywhere_is_refused(kind):
    codec = SeriesMulaw(low=-20.0, high=20.0)
    for place in (0, 4095, 4096, 9000):  # blocks are 4,096 values
        for value in (np.inf, -np.inf):
            record = np.full(9001, np.nan, kind)
            record[place] = value
            with pytest.raises(InvalidRecord, match=f"value {place + 1} is infinite"):
                codec.encode(record)


def test_batches_of_any_sizes_are_the_records_one_by_one():
    rng = np.random.default_rng(0)
    sizes = (0, 1, 40_000, 0, 20_000, 12_767, 1, 1, 70_000, 5)  # chunks are 32,768 values
    dtypes = (np.float32, np.float64, np.int16, np.float16)
    records = [rng.normal(0, 9, n).astype(dtypes[i % 4]) for i, n in enumerate(sizes)]
    codec = SeriesMulaw(low=-20.0, high=20.0)
    patches = codec.encode_batch(records)
    np.testing.assert_array_equal(patches.symbols, np.concatenate([codec.encode(r).symbols for r in records]))
    assert patches.ends[patches.records[-1] - 1] == sum(sizes)
    assert len(codec.encode_batch([]).symbols) == 0


def test_zero_and_the_ends_are_levels():
    for low, high in ((0.0, 17.3), (-3.1, 4.2), (-5.0, 0.0), (-1e-9, 18.0), (7.0, 9.0)):
        codec = SeriesMulaw(low=low, high=high)
        kept = np.array([low, min(max(low, 0.0), high), high])
        np.testing.assert_array_equal(project(codec, kept), kept)


def test_error_is_a_share_of_the_value():
    codec = SeriesMulaw(low=-1.0, high=1.0)
    values = np.linspace(-1, 1, 10001)
    step = np.log1p(255) / 127 / 255 * (1 + 255 * np.abs(values))  # the law's slope times one of 127 steps a side
    assert (codec.error_bound(values) < 0.53 * step).all()
    assert (np.abs(project(codec, values) - values) < 0.53 * step).all()


def test_patches_are_runs_of_patch_size():
    codec = SeriesMulaw(patch_size=3)
    records = [np.zeros(7), np.zeros(0), np.zeros(3), np.full(1, np.nan)]
    patches = codec.encode_batch(records)
    assert patches.ends.tolist() == [3, 6, 7, 10, 11]
    assert patches.records.tolist() == [3, 3, 4, 5]
    assert patches.symbols.tolist()[-1] == codec.alphabet - 1
    assert codec.encode_batch([]).records.tolist() == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "uint16", "int64", "int8"])
def test_every_numeric_type(dtype):
    record = np.array([0, 3, 100], dtype)[::-1]
    codec = SeriesMulaw(low=0.0, high=100.0)
    assert codec.nbytes(record) == record.nbytes
    np.testing.assert_allclose(project(codec, record), [100, 3, 0], rtol=0.01)


@pytest.mark.parametrize(
    "record",
    [
        np.array([0.0, np.inf]),
        np.array([-np.inf, np.nan]),
        np.zeros((2, 2)),
        np.float64(1),
        np.array(1.0),
        [1.0],
        "1",
        None,
        np.array(["1"]),
        np.array([True]),
        np.array([1j]),
        np.array([1.0], object),
        np.array([2**53 + 1]),
        np.array([-(2**63)]),
        np.zeros(1, "datetime64[s]"),
        np.zeros(5),
    ],
)
def test_refuses_what_is_no_series(record):
    codec = SeriesMulaw(max_length=4)
    for refuse in (codec.encode, lambda r: SeriesMulaw.calibrated([r], max_length=4)):
        with pytest.raises(InvalidRecord):
            refuse(record)


def test_refuses_symbols_beyond_bounds():
    codec = SeriesMulaw(max_length=4)
    for symbols in ([257], [-1], [0] * 5, [[0]], [0.0]):
        with pytest.raises(CorruptSymbols):
            codec.decode(np.array(symbols))
    assert codec.prefixes(np.array([0, 256, 3])).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "options",
    [
        {"low": 1.0, "high": 0.0},
        {"low": np.nan},
        {"high": np.inf},
        {"mu": 0.0},
        {"levels": 2},
        {"levels": True},
        {"patch_size": 0},
        {"max_length": 0},
        {"low": "0"},
    ],
)
def test_refuses_options(options):
    with pytest.raises(InvalidConfig):
        SeriesMulaw(**options)


@settings(deadline=None)  # the first example compiles
@given(SERIES, st.sampled_from([0.0, 0.001, 0.01, 0.2, 0.5]), st.randoms())
def test_calibration_clips_at_most_its_share_in_any_order(record, clip, random):
    codec = SeriesMulaw.calibrated([record], clip=clip)
    assert codec.clipped(record) <= clip * np.count_nonzero(~np.isnan(record))
    shuffled = record.tolist()
    random.shuffle(shuffled)
    other = SeriesMulaw.calibrated([np.array(shuffled[:5]), np.array(shuffled[5:])], clip=clip)
    assert codec.config() == other.config()
    check_projection(SeriesMulaw(**json.loads(json.dumps(codec.config()))), record)


def test_calibration_finds_the_bulk():
    values = np.concatenate([np.random.default_rng(0).normal(size=100_000), [1e300, -1e300]])
    codec = SeriesMulaw.calibrated([values])
    assert -3.4 < codec.low < -3.2
    assert 3.2 < codec.high < 3.4
    exact = SeriesMulaw.calibrated([values], clip=0.0)
    assert (exact.low, exact.high) == (-1e300, 1e300)


def test_calibration_of_nothing_keeps_the_default_range():
    for records in ([], [np.zeros(0)], [np.full(3, np.nan)]):
        assert SeriesMulaw.calibrated(records, patch_size=5).config() == SeriesMulaw(patch_size=5).config()


def test_calibration_of_a_constant_is_exact():
    for value in (0.0, -0.0, 3.7, -1e300, 1e-300, TINY, MAX):
        record = np.full(7, value)
        np.testing.assert_array_equal(project(SeriesMulaw.calibrated([record]), record), record)


def test_calibration_keeps_a_given_end():
    codec = SeriesMulaw.calibrated([np.arange(10.0)], low=-4.0)
    assert (codec.low, codec.high) == (-4.0, 9.0)

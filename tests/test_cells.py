"""Cells of every Arrow type as texts, and back bit for bit."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ult.data.cells import has_text, kind_of, typed, written
from ult.errors import OutputError, SourceError

STRINGS = [pa.string(), pa.large_string(), pa.string_view()]
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
ZONES = [None, "UTC", "Europe/Berlin", "+05:30", "Nowhere/Such"]
MOMENTS = [
    pa.date32(),
    pa.date64(),
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ZONES),
    *(pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
]
DECIMALS = [pa.decimal128(38, 7), pa.decimal128(5, -2), pa.decimal256(76, 30)]
EVERY = [*STRINGS, *INTEGERS, *FLOATS, *MOMENTS, *DECIMALS, pa.bool_(), pa.null(), pa.list_(pa.string())]
EVERY += [
    pa.large_list(pa.large_string()),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.int64()),
]


def whole(bits):
    """Return a strategy of integers of so many bits, often near to a day, a second, or the ends."""
    limit = 2 ** (bits - 1)
    near = [one for one in (1, 1000, 86400, 10**9, 86_400_000, 86_400_000_000_000) if 3 * one < limit]
    few = st.builds(lambda one, k: one * k, st.sampled_from(near), st.integers(-3, 3))
    return st.integers(-limit, limit - 1) | few | st.sampled_from([-limit, limit - 1])


def bits(kind, numbers):
    """Return an array of a type from the bits of its cells, with nulls."""
    signed = {8: np.int8, 16: np.int16, 32: np.int32, 64: np.int64}[kind.bit_width]
    values = np.array([one or 0 for one in numbers], signed)
    return pa.array(values, mask=np.array([one is None for one in numbers], bool)).view(kind)


def same(one, other):
    """Return whether two arrays hold the same bits; one NaN is like the other."""
    if not pa.types.is_floating(one.type):
        return one.type == other.type and one.equals(other)
    held = {16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[one.type.bit_width]
    nan = [value is not None and value != value for value in one.to_pylist()]
    pairs = zip(one.view(held).to_pylist(), other.view(held).to_pylist(), other.to_pylist(), nan, strict=True)
    return one.type == other.type and all(c != c if lost else a == b for a, b, c, lost in pairs)


def check(array):
    """Assert that the texts give the same cells again, one by one too, and that each is the only one of its cell."""
    texts = written(array)
    assert [one is None for one in texts] == array.is_null().to_pylist()
    again = typed(texts, array.type)
    assert again.type == array.type
    assert same(array, again)
    assert written(again) == texts
    assert [text for i in range(0, len(array), 7) for text in written(array[i : i + 7])] == texts


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@given(st.data())
def test_every_bit_comes_back(width, data):
    numbers = data.draw(st.lists(st.none() | whole(width), max_size=20))
    for kind in [*INTEGERS, *FLOATS, *MOMENTS]:
        if kind.bit_width == width:
            check(bits(kind, numbers))


@pytest.mark.parametrize("kind", STRINGS, ids=str)
@given(texts=st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))))
def test_strings_come_back(kind, texts):
    array = pa.array(texts, kind)
    assert written(array) == texts
    assert typed(texts, kind).equals(array)


@pytest.mark.parametrize("kind", DECIMALS, ids=str)
@given(st.data())
def test_decimals_come_back(kind, data):
    digits = st.integers(1 - 10**kind.precision, 10**kind.precision - 1)
    drawn = data.draw(st.lists(st.none() | digits))
    check(pa.array([None if one is None else Decimal(f"{one}E{-kind.scale}") for one in drawn], kind))


@given(st.lists(st.none() | st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])))))
def test_lists_of_texts_come_back(lists):
    for kind in (pa.list_(pa.string()), pa.large_list(pa.large_string())):
        check(pa.array(lists, kind))


def test_all_float16_come_back():
    check(pa.array(np.arange(2**16, dtype=np.uint16)).view(pa.float16()))


def test_dictionaries_of_anything_come_back():
    for values in (["b", "a", "b", None], [3, 3, None], [1.5, -0.0], [dt.date(2024, 5, 1)] * 2):
        array = pa.array(values).dictionary_encode()
        texts = written(array)
        assert typed(texts, array.type).type == array.type
        assert typed(texts, array.type).to_pylist() == array.to_pylist()
        assert written(pa.chunked_array([array, array])) == texts * 2
    holds_null = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    assert written(holds_null) == ["a", None, None]


def test_run_ends_come_back():
    array = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None]))
    assert written(array) == ["a", "a", None]
    assert typed(written(array), array.type).equals(array)


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([5.0, -0.0, 0.1, np.inf, -np.inf, np.nan]), ["5", "-0", "0.1", "inf", "-inf", "nan"]),
        (pa.array([0.1, 16777216], pa.float32()), ["0.1", "16777216"]),
        (pa.array(np.array([0.1, 65504, -0.0], np.float16)), ["0.1", "65500", "-0"]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([True, None, False]), ["true", None, "false"]),
        (pa.array([Decimal("1.10")], pa.decimal128(10, 2)), ["1.10"]),
        (pa.array([0, 86399], pa.time32("s")), ["00:00:00", "23:59:59"]),
        (pa.array([0, -1, 1_500_000], pa.time64("us")), ["00:00:00", "@-1", "00:00:01.5"]),
        (pa.array([19844, 2932897], pa.int32()).view(pa.date32()), ["2024-05-01", "@2932897"]),
        (pa.array([86400000, 1], pa.int64()).view(pa.date64()), ["1970-01-02", "@1"]),
        (pa.array([0, 5_400_250_000], pa.timestamp("us")), ["1970-01-01", "1970-01-01 01:30:00.25"]),
        (pa.array([0, -(10**11)], pa.int64()).view(pa.timestamp("s", "Europe/Berlin")),
         ["1970-01-01 01:00:00+0100", "@-100000000000"]),
        (pa.array([-(10**10)], pa.timestamp("s", "Europe/Berlin")), ["1653-02-10 06:13:20Z"]),  # its offset has seconds
        (pa.array([90], pa.duration("ms")), ["90"]),
        (pa.array([["a", None, 'b"'], [], None], pa.list_(pa.string())), ['["a",null,"b\\""]', "[]", None]),
        (pa.nulls(2), [None, None]),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)  # fmt: skip
def test_texts_are_those_that_a_person_would_type(array, texts):
    assert written(array) == texts
    check(array)


@pytest.mark.parametrize("kind", EVERY, ids=str)
def test_types_come_back_from_their_names(kind):
    assert has_text(kind)
    assert kind_of(str(kind)) == kind


@pytest.mark.parametrize(
    "kind",
    [pa.binary(), pa.struct([("a", pa.int64())]), pa.list_(pa.int64()), pa.map_(pa.string(), pa.string()),
     pa.list_(pa.list_(pa.string())), pa.month_day_nano_interval(), pa.binary(16)],
    ids=str,
)  # fmt: skip
def test_other_types_are_refused_by_name(kind):
    assert not has_text(kind)
    with pytest.raises(SourceError, match=r"has no text; expected one value a cell"):
        written(pa.nulls(1, kind))


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        (["1", "2.5"], pa.int64(), "cell 1 is no int64"),
        (["1", None, "300"], pa.uint8(), "cell 2 is no uint8"),
        (["0.1", "1,5"], pa.float64(), "cell 1 is no double"),
        (["2024-02-29", "2023-02-29"], pa.date32(), "cell 1 is no date32"),
        (["00:00:00", "25:00:00"], pa.time32("s"), "cell 1 is no time32"),
        (["@1", "@x"], pa.date32(), "cell 1 is no date32"),
        (["1.10", "1.101"], pa.decimal128(10, 2), "cell 1 is no decimal128"),
        (["[]", "[1]"], pa.list_(pa.string()), "cell 1 is no list"),
        (["a", "\ud800"], pa.string(), "lone surrogate"),
        ([str(i) for i in range(200)], pa.dictionary(pa.int8(), pa.string()), "too many or too long"),
    ],
)  # fmt: skip
def test_texts_that_are_no_cells_are_refused_by_number(texts, kind, message):
    with pytest.raises(OutputError, match=message):
        typed(texts, kind)


def test_a_dictionary_of_a_huge_text_is_not_repeated():
    text = "x" * 10**6
    array = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**5, np.int32)), pa.array([text]))
    assert len({id(one) for one in written(array)}) == 1


def test_a_string_that_is_not_utf8_is_not_changed():
    offsets = pa.array([0, 1], pa.int32()).buffers()[1]
    array = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    with pytest.raises(UnicodeDecodeError):
        written(array)

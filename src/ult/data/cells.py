"""Turn the cells of any Arrow column into texts, and the texts back into the same cells.

A text is what a person would have typed: `5`, `-0`, `0.1`, `1e+20`, `nan`, `true`, `2024-05-01`, `2024-05-01 08:30:00`,
`2024-05-01 08:30:00.25+0200`, `08:30:00`. A float has the fewest digits that give its bits again. A time has no zeros
after its last digit, and a timestamp without a time zone no time at midnight. A duration is the number of its units.
What no calendar holds (a year beyond 9999, a date of so many milliseconds) is `@` and the number that Arrow keeps. A
list of texts is JSON. Null is None.

The type says the rest, so each cell comes back bit for bit, except that every NaN comes back as the same NaN, and that
a dictionary's values are in the order of the cells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from ult.codecs.cells import Cells
from ult.errors import OutputError, SourceError
from ult.host.later import compute as pc

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
_DAY = 86400  # seconds
_FIRST, _LAST = -719161, 2932895  # days from 1970-01-01: years 1 to 9999, less a day at both ends for time zones
_NUMBERED = "@"  # before the number of a moment that has no text
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def is_text(kind: pa.DataType) -> bool:
    """Return whether cells of this type are strings, in whatever way Arrow keeps them."""
    kind = kind.value_type if pat.is_dictionary(kind) or pat.is_run_end_encoded(kind) else kind
    return bool(pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind))


def is_texts(kind: pa.DataType) -> bool:
    """Return whether cells of this type are lists of strings."""
    return bool((pat.is_list(kind) or pat.is_large_list(kind)) and is_text(kind.value_type))


def has_text(kind: pa.DataType) -> bool:
    """Return whether cells of this type can be written as texts: one value a cell, or a list of strings."""
    if pat.is_dictionary(kind) or pat.is_run_end_encoded(kind):
        return has_text(kind.value_type) and not is_texts(kind.value_type)
    plain = (pat.is_integer, pat.is_floating, pat.is_decimal, pat.is_boolean, pat.is_null, pat.is_date, pat.is_time)
    return bool(
        is_text(kind) or is_texts(kind) or any(check(kind) for check in (*plain, pat.is_timestamp, pat.is_duration))
    )


def written(values: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return the text of each cell, None for null.

    Raises `SourceError` for a type that has no texts, and `UnicodeDecodeError` for a string that is not UTF-8.

    >>> written(pa.array([0.1, None, -0.0, 3e300]))
    ['0.1', None, '-0', '3e+300']
    """
    if isinstance(values, pa.ChunkedArray):
        return [text for chunk in values.chunks for text in written(chunk)]
    kind = values.type
    if pat.is_dictionary(kind):
        texts = [*written(values.dictionary), None]  # -1, for null, is the last
        return [texts[i] for i in values.indices.cast(pa.int64()).fill_null(-1).to_pylist()]
    if pat.is_run_end_encoded(kind):
        return written(pc.run_end_decode(values))
    if is_texts(kind):
        return [None if one is None else _JSON.encode(one) for one in values.to_pylist()]
    found: list[str | None] = _texts(values).to_pylist()
    return found


def column_of(values: pa.ChunkedArray) -> Cells:
    """Return the texts of `written` as one column. Raises as that does.

    >>> column_of(pa.chunked_array([[5, None], [70]])).tolist()
    ['5', None, '70']
    """
    return Cells.concatenate([_column(chunk) for chunk in values.chunks] or [Cells.of([])])


def arrow_of(column: Cells) -> pa.LargeStringArray:
    """Return a column of UTF-8 as Arrow has it, without a copy of its texts."""
    offsets = np.append(0, column.ends)
    valid = pa.array(~column.nulls).buffers()[1] if column.nulls.any() else None
    return pa.LargeStringArray.from_buffers(len(column), pa.py_buffer(offsets), pa.py_buffer(column.data), valid)


def _column(values: pa.Array) -> Cells:
    kind = values.type
    if pat.is_dictionary(kind) and has_text(kind.value_type):
        column = _column(pa.concat_arrays([values.dictionary, pa.nulls(1, kind.value_type)]))  # the last is for null
        return column.taken(np.asarray(values.indices.cast(pa.int64()).fill_null(len(column) - 1)))
    if pat.is_run_end_encoded(kind):
        return _column(pc.run_end_decode(values))
    if is_texts(kind):
        return Cells.of(written(values))
    texts = _texts(values)
    if is_text(kind):
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            written(values)  # which says what is wrong, if a text is not UTF-8
            raise
    texts = texts if pat.is_large_string(texts.type) else texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    if not len(texts):
        return Cells.of([])
    stops = np.frombuffer(offsets, np.int64, len(texts) + 1, 8 * texts.offset)
    found = np.frombuffer(data or b"", np.uint8)[stops[0] : stops[-1]]
    cells = Cells(found, stops[1:] - stops[0], np.asarray(texts.is_null()))
    return cells.blanked(~cells.nulls) if texts.null_count and cells.sizes[cells.nulls].any() else cells


def typed(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Return the cells of texts as `written` returns them, as an array of type `kind`.

    Raises `OutputError` for a text that is no value of the type, and names its number, from 0.

    >>> typed(["0.1", None, "-0"], pa.float32()).type
    DataType(float)
    """
    try:
        return _cells(texts, kind)
    except UnicodeEncodeError:
        raise OutputError(f"a cell holds a lone surrogate, which a column of {kind} cannot", hint=".jsonl") from None
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        if len(texts) == 1:
            raise OutputError("cell 0 is no value of its type", hint=".csv or .jsonl, which hold any text") from None
    place = _first_wrong(texts, kind)
    what = f"cell {place} is no {kind}" if place is not None else f"the cells are too many or too long for {kind}"
    raise OutputError(f"{what}, which its column holds", hint=".csv or .jsonl, which hold any text")


def kind_of(name: str) -> pa.DataType:
    """Return the type of which `name` is the string. Raises `ValueError` for a type without texts.

    >>> kind_of("timestamp[us, tz=Europe/Berlin]").tz, kind_of("decimal128(10, 2)").scale, kind_of("list<item: string>")
    ('Europe/Berlin', 2, ListType(list<item: string>))
    """
    if match := re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", name):
        return pa.timestamp(*match.groups())
    if match := re.fullmatch(r"(decimal\d+)\((\d+), (-?\d+)\)", name):
        return getattr(pa, match[1])(int(match[2]), int(match[3]))
    if match := re.fullmatch(r"dictionary<values=(.+), indices=(\w+), ordered=([01])>", name):
        return pa.dictionary(kind_of(match[2]), kind_of(match[1]), match[3] == "1")
    if match := re.fullmatch(r"run_end_encoded<run_ends: (\w+), values: (.+)>", name):
        return pa.run_end_encoded(kind_of(match[1]), kind_of(match[2]))
    if match := re.fullmatch(r"(large_)?list<(.+?): (.+?)( not null)?>", name):
        item = pa.field(match[2], kind_of(match[3]), nullable=not match[4])
        return pa.large_list(item) if match[1] else pa.list_(item)
    return pa.type_for_alias({"date32[day]": "date32", "date64[ms]": "date64"}.get(name, name))


def _texts(values: pa.Array) -> pa.Array:
    """Return the texts of cells as an array of strings."""
    kind = values.type
    if is_text(kind):
        return values
    if pat.is_float16(kind):
        codes = np.asarray(values.view(pa.uint16()).fill_null(0))
        return pc.if_else(values.is_valid(), _halves().take(pa.array(codes)), pa.scalar(None, pa.string()))
    if pat.is_duration(kind):
        return values.cast(pa.int64()).cast(pa.string())
    if pat.is_timestamp(kind):
        return _moments(values, _in_range(values, _UNITS[kind.unit] * _DAY), partial(_instants, values))
    if pat.is_time(kind):
        numbers, day = _numbers(values), _UNITS[kind.unit] * _DAY
        return _moments(values, (numbers >= 0) & (numbers < day), _times)
    if pat.is_date(kind):
        day = 1 if pat.is_date32(kind) else _DAY * 1000
        whole = _in_range(values, day) & (_numbers(values) % day == 0)
        return _moments(values, whole, lambda dates: dates.cast(pa.string()))
    if not has_text(kind):
        raise SourceError(f"a column of {kind} has no text; expected one value a cell, or a list of texts")
    return values.cast(pa.string())


def _numbers(values: pa.Array) -> Any:
    """Return the numbers that Arrow keeps for moments, (n,) int64, 0 for null."""
    return np.asarray(_plain(values).fill_null(0))


def _plain(values: pa.Array) -> pa.Array:
    return values.view(pa.int32() if values.type.bit_width == 32 else pa.int64()).cast(pa.int64())


def _in_range(values: pa.Array, day: int) -> Any:
    """Return (n,) bool: whether each moment, `day` units a day, is of a year that has four digits."""
    numbers, most = _numbers(values), 2**63 - 2 * day  # in ns the numbers end first, in 1677 and 2262
    return (numbers >= max(_FIRST * day, -most)) & (numbers < min(_LAST * day, most))


def _moments(values: pa.Array, known: Any, write: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return the texts that `write` gives of the `known` moments, (n,) bool, and numbers for the others."""
    if known.all():
        return write(values)
    known = pa.array(known)
    texts = write(pc.if_else(known, values, pa.scalar(None, values.type)))
    return pc.if_else(known, texts, _numbered(values))


def _numbered(values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(_NUMBERED, _plain(values).cast(pa.string()), "")


def _instants(original: pa.Array, values: pa.Array) -> pa.Array:
    """Return the texts of timestamps whose year has four digits."""
    kind = values.type
    if kind.tz is None:
        midnight = _numbers(values) % (_UNITS[kind.unit] * _DAY) == 0
        dates = partial(pc.cast, values, pa.date32(), safe=False)
        return _either(midnight, lambda: dates().cast(pa.string()), lambda: _times(values))
    try:
        texts = _times(values)
    except pa.ArrowInvalid:  # a time zone that this machine does not know
        return _times(values.cast(pa.timestamp(kind.unit, "UTC")))
    exact = np.asarray(pc.equal(texts.cast(kind), values).fill_null(True))  # seconds of an offset, before 1900, are cut
    return _either(exact, lambda: texts, lambda: _times(values.cast(pa.timestamp(kind.unit, "UTC"))))


def _times(values: pa.Array) -> pa.Array:
    """Return the texts of times and timestamps without zeros at the end of their fractions."""
    kind = values.type
    if kind.unit == "s":
        return values.cast(pa.string())
    if np.all(_numbers(values) % _UNITS[kind.unit] == 0):
        whole = pa.timestamp("s", kind.tz) if pat.is_timestamp(kind) else pa.time32("s")
        return values.cast(whole).cast(pa.string())
    zone = "(Z|[-+][0-9]{4})" if pat.is_timestamp(kind) and kind.tz else "()"
    return pc.replace_substring_regex(values.cast(pa.string()), rf"\.?0+{zone}$", r"\1")


def _either(first: Any, one: Callable[[], pa.Array], other: Callable[[], pa.Array]) -> pa.Array:
    """Return the cells of `one()` where `first`, (n,) bool, is true, else those of `other()`."""
    if np.all(first):
        return one()
    return pc.if_else(pa.array(first), one(), other()) if np.any(first) else other()


@cache
def _halves() -> pa.Array:
    """Return the text of each float16 by its bits, (65536,)."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    texts = [np.format_float_positional(one, unique=True, trim="-") for one in every]
    return pa.array(texts, pa.string())


def _cells(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    if pat.is_dictionary(kind):
        return _cells(texts, kind.value_type).dictionary_encode().cast(kind)
    if pat.is_run_end_encoded(kind):
        return pc.run_end_encode(_cells(texts, kind.value_type), kind.run_end_type)
    if is_texts(kind):
        return pa.array([None if text is None else json.loads(text) for text in texts], kind)
    if is_text(kind) or pat.is_null(kind):
        return pa.array(texts, kind)
    strings = pa.array(texts, pa.string())
    if pat.is_date(kind) or pat.is_time(kind) or pat.is_timestamp(kind):
        return _moments_of(strings, kind)
    if pat.is_float16(kind):
        return pa.array(np.asarray(strings.cast(pa.float64())).astype(np.float16), mask=np.asarray(strings.is_null()))
    return strings.cast(pa.int64()).cast(kind) if pat.is_duration(kind) else strings.cast(kind)


def _moments_of(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the dates, times or timestamps of texts."""
    numbered = pc.starts_with(texts, _NUMBERED)
    if not pc.any(numbered).as_py():
        return _calendar(texts, kind)
    none = pa.scalar(None, pa.string())
    numbers = pc.utf8_slice_codeunits(pc.if_else(numbered, texts, none), 1).cast(pa.int64())
    numbers = (numbers.cast(pa.int32()) if kind.bit_width == 32 else numbers).view(kind)
    return pc.coalesce(numbers, _calendar(pc.if_else(numbered, none, texts), kind))


def _calendar(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if not pat.is_time(kind):
        return texts.cast(kind)
    moments = pc.binary_join_element_wise("1970-01-01", texts, " ").cast(pa.timestamp(kind.unit)).cast(pa.int64())
    return (moments.cast(pa.int32()) if kind.bit_width == 32 else moments).view(kind)


def _first_wrong(texts: Sequence[str | None], kind: pa.DataType) -> int | None:
    """Return the number of the first text that is no value of the type, None if each alone is one."""
    for i, text in enumerate(texts):
        try:
            typed([text], kind)
        except OutputError:
            return i
    return None

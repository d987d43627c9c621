"""The contract of every codec, stated once; `test_laws` holds each codec to it, `test_table` each table."""

from __future__ import annotations

import contextlib
import copy
import json
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from ult.codecs.base import Codec
from ult.codecs.patches import Patches, Symbols
from ult.errors import CorruptSymbols, InvalidRecord


def assert_same(found: Any, expected: Any) -> None:
    """Equal in type, shape, dtype and value; NaN is NaN, and zeros have signs."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for cell, other in zip(found, expected, strict=True):
            assert_same(cell, other)
    else:
        assert found == expected


def assert_same_patches(found: Patches, expected: Patches) -> None:
    for name in ("symbols", "ends", "records"):
        assert_same(getattr(found, name), getattr(expected, name))


def check_shape(codec: Codec[Any], patches: Patches, records: int) -> None:
    """Range: symbols lie in the alphabet. Ends rise to the number of symbols, no patch is empty or too long."""
    found: tuple[Any, ...] = (patches.symbols.dtype, patches.ends.dtype, patches.records.dtype)
    assert found == (np.uint32, np.int64, np.int64)
    assert len(patches.symbols) == (patches.ends[-1] if len(patches.ends) else 0)
    lengths = np.diff(patches.ends, prepend=0)
    assert not len(lengths) or 0 < lengths.min() <= lengths.max() <= codec.max_patch
    assert not len(patches.symbols) or patches.symbols.max() < codec.alphabet
    assert len(patches.records) == records
    assert (np.diff(patches.records, prepend=0) >= 0).all()
    assert (patches.records[-1] if records else 0) == len(patches.ends)


def check_inverse(codec: Codec[Any], record: Any) -> None:
    """Inverse: decoding gives the record (lossless), or what decodes again to itself (lossy). Pure."""
    before = copy.deepcopy(record)
    patches = codec.encode(record)
    assert_same(record, before)
    check_shape(codec, patches, 1)
    assert len(patches.symbols) <= codec.max_symbols
    assert_same_patches(codec.encode(record), patches)
    given = patches.symbols.copy()
    decoded = codec.decode(patches.symbols)
    assert_same(patches.symbols, given)
    assert_same(codec.decode(patches.symbols), decoded)
    if codec.lossless:
        assert_same(decoded, record)
    else:
        assert isinstance(record, tuple) or np.shape(decoded) == np.shape(record)
        assert_same(codec.decode(codec.encode(decoded).symbols), decoded)
    assert len(patches.symbols) in codec.prefixes(patches.symbols)
    assert codec.nbytes(record) >= 0


def brute_prefixes(decode: Callable[[Any], Any], symbols: Any) -> list[int]:
    """Every k for which the first k of `symbols` decode; anything but `CorruptSymbols` is let through."""
    found = []
    for k in range(len(symbols) + 1):
        with contextlib.suppress(CorruptSymbols):
            decode(symbols[:k])
            found.append(k)
    return found


def check_total(codec: Codec[Any], symbols: Symbols) -> None:
    """Total: any symbols decode or raise `CorruptSymbols`, and `prefixes` tells which; what decodes is a record."""
    given = symbols.copy()
    prefixes = codec.prefixes(symbols)
    assert_same(symbols, given)
    assert prefixes.dtype == np.int64
    assert prefixes.tolist() == brute_prefixes(codec.decode, symbols)
    if len(prefixes):
        check_inverse(codec, codec.decode(symbols[: prefixes[-1]]))
    if codec.lossless:  # and of one record there is one spelling
        for k in prefixes.tolist():
            assert_same(codec.encode(codec.decode(symbols[:k])).symbols, symbols[:k])


def check_refuses_symbols(codec: Codec[Any]) -> None:
    """Total: what are no symbols at all raise too."""
    for wrong in ([codec.alphabet], [2**32 - 1], [2**62], [-1], [0.5], ["a"], [None], [[0]], [True], 0):
        for verb in (codec.decode, codec.prefixes):
            with pytest.raises(CorruptSymbols):
                verb(np.array(wrong))


def check_batch(codec: Codec[Any], records: Sequence[Any]) -> None:
    """A batch is its records, one after the other; decoding a batch is decoding each."""
    batch = codec.encode_batch(records)
    assert batch.symbols.dtype in (np.uint32, np.uint8)
    patches = Patches(batch.symbols.astype(np.uint32), batch.ends, batch.records)
    check_shape(codec, patches, len(records))
    singles = [codec.encode(record) for record in records]
    assert_same_patches(patches, Patches.concatenate(singles))
    ends = np.cumsum([len(single.symbols) for single in singles], dtype=np.int64)
    decoded = codec.decode_batch(batch.symbols, ends)
    assert len(decoded) == len(records)
    for found, single in zip(decoded, singles, strict=True):
        assert_same(found, codec.decode(single.symbols))


def check_config(codec: Codec[Any], records: Sequence[Any]) -> None:
    """Config: JSON values only, which make an equal codec."""
    config = codec.config()
    again = type(codec)(**json.loads(json.dumps(config, allow_nan=False)))
    assert again.config() == config
    for name in ("alphabet", "max_length", "max_patch", "max_symbols"):
        assert getattr(again, name) == getattr(codec, name)
    for record in records:
        assert_same_patches(again.encode(record), codec.encode(record))


def check_bounded(kind: type[Codec[Any]], options: dict[str, Any], sized: Callable[[int], Any]) -> None:
    """Bounded: a record of `max_length` passes, one more does not, in either direction."""
    limit = 12
    codec, roomy = kind(**{**options, "max_length": limit}), kind(**{**options, "max_length": limit + 1})
    for length in (1, limit):
        check_inverse(codec, sized(length))
    longer = sized(limit + 1)
    check_inverse(roomy, longer)
    with pytest.raises(InvalidRecord):
        codec.encode(longer)
    with pytest.raises(InvalidRecord):
        codec.encode_batch([sized(1), longer])
    symbols = roomy.encode(longer).symbols
    with pytest.raises(CorruptSymbols):
        codec.decode(symbols)
    if len(symbols) <= codec.max_symbols:
        assert codec.prefixes(symbols).tolist() == brute_prefixes(codec.decode, symbols)


def check_claims(codec: Codec[Any], claims: Sequence[list[int]]) -> None:
    """Bounded: symbols that claim more than they hold are refused before memory is taken for it."""
    for claim in claims:
        tracemalloc.start()
        try:
            with pytest.raises(CorruptSymbols):
                codec.decode(np.array(claim, np.uint32))
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()

"""Count the values of records that lie outside the range of a codec, and so come back as an end of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ult.codecs.image import ImageDct
from ult.codecs.levels import SeriesLevels
from ult.codecs.record.child import Child
from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.field import flat
from ult.codecs.series import SeriesMulaw


def has_range(codec: object) -> bool:
    """Return whether a codec, or that of a field of its records, has a range that values can lie outside of."""
    if isinstance(codec, RecordColumns):
        return any(isinstance(kind, Child) and has_range(kind.codec) for kind in codec.kinds)
    return isinstance(codec, SeriesMulaw | SeriesLevels) or (isinstance(codec, ImageDct) and bool(codec.clip))


def clipped(codec: object, records: Sequence[Any]) -> tuple[int, int]:
    """Return how many values of records lie outside the codec's range, and how many there are; 0 if it has none."""
    if not has_range(codec) or not len(records):
        return 0, 0
    if isinstance(codec, RecordColumns):
        found = [clipped(of, arrays) for of, arrays in _columns(codec, records)]
        return sum(outside for outside, _ in found), sum(values for _, values in found)
    if isinstance(codec, ImageDct | SeriesLevels):
        return sum(map(codec.clipped, records)), sum(record.size for record in records)
    if isinstance(codec, SeriesMulaw):
        values = np.concatenate(records)
        return int(np.count_nonzero((values < codec.low) | (values > codec.high))), len(values)
    return 0, 0


def _columns(codec: RecordColumns, records: Sequence[Any]) -> Iterator[tuple[object, list[Any]]]:
    """Yield the codec of each field of images or series, and the arrays of that field in all records."""
    of = {
        id(one): kind.codec
        for one, kind in zip(flat(codec.fields), codec.kinds, strict=True)
        if isinstance(kind, Child)
    }
    for k, one in enumerate(codec.fields):
        if id(one) in of:
            yield of[id(one)], [record[k] for record in records if isinstance(record[k], np.ndarray)]
        for j, inner in enumerate(one.fields):
            if id(inner) in of:
                rows = [row[j] for record in records for row in record[k]]
                yield of[id(inner)], [cell for cell in rows if isinstance(cell, np.ndarray)]

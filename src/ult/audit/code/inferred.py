"""The fields that somebody infers who has public records, but neither the table nor its schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.codecs.record import RecordColumns
from ult.data.columns.describe import describe
from ult.data.columns.schema import Schema
from ult.errors import InvalidConfig
from ult.owner.inputs import opened


def inferred(
    reference: Sequence[str | Path], owners: Schema, reading: Mapping[str, str | float] | None
) -> tuple[RecordColumns, list[Any]]:
    """Return a codec of fields inferred from public files, and their records.

    Of the `owners` schema only the columns that are encoded, and the unit, are used: a file of the same form has them.
    Raises `InvalidConfig` or `SourceError` if nothing can be inferred.
    """
    found = describe(reference, unit=owners.unit, column=list(owners.columns), reading=reading).schema
    if found is None:
        raise InvalidConfig("no column of the reference can be encoded")
    codec = RecordColumns(fields=[one.document() for one in found.fields])
    return codec, opened(reference, modality="record", schema=found, reading=reading).records(codec)

"""What a codec with one range for all values makes of each column, told to whoever fits a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ult.codecs.base import Codec
    from ult.codecs.columns import Columns
    from ult.data import Source


def kept_columns(codec: Codec[Any], source: Source) -> Columns | None:
    """Return what becomes of the columns, None of a codec without a range; raise `InvalidConfig` if one is lost."""
    from ult.cli.console import Watched
    from ult.codecs.columns import Columns
    from ult.codecs.series import SeriesMulaw

    if not isinstance(codec, SeriesMulaw):
        return None
    columns = Columns(codec, source.fields)
    with source.naming(codec):
        for record in Watched(source, "checking"):
            columns.add(record)
        columns.check()
    return columns


def report_columns(columns: Columns, out: Path) -> None:
    """Say what is kept worst, and how many values are clipped."""
    from ult.cli.console import say

    if worst := columns.worst():
        say(f"{out}: {worst}")
    _note_clipped(columns.clipped, columns.values)


def report_clipped(codec: Codec[Any], source: Source) -> None:
    """Say how many values fell outside the range of a codec that has one."""
    from ult.cli.console import note
    from ult.codecs.series import SeriesMulaw
    from ult.errors import SourceError

    if not isinstance(codec, SeriesMulaw):
        return
    values = clipped = 0
    try:
        for record in source:
            clipped += codec.clipped(record)
            values += len(record)
    except SourceError as error:  # after the shards were published, which hold what was there
        note(f"how many values are clipped cannot be told: {error.what}")
        return
    _note_clipped(clipped, values)


def _note_clipped(clipped: int, values: int) -> None:
    from ult.cli.console import note

    if clipped:
        note(f"{clipped:,} of {values:,} values ({clipped / values:.2%}) lie outside the range and are clipped to it")

"""Print what one record is, wherever a privacy promise is made to each record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ult.cli.console import count, note, say

if TYPE_CHECKING:
    from ult.public.shards import Shards

_PIECES = dict.fromkeys((".csv", ".tsv", ".data", ".parquet", ".arrow", ".feather", ".xlsx", ".npy", ".npz"), "row")
_PIECES |= dict.fromkeys((".txt", ".jsonl", ".ndjson"), "line")
_OF = {"image": "image", "jpeg": "image", "series": "series", "text": "row", "molecule": "row", "record": "row"}


def unit(inputs: Sequence[str], modality: str, column: str = "") -> str:
    """Return a sentence on what one record of these inputs is; `column` is that of the unit, whose rows are one.

    >>> unit(["data/notes.txt"], "text")
    'each line of notes.txt is one record'
    >>> unit(["a.csv", "b.csv"], "text"), unit(["scans"], "image")
    ('each row of a.csv and 1 more is one record', 'each image of scans is one record')
    """
    from ult.data.tables.postgres import shown

    first, more = shown(inputs[0]), len(inputs) - 1
    piece = _PIECES.get(Path(first).suffix.lower(), _OF[modality]) if _OF[modality] != "image" else "image"
    name = Path(first).name or first
    if column:
        return f"all rows with one {column!r} are one record"
    return f"each {piece} of {name}{f' and {more} more' if more else ''} is one record"


def tell_unit(out: Path, inputs: Sequence[str], modality: str, empty: int, column: str = "") -> None:
    """Print to what a table's promise applies, and how many records are empty."""
    say(f"{out}: the promise is for one record: {unit(inputs, modality, column)}, whoever it is of")
    _tell_empty(empty)


def tell_records(out: Path, many: Sequence[Shards]) -> None:
    """Print to what a training's promise applies, and how many records have no ids."""
    from ult.public.manifest import IDS

    names = ", ".join(shards.path.name for shards in many)
    say(f"{out}: the promise is for one record of {names}, as it was encoded: a line of a .txt, a row of a table")
    parts = (part[IDS].combine_chunks() for shards in many for part in shards.parts())
    _tell_empty(sum(int((ids.value_lengths().to_numpy() == 0).sum()) for ids in parts))


def _tell_empty(empty: int) -> None:
    if empty:
        verb = "is" if empty == 1 else "are"
        note(f"{count(empty, 'record')} {verb} empty; each counts as a record, so remove those that are none")

"""Refuse to keep in the clear what looks like it says who somebody is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from ult.data.cells import has_text
from ult.data.columns import identifier
from ult.data.columns.infer import infer
from ult.data.columns.tally import Tally, look
from ult.data.composed.fields import texts
from ult.data.composed.records import paths
from ult.data.opening import open_inputs
from ult.data.reading import Reading
from ult.data.rows import Rows
from ult.errors import SourceError


def check_kept(
    inputs: Sequence[str], modality: str, keep: Sequence[str], reading: Mapping[str, str | float] | None = None
) -> None:
    """Raise `SourceError` if one of the columns `keep` may say who somebody is, by its header or its first values."""
    opened, _ = open_inputs(paths(inputs), modality, Reading.of(reading))
    for rows in opened:
        rows.check_columns(keep)  # tags of DICOM become columns as they are asked for
    for name in keep:
        standard = next((why for rows in opened if (why := rows.identifies(name))), "")
        why = f"{standard}, by its standard" if standard else _why(opened, name)
        if why:
            raise SourceError(
                f"column {name!r} is kept in the clear and looks like an identifier: {why}; expected one that says "
                "nothing of who somebody is, or --keep-identifier beside it",
                hint=f"leave out --keep {shlex.quote(name)}",
            )


def _why(opened: Sequence[Rows], name: str) -> str:
    kind, seen = opened[0].types[name], Tally()
    if has_text(kind):
        for rows in opened:
            for chunk in rows.blocks([name]):  # all of them: identifiers may come last
                seen.add(texts(chunk, name))
        look([seen])
    names = [name, *_inner(kind)]
    found = identifier.judge(names, seen.formed, filled=seen.looked, distinct=seen.different, rows=max(seen.looked, 1))
    reading = infer(name, seen)
    return identifier.of_kept(found, reading.kind, whole=seen.whole, distinct=seen.different, cells=seen.cells)


def _inner(kind: pa.DataType) -> Iterator[str]:
    for k in range(kind.num_fields):
        yield kind.field(k).name
        yield from _inner(kind.field(k).type)

"""Which fields of rows mostly have the cell of the row before, and are left out where they do."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ult.codecs.record.field import Field
from ult.data.composed.fields import texts
from ult.data.rows import Chunk

_KINDS = ("number", "category", "date")  # the kinds that can be carried


def with_carried(
    fields: Sequence[Field], unit: str, chunks: Callable[[Sequence[str]], Iterable[Chunk]]
) -> tuple[Field, ...]:
    """Return the fields of rows, those `carried` that so leave out more cells than by their absent cell.

    Reads the rows once; a row whose unit the row before has not is the first of its unit.
    """
    chosen = [one for one in fields if one.kind in _KINDS]
    same, absent = dict.fromkeys((one.name for one in chosen), 0), dict.fromkeys((one.name for one in chosen), 0)
    for chunk in chunks([unit, *same]) if chosen else ():
        units = texts(chunk, unit)
        follows = [*map(operator.eq, units, units[1:])]
        for one in chosen:
            cells = texts(chunk, one.name)
            alike = map(operator.eq, cells, cells[1:])
            same[one.name] += sum(map(operator.and_, alike, follows))
            absent[one.name] += sum(cell == one.left_out for cell in cells)
    return tuple(
        replace(one, carried=True) if one.name in same and same[one.name] > absent[one.name] else one for one in fields
    )

"""What the cells of a column may be, as its owner declares it without looking: nothing of epsilon goes for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ult.codecs.record.codec import RecordColumns
from ult.codecs.record.field import Field
from ult.data.columns.schema import CELLS
from ult.errors import InvalidRecord
from ult.synth.marginals.column import Cell, Column
from ult.synth.marginals.scale import scale_of

RANGE = ".."  # between the ends of a scale
PARTS = 128  # of a scale, at most where each place is one


@dataclass(frozen=True)
class Domain:
    """The `cells` there may be; of a scale also the parts between its ends, `stops`, and `forms` of cells there."""

    cells: tuple[Cell, ...]
    stops: tuple[float, ...] = ()
    forms: tuple[tuple[str, float], ...] = ()

    def column(self, field: Field) -> Column:
        """Return the column, of which nothing is counted yet."""
        counts = (0.0,) * len(self.cells)
        return Column(field, self.cells, counts, stops=self.stops, forms=dict(self.forms) or None, closed=True)


def domain_of(field: Field, told: Sequence[str]) -> Domain:
    """Return the domain that texts declare: each is a cell, but for one `low..high` of a number or a date.

    Both ends belong to it. A number is written with as many decimal places as its ends, with zeros at the end if an end
    has some. Raises `InvalidConfig`, naming the column.
    """
    scale = scale_of(field)
    ranges = [one for one in told if scale is not None and RANGE in one]
    cells = tuple(one for one in told if one not in ranges)
    if not told or len(set(told)) < len(told) or len(told) > CELLS:
        raise field.wrong(f"{len(told):,} cells are declared; expected 1 to {CELLS:,}, each once")
    if scale is not None and len(ranges) != 1:
        raise field.wrong(f"{len(ranges)} ranges are declared; expected one, such as 0..120, beside single cells")
    for cell in cells:
        _check(field, cell)
    if scale is None:
        return Domain(cells)
    texts = ranges[0].split(RANGE, 1)
    low, high = scale.read(texts)
    if low is None or high is None or low.value > high.value:
        raise field.wrong(f"the range is {ranges[0]:.40}; expected a {field.kind} and one that is not less")
    forms, step = scale.written([low.form, high.form])
    return Domain(cells, _stops(low.value, high.value + step, step), tuple(forms.items()))


def _check(field: Field, cell: str) -> None:
    try:
        RecordColumns(fields=(replace(field.alone, carried=False),)).encode_batch([(cell,)])
    except InvalidRecord:
        raise field.wrong(f"the cell {cell!r:.40} is declared; expected a {field.kind}") from None


def _stops(low: float, high: float, step: float) -> tuple[float, ...]:
    """Return where parts begin and end: each place if these are few, else even parts, and finer ones about 0."""
    many = round((high - low) / step)
    if many <= PARTS:
        places = np.arange(many + 1)
    else:
        sizes = np.geomspace(step, max(abs(low), abs(high)), PARTS // 4)
        every = np.concatenate([np.linspace(low, high, PARTS // 4 + 1), sizes, -sizes, [0.0]])
        places = np.unique(np.rint((every[(every >= low) & (every <= high)] - low) / step))
    return tuple(np.round(low + places * step, max(0, -round(np.log10(step)))).tolist())

"""What cells categories have, as public files list them: a codebook, or records that anybody may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ult.data.columns.schema import CELLS
from ult.data.columns.tally import LONG, Tally


class Category(Protocol):
    """What was found of a column."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def kind(self) -> str:
        """What its cells are: category, number, text and so on."""

    @property
    def identifier(self) -> str:
        """Why it may name somebody, or nothing."""


def domains(found: Iterable[Category], tallies: Mapping[str, Tally]) -> dict[str, tuple[str, ...]]:
    """Return the cells of each category all of which were counted, `CELLS` at most; of no column that names somebody.

    A single column has none, as nothing goes together with it.
    """
    columns = list(found)
    told: dict[str, tuple[str, ...]] = {}
    for one in columns if len(columns) > 1 else []:
        seen = tallies.get(one.name)
        if seen is not None and one.kind == "category" and not one.identifier and seen.exact and seen.longest <= LONG:
            told |= {one.name: tuple(sorted(seen.counts))} if 0 < len(seen.counts) <= CELLS else {}
    return told

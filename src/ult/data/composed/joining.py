"""Join the rows of several tables of data by the unit that they belong to, such as a patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ult.data.composed.alike import check_alike
from ult.data.composed.runs import Run
from ult.data.composed.units import Held, Strand
from ult.errors import SourceError


def joined(strands: Sequence[Strand], *, lead: bool) -> Iterator[tuple[Run | None, ...]]:
    """Yield the run of each strand, or None, for every unit, in the order in which the strands first have it.

    With `lead`, the first strand has every unit: raises `SourceError` for a row of another. Memory is bounded if the
    strands have the rows of a unit one after another and all the units in one order; else it is limited by `Held`.
    """
    held = Held()
    supplies = [_Supply(strand, held) for strand in strands]
    if len(strands) > 1:
        hashes = [strand.hashes for strand in strands]
        check_alike(
            [strand.spellings for strand in strands],
            lambda: hashes,
            lambda: (one for strand in strands for one in strand.placed()),
        )
    if lead:
        for strand in strands[1:]:
            _check_known(strand, strands[0])
    for k, supply in enumerate(supplies):
        for run in supply.rest():
            yield (*[None] * k, run, *(other.take(run.unit) for other in supplies[k + 1 :]))


class _Supply:
    """The runs of a strand, taken in the order of another."""

    def __init__(self, strand: Strand, held: Held) -> None:
        self._strand, self._held = strand, held
        self._runs = strand.whole()
        self._waiting: dict[str, Run] = {}

    def take(self, unit: str) -> Run | None:
        """Return the run of a unit, or None if there is none."""
        if run := self._waiting.pop(unit, None):
            self._held.drop(run)
            return run
        if not _holds(self._strand.hashes, hash(unit)):
            return None
        for run in self._runs:
            if run.unit == unit:
                return run
            self._held.add(run, self._strand)
            self._waiting[run.unit] = run
        return None

    def rest(self) -> Iterator[Run]:
        """Yield the runs that were not taken, in their order."""
        yield from self._waiting.values()
        self._waiting.clear()
        yield from self._runs


def _holds(hashes: Any, one: int) -> bool:
    at = int(np.searchsorted(hashes, one))
    return at < len(hashes) and int(hashes[at]) == one


def _check_known(strand: Strand, lead: Strand) -> None:
    """Raise `SourceError`, naming the row, if a unit of `strand` has no row in `lead`."""
    unknown = np.setdiff1d(strand.hashes, lead.hashes)
    if len(unknown):
        run = next(run for run in strand.runs() if _holds(unknown, hash(run.unit)))
        raise SourceError(
            f"{run.place}: its {strand.unit!r} has no row in {lead.name}; expected one for every unit, because "
            "fields of the record itself are read there",
            hint=f"leave such rows out of {strand.name}, or add theirs to {lead.name}",
        )

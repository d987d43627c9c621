"""Check by a table's counts whether records were in its fit: members must have been, nonmembers must not.

A table keeps how often each of its ids occurred in its fit, and encoding exactly those records again gives the same
counts. If the members are the whole fit, that proves it, and nonmembers among them can be found. A part of the fit
proves nothing; neither can a private table, whose counts are noisy, nor a table that left rare patches uncounted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.owner.table import Table
from ult.public.vocabulary import N_SPECIAL

Ids = NDArray[np.uint32]
LEAST = 2  # nonmembers that must remain


def sides(table: Table, members: Sequence[Ids], nonmembers: Sequence[Ids]) -> tuple[dict[str, Any], list[int]]:
    """Return, as JSON values, what the counts prove, and the indices of the nonmembers that were not in the fit.

    Records are ids (n,). Raises `InvalidConfig` if the two were swapped, or most nonmembers were in the fit.
    """
    everyone = list(range(len(nonmembers)))
    if table.privacy is not None:
        return _unshown("the table's counts are noisy, so that nobody can tell who was in its fit"), everyone
    if not is_fit(table, members):
        _check_outside(table, members, nonmembers)
        return _unshown("members are not the whole fit, whose counts the table would show"), everyone
    inside = {ids.tobytes() for ids in members}
    left = [k for k, ids in enumerate(nonmembers) if ids.tobytes() not in inside]
    if len(left) < max(LEAST, len(nonmembers) / 2):
        raise InvalidConfig(
            f"{len(nonmembers) - len(left)} of {len(nonmembers)} nonmembers are in the table's fit",
            hint="--nonmembers with records that the table was not fitted on",
        )
    return {"members": True, "nonmembers": True, "taken_out": len(nonmembers) - len(left), "why": ""}, left


def is_fit(table: Table, records: Sequence[Ids]) -> bool:
    """Return whether `records`, ids (n,) each, have the number and the id counts of the table's fit."""
    if len(records) != table.records:
        return False
    ids = np.concatenate([np.empty(0, np.uint32), *records]).astype(np.int64)
    return np.array_equal(np.bincount(ids - N_SPECIAL, minlength=len(table.counts)), table.counts)


def _check_outside(table: Table, members: Sequence[Ids], nonmembers: Sequence[Ids]) -> None:
    if is_fit(table, nonmembers):
        raise InvalidConfig(
            "nonmembers are the very records that the table was fitted on: they and the members are swapped",
            hint="--members with what `ult fit` read",
        )
    if is_fit(table, [*members, *nonmembers]):
        raise InvalidConfig(
            "members and nonmembers together are the table's fit: nonmembers were in it too",
            hint="--nonmembers with records that the table was not fitted on",
        )


def _unshown(why: str) -> dict[str, Any]:
    return {"members": None, "nonmembers": None, "taken_out": 0, "why": why}

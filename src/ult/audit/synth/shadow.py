"""Membership by shadow syntheses: make synthetic records again from random halves, so that it is known who was used.

The attacks of `ult.audit.synth.membership` score each record by what each synthesis wrote; each synthesis is attacked
with the others as its shadows (LiRA). It is the strongest attack that needs nothing but the synthetic records and a
maker to call, and it costs as many syntheses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ult.audit.bounds import DELTA, Scores, summarize
from ult.audit.lira import ratio
from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, coded
from ult.audit.synth.membership import score
from ult.audit.synth.side import Cell, Side
from ult.codecs.record.field import Field
from ult.errors import InvalidConfig

LEAST = 6  # two with a record and two without it beside the one that is attacked
Record = Sequence[Cell]
Maker = Callable[[list[Record], int], Sequence[Record]]  # from records and a seed to synthetic records


def shadowed(
    records: Sequence[Record], others: Sequence[Record], fields: Sequence[Field], make: Maker, *, count: int,
    seed: int = 0, delta: float = DELTA,
) -> tuple[dict[str, Any], dict[str, tuple[Scores, Scores]]]:  # fmt: skip
    """Return, as JSON values, what the attacks find of `records` in `count` syntheses, and their scores.

    Syntheses come in pairs, and each record is in the making of one of the two. `others` are records that an attacker
    has, and that no synthesis sees. A cell is a text, or None. Raises `InvalidConfig` for an odd or too small `count`.
    """
    if count < LEAST or count % 2:
        raise InvalidConfig(f"{count} shadow syntheses were asked for; expected an even number from {LEAST} on")
    rng, seen, found = np.random.default_rng(seed), [], []
    for number in range(count):
        if number % 2 == 0:
            half = np.zeros(len(records), bool)
            half[rng.permutation(len(records))[: len(records) // 2]] = True
        used = half if number % 2 == 0 else ~half
        made = make([records[k] for k in np.flatnonzero(used).tolist()], seed + number)
        seen.append(used)
        found.append(_scores(records, others, made, fields))
    known = np.stack(seen)
    curves: dict[str, tuple[Scores, Scores]] = {}
    for name in found[0]:
        each = np.stack([one[name] for one in found])
        aside = [np.arange(count) != k for k in range(count)]
        told = np.stack([ratio(each[k], each[rest], known[rest]) for k, rest in enumerate(aside)])
        curves[name] = (told[known], told[~known])
    summed = {name: summarize(*pair, delta=delta, attacks=len(curves)) for name, pair in curves.items()}
    return {"syntheses": count, "records": len(records), "attacks": summed}, curves


def _scores(
    records: Sequence[Record], others: Sequence[Record], made: Sequence[Record], fields: Sequence[Field]
) -> dict[str, Scores]:
    """Return the scores (records,) of each attack on one synthesis."""
    sides = {name: _side(name, rows, fields) for name, rows in ((REAL, records), (HELD_OUT, others), (SYNTHETIC, made))}
    columns = [coded(field, sides) for field in fields]
    places = {name: np.arange(len(side.drawn)) for name, side in sides.items()}
    each = score(columns, sides, {REAL: places[REAL]}, written=places[SYNTHETIC], beside=places[HELD_OUT])
    return {name: one[0] for name, one in each.items()}


def _side(name: str, rows: Sequence[Record], fields: Sequence[Field]) -> Side:
    cells = {field.name: [row[k] for row in rows] for k, field in enumerate(fields)}
    return Side(name, "", np.zeros(len(rows), np.uint64), np.arange(len(rows)), cells, None)

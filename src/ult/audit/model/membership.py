"""Was this record trained on? Scores of records from what a run predicts of them, higher for members."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ult.audit.model.predicted import Floats, Predicted, predict_records
from ult.audit.model.references import Reference, average_outside, lira, tuned
from ult.audit.model.sides import Sides
from ult.errors import WrongTable
from ult.owner.table import Table
from ult.public.run import Run

LEAST = 0.2  # the share of a record's ids that Min-K% looks at; its authors' own choice


def loss(of: Predicted) -> Floats:
    """Score by the mean log-probability (Yeom et al. 2018); of a class or a target, by that of what is predicted."""
    return of.averages


def zlib_ratio(of: Predicted, data: Sequence[bytes]) -> Floats:
    """Score by the mean log-probability over the bytes that zlib makes of the record (Carlini et al. 2021)."""
    return np.asarray(of.averages / [len(zlib.compress(one)) for one in data])


def min_k(of: Predicted, least: float = LEAST) -> Floats:
    """Score by the mean of the lowest log-probabilities (Min-K%, Shi et al. 2024)."""
    return _lowest(of, of.log, least)


def min_k_plus(of: Predicted, least: float = LEAST) -> Floats:
    """Score the same, each log-probability in deviations from what the run expects there (Zhang et al. 2025)."""
    return _lowest(of, (of.log - of.mean) / np.maximum(of.deviation, 1e-6), least)


def _lowest(of: Predicted, values: Floats, least: float) -> Floats:
    return np.array([np.sort(record)[: max(1, int(least * len(record)))].mean() for record in of.each(values)])


def reference(of: Floats, others: Floats) -> Floats:
    """Score by how much likelier than under reference runs the record is (Carlini et al. 2021); log-probabilities."""
    return of - others


def rmia(of: Floats, others: Floats, a: float) -> Floats:
    """Score by what a record gains over runs with and without it (RMIA offline, Zarifzadeh et al. 2024).

    `of` (records,) and `others` are log-probabilities, the latter the logarithm of the mean probability over reference
    runs without it. The average with and without it is told from these as ((1 + a) p + 1 - a) / 2, p being the
    probability of an id, the geometric mean over the record's. RMIA's own score is the share of a population over which
    a record gains more: the same order, so the same curve, but for the ties that the population's size makes.
    """
    return np.asarray(of - np.log(((1 + a) * np.exp(others) + 1 - a) / 2))


def plain_bytes(record: Any) -> bytes:
    """Return a decoded record as bytes: of text its UTF-8, of arrays their values."""
    return record.encode("utf-8", "surrogatepass") if isinstance(record, str) else record.tobytes()


def scores(
    run: Run,
    sides: Sides,
    *,
    table: Table | None = None,
    references: Sequence[Reference] = (),
    shadows: Sequence[Reference] = (),
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda records: None,
) -> tuple[dict[str, tuple[Floats, Floats]], dict[str, Any]]:
    """Return by attack the scores of the members and of the nonmembers, and what else is to be told of the attacks.

    zlib's needs the owner's table, those by reference runs that were trained without the members, or by `shadows` of
    each of which it is known what it saw. Raises `WrongTable`
    if the table is not that of all records.
    """
    many = [*sides.members, *sides.nonmembers]
    of = predict_records(run, many, modality=sides.modality, batch_size=batch_size, advance=advance)
    found = {"loss": loss(of)}
    if run.task != "classify":
        found |= {"min-k": min_k(of), "min-k++": min_k_plus(of)}
    if run.task == "lm" and table is not None:
        check_table(table, sides)
        found["zlib"] = zlib_ratio(of, [plain_bytes(one) for one in table.decode_batch([one.ids for one in many])])
    told: dict[str, Any] = {}
    if shadows:
        found["lira"] = lira(of.averages, shadows)
        told["lira"] = {"shadows": len(shadows)}
    if beside := [*references, *shadows]:
        outside, (a, how) = average_outside(beside), tuned(beside, rmia)
        found["reference"] = reference(of.averages, outside)
        found["rmia"] = rmia(of.averages, outside, a)
        told["rmia"] = {"a": a, "a_from": how, "references": len(beside)}
    rows = len(sides.members)
    return {name: (values[:rows], values[rows:]) for name, values in found.items()}, told


def check_table(table: Table, sides: Sides) -> None:
    """Raise `WrongTable` unless all records were encoded with the table."""
    for shards in (one for side in sides.shards for one in side):
        if shards.manifest.table != table.fingerprint:
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; this one is {table.fingerprint}",
                hint="--table with the table that `ult encode` used",
            )

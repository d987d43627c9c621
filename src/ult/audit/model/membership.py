"""Membership inference on a run: scores of records from the run's predictions, higher for members."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ult.audit.model.predicted import Floats, Predicted, predict_records
from ult.audit.model.references import Reference, average_outside, lira, tuned
from ult.audit.model.sides import Sides
from ult.owner.inputs import check_encoded
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.task import LABELS

LEAST = 0.2  # the share of a record's ids that Min-K% uses, as its authors chose


def loss(of: Predicted) -> Floats:
    """Score by the mean log-probability of the record, or of its target, class or number (Yeom et al. 2018)."""
    return of.averages


def zlib_ratio(of: Predicted, data: Sequence[bytes]) -> Floats:
    """Score by the mean log-probability divided by the record's size under zlib, in bytes (Carlini et al. 2021)."""
    return np.asarray(of.averages / [len(zlib.compress(record)) for record in data])


def min_k(of: Predicted, least: float = LEAST) -> Floats:
    """Score by the mean of the lowest log-probabilities, a share `least` of all (Min-K%, Shi et al. 2024)."""
    return _lowest(of, of.log, least)


def min_k_plus(of: Predicted, least: float = LEAST) -> Floats:
    """Score as `min_k`, with log-probabilities standardised by the run's mean and deviation (Zhang et al. 2025)."""
    return _lowest(of, (of.log - of.mean) / np.maximum(of.deviation, 1e-6), least)


def _lowest(of: Predicted, values: Floats, least: float) -> Floats:
    return np.array([np.sort(record)[: max(1, int(least * len(record)))].mean() for record in of.each(values)])


def reference(of: Floats, others: Floats) -> Floats:
    """Score by the log-probability minus that under reference runs, `others` (Carlini et al. 2021)."""
    return of - others


def rmia(of: Floats, others: Floats, a: float) -> Floats:
    """Score by the record's likelihood ratio to an average of runs with and without it (RMIA offline).

    Zarifzadeh et al. 2024. `of` (records,) are log-probabilities, `others` (records,) the log of the mean probability
    under reference runs trained without the record. The average over runs with and without it is estimated from these
    as ((1 + a) p + 1 - a) / 2, where p is the geometric mean of the probabilities of the record's ids. RMIA's own score
    is the share of a population that a record's ratio exceeds: the same order, so the same ROC curve, except for ties.
    """
    return np.asarray(of - np.log(((1 + a) * np.exp(others) + 1 - a) / 2))


def plain_bytes(record: Any) -> bytes:
    """Return a decoded record as bytes: text as UTF-8, arrays as their values, fields and rows one after the other."""
    if isinstance(record, tuple):
        return b"\x1f".join(map(plain_bytes, record))
    if isinstance(record, str):
        return record.encode("utf-8", "surrogatepass")
    return b"" if record is None else record.tobytes()


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
    """Return, by attack, the scores of members (m,) and nonmembers (n,), and further facts on some attacks.

    zlib needs the owner's `table`. "reference" and "rmia" need `references` that were trained without the members, or
    `shadows`, of which it is known which records each was trained on; "lira" needs `shadows`. Raises `WrongTable` if
    the table did not encode all records.
    """
    records = [*sides.members, *sides.nonmembers]
    of = predict_records(run, records, modality=sides.modality, batch_size=batch_size, advance=advance)
    by_attack = {"loss": loss(of)}
    if run.task not in LABELS:
        by_attack |= {"min-k": min_k(of), "min-k++": min_k_plus(of)}
    if run.task == "lm" and table is not None:
        check_table(table, sides)
        decoded = table.decode_batch([record.ids for record in records])
        by_attack["zlib"] = zlib_ratio(of, [plain_bytes(record) for record in decoded])
    facts: dict[str, Any] = {}
    if shadows:
        by_attack["lira"] = lira(of.averages, shadows)
        facts["lira"] = {"shadows": len(shadows)}
    if others := [*references, *shadows]:
        outside, (a, how) = average_outside(others), tuned(others, rmia)
        by_attack["reference"] = reference(of.averages, outside)
        by_attack["rmia"] = rmia(of.averages, outside, a)
        facts["rmia"] = {"a": a, "a_from": how, "references": len(others)}
    members = len(sides.members)
    return {name: (values[:members], values[members:]) for name, values in by_attack.items()}, facts


def check_table(table: Table, sides: Sides) -> None:
    """Raise `WrongTable` unless the table encoded all records."""
    for shards in (folder for side in sides.shards for folder in side):
        check_encoded(shards, table)

"""The records of an audit of forgetting: the forgotten, those never seen, and those that were kept.

Forgotten canaries were planted to be memorised, so they are measured by their exposure alone. A forgotten record of
which an equal copy stays in the shards is not forgotten at all, and cannot be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ult.audit.forget.nearest import nearer
from ult.audit.model.record import Record, modality_of
from ult.audit.model.sides import encoded_canaries, records_of
from ult.errors import InvalidConfig, TrainingError, WrongTable
from ult.owner.table import Table
from ult.public.gone import Gone
from ult.public.run import Run
from ult.public.shards import Shards

LEAST = 10  # forgotten records, and records never seen, with fewer of which nothing is compared


@dataclass(frozen=True, slots=True)
class Groups:
    """Distinct records; no two groups share one, and none holds a canary."""

    forgotten: list[Record]
    nonmembers: list[Record]
    kept: list[Record]
    canaries: list[int]  # numbers of the table's canaries among the forgotten
    copied: int  # forgotten records of which a copy stays in the shards
    modality: str
    facts: dict[str, Any]


def read_groups(
    run: Run,
    shards: Sequence[Shards],
    rows: Sequence[Gone],
    nonmembers: Sequence[Shards],
    *,
    table: Table | None,
    most: int,
    seed: int,
    least: int = LEAST,
) -> Groups:
    """Return the groups of a run's shards, of which `rows` were to be forgotten.

    Of kept records and of those never seen at most `most` are drawn. Raises `InvalidConfig` if under `least` remain or
    if there are canaries and no table, `WrongTable`, or `TrainingError` for a run that predicts no records.
    """
    if run.task not in ("lm", "classify"):
        raise TrainingError(f"run {run.path} was trained for {run.task}; expected one for lm or classify")
    for one in [*shards, *nonmembers]:
        run.check_shards(one)
    secret = _canaries([*shards, *nonmembers], table)
    inside, outside = records_of(run, shards), records_of(run, nonmembers)
    stays = [np.ones(one.manifest.rows, bool) for one in shards]
    for one, stay in zip(shards, stays, strict=True):
        for lot in (lot for lot in (each.of(one) for each in rows) if lot is not None):
            stay &= lot.stays()
    gone = ~np.concatenate(stays)
    asked = {record.key: record for record, is_gone in zip(inside, gone, strict=True) if is_gone}
    left = {record.key: record for record, is_gone in zip(inside, gone, strict=True) if not is_gone}
    canaries = sorted(secret[key[:2]] for key in asked if key[:2] in secret)
    copied = asked.keys() & left.keys()
    forgotten = [record for key, record in asked.items() if key not in copied and key[:2] not in secret]
    seen = asked.keys() | left.keys()
    never = {record.key: record for record in outside if record.key not in seen and record.key[:2] not in secret}
    kept = [record for key, record in left.items() if key not in copied and key[:2] not in secret]
    rng = np.random.default_rng(seed)
    drawn = {"nonmembers": _some(list(never.values()), most, rng), "kept": _some(kept, most, rng)}
    near = nearer(forgotten, drawn["nonmembers"], kept)
    few = "more rows, or --method exact: a run like the retrained one needs no figures"
    equal = f"equal copies of {len(copied)} stay in the shards: ult forget find with all of these, which names them"
    for name, found, hint in (
        ("forgotten records", forgotten, equal if copied else few),
        ("records that no run saw", drawn["nonmembers"], "more --nonmembers"),
    ):
        if len(found) < least:
            raise InvalidConfig(
                f"{len(found)} {name} can be compared, canaries and copies left out; expected at least {least}",
                hint=hint,
            )
    return Groups(
        forgotten,
        drawn["nonmembers"],
        drawn["kept"],
        canaries,
        len(copied),
        modality_of([*shards, *nonmembers]),
        {
            "rows": int(gone.sum()),
            "forgotten": len(forgotten),
            "canaries": len(canaries),
            "copied": len(copied),
            "near": [round(share, 4) for share in near],
            "nonmembers": len(drawn["nonmembers"]),
            "kept": len(drawn["kept"]),
        },
    )


def _canaries(many: Sequence[Shards], table: Table | None) -> dict[tuple[str, bytes], int]:
    """Return the number of each canary that the shards may hold, by the first two parts of `Record.key`."""
    having = [one for one in many if one.manifest.canaries]
    count = max((one.manifest.canaries.count for one in having if one.manifest.canaries), default=0)
    if not count:
        return {}
    if table is None:
        raise InvalidConfig(
            f"{count} canaries were planted in {having[0].path}; only the owner's table tells them from records",
            hint="--table with the table that `ult encode` used",
        )
    if strange := [one for one in having if one.manifest.table != table.fingerprint]:
        raise WrongTable(
            f"canaries in {strange[0].path} are of table {strange[0].manifest.table}; this one is {table.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    return {(table.fingerprint, ids.tobytes()): k for k, ids in enumerate(encoded_canaries(table, count))}


def _some(records: list[Record], most: int, rng: np.random.Generator) -> list[Record]:
    if len(records) <= most:
        return records
    return [records[int(k)] for k in np.sort(rng.choice(len(records), most, replace=False))]

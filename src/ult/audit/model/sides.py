"""The members and nonmembers of an audit: distinct records, and what proves that they are what they are said to be.

Members are from shards that the run says it was trained on, nonmembers from other shards. A record on both sides is a
member without a counterpart, so it is not compared. Canaries were planted to be memorised and are measured separately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.model.record import Ids, Record, modality_of
from ult.audit.model.trained import check_trained, planted
from ult.errors import InvalidConfig, TrainingError, WrongTable
from ult.owner.canaries import canary_record, holds_canaries, secret_digits
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.packing import as_numbers, label_name, open_shards
from ult.trainer.datasets.pairs import open_targets

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Sides:
    """The records to compare, and what is known about their origin."""

    members: list[Record]
    nonmembers: list[Record]
    shared: list[Record]  # on both sides: members that are not compared
    copies: tuple[NDArray[np.int64], NDArray[np.int64]]  # how often each member and each nonmember occurs
    shards: tuple[list[Shards], list[Shards]]  # sources, then targets if there are any
    modality: str
    bound: bool  # whether the run says that it was trained on the members' shards, and not on the nonmembers'
    coin: bool  # whether a coin decided on which side each record is
    found: int  # canaries found among the members, by their ids
    facts: dict[str, Any]
    notes: list[str]

    @property
    def recited(self) -> list[Record]:
        """All members, including those on both sides: extraction needs no counterpart."""
        return [*self.members, *self.shared]


def read_sides(
    run: Run,
    members: Paths,
    nonmembers: Paths,
    *,
    targets: Paths | None = None,
    nonmember_targets: Paths | None = None,
    table: Table | None = None,
    canaries: int = 0,
) -> Sides:
    """Return the records of both sides, without canaries.

    At least the first `canaries` of the owner's `table` are searched for. Raises `InvalidConfig` if the run was not
    trained on the members or was trained on nonmembers, if there are canaries that cannot be found without the table,
    or if too few records remain; `WrongTable`; and what `open_shards` raises.
    """
    inside = _open(run, members, targets, "--targets")
    outside = _open(run, nonmembers, nonmember_targets, "--nonmember-targets")
    both = [*inside[0], *outside[0]]
    modality = modality_of(both)
    trained = check_trained(run, [*inside[0], *inside[1]], [*outside[0], *outside[1]])
    secret = _canaries(run, both, table, canaries)
    plain, planted_keys = [], []
    for sources, targets_of in (inside, outside):
        read = records_of(run, sources, targets_of)
        plain.append([record for record in read if record.key[:2] not in secret])
        planted_keys.append(Counter(record.key[:2] for record in read if record.key[:2] in secret))
    copies = [Counter(record.key for record in records) for records in plain]
    shared = copies[0].keys() & copies[1].keys()
    distinct = [{record.key: record for record in records} for records in plain]
    alone = [[record for key, record in by_key.items() if key not in shared] for by_key in distinct]
    times = [np.array([copies[k][record.key] for record in alone[k]], np.int64) for k in (0, 1)]
    facts = {
        name: {
            "records": len(plain[k]) + sum(planted_keys[k].values()),
            "compared": len(alone[k]),
            "repeated": len(plain[k]) - len(distinct[k]),
            "shared": len(shared),
            "canaries": sum(planted_keys[k].values()),
        }
        for k, name in enumerate(("members", "nonmembers"))
    }
    for name, left in zip(("members", "nonmembers"), alone, strict=True):
        if len(left) < 2:
            raise InvalidConfig(
                f"{len(left)} of {facts[name]['records']} {name} can be compared: {facts[name]['shared']} are on "
                f"both sides, {facts[name]['canaries']} are canaries; expected at least 2",
                hint=f"--{name} with more records, none of them on the other side",
            )
    return Sides(
        members=alone[0],
        nonmembers=alone[1],
        shared=[distinct[0][key] for key in distinct[0] if key in shared],
        copies=(times[0], times[1]),
        shards=([*inside[0], *inside[1]], [*outside[0], *outside[1]]),
        modality=modality,
        bound=trained.bound,
        coin=trained.coin,
        found=len(planted_keys[0]),
        facts=facts,
        notes=[*trained.notes, *_left_out(facts)],
    )


def _open(run: Run, paths: Paths, targets: Paths | None, option: str) -> tuple[list[Shards], list[Shards]]:
    sources = open_shards(paths, run.vocabulary)
    goals = open_targets(targets, sources, task=run.task, option=option)
    for shards in [*sources, *goals]:
        run.check_shards(shards)
    return sources, goals


def _canaries(run: Run, many: Sequence[Shards], table: Table | None, asked: int) -> set[tuple[str, bytes]]:
    """Return the keys, as the first two parts of `Record.key`, of all canaries that the shards may hold.

    Raises `InvalidConfig` if canaries were planted and the table is missing, `WrongTable` if it is another one.
    """
    having = [shards for shards in many if shards.manifest.canaries]
    count = max([planted(run), *(shards.manifest.canaries.count for shards in having if shards.manifest.canaries)])
    if table is None and not count:
        return set()
    if table is None:
        names = ", ".join(str(shards.path) for shards in having) or f"what {run.path} was trained on"
        raise InvalidConfig(
            f"{count} canaries were planted in {names}; they are not records, and only the owner's table finds them",
            hint="--table with the table that `ult encode` used",
        )
    for shards in having:
        if shards.manifest.table != table.fingerprint:
            raise WrongTable(
                f"canaries in {shards.path} are of table {shards.manifest.table}; this one is {table.fingerprint}",
                hint="--table with the table that `ult encode` used",
            )
    return {(table.fingerprint, ids.tobytes()) for ids in encoded_canaries(table, max(count, asked))}


def encoded_canaries(table: Table, count: int) -> list[Ids]:
    """Return the ids of the first `count` canaries of a table; empty if its records hold no text."""
    if count < 1 or not holds_canaries(table):
        return []
    return table.encode_batch(
        [canary_record(table, name, digits) for name, digits in enumerate(secret_digits(table, count))]
    )


def records_of(run: Run, sources: Sequence[Shards], goals: Sequence[Shards] = ()) -> list[Record]:
    """Return the records of shards in order, with their targets or classes if the run predicts these."""
    if goals:
        return [
            Record(ids, source.manifest.table, target=target, shards=source.manifest.digest)
            for source, goal in zip(sources, goals, strict=True)
            for ids, target in zip(source.ids(), goal.ids(), strict=True)
        ]
    if run.task == "lm":
        return [Record(ids, s.manifest.table, shards=s.manifest.digest) for s in sources for ids in s.ids()]
    name = label_name(sources, run.metrics.get("label"))
    labels_of = _scaled if run.task == "regress" else _classes
    return [
        Record(ids, shards.manifest.table, label=label, shards=shards.manifest.digest)
        for shards in sources
        for ids, label in zip(shards.ids(), labels_of(run, shards, name), strict=True)
    ]


def _classes(run: Run, shards: Shards, name: str) -> list[int]:
    numbers = {value: k for k, value in enumerate(run.classes)}
    values = [value for part in shards.parts() for value in part[name].to_pylist()]
    for value in values:
        if value not in numbers:
            raise TrainingError(f"{shards.path}: {name!r} is {value!r:.40} in a record, which the run does not know")
    return [numbers[value] for value in values]


def _scaled(run: Run, shards: Shards, name: str) -> list[float]:
    mean, deviation = run.scale
    values = np.concatenate([as_numbers(part[name], name) for part in shards.parts()])
    return ((values - mean) / deviation).tolist()  # type: ignore[no-any-return]


def _left_out(facts: dict[str, Any]) -> list[str]:
    notes = []
    for name, counts in facts.items():
        if counts["repeated"]:
            notes.append(f"{counts['repeated']} of {counts['records']} {name} repeat others, and are compared once")
        if counts["canaries"]:
            notes.append(f"{counts['canaries']} of {counts['records']} {name} are planted canaries, not records")
    if shared := facts["members"]["shared"]:
        notes.append(f"{shared} different records are on both sides, so they are members; they are not compared")
    return notes

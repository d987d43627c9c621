"""Members and nonmembers of an audit: which records stand on either side, each once, and what shows that they do.

Members are of shards that the run says it was trained on, nonmembers of others. A record that stands on both sides is
a member of which nobody can say how it would fare as none, so it is compared with nothing; canaries were planted to be
remembered, and are measured by themselves.
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
from ult.owner.canaries import canary, secret_digits
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.packing import label_name, open_shards
from ult.trainer.datasets.pairs import open_targets

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, slots=True)
class Sides:
    """The records to compare, and what is known of where they come from."""

    members: list[Record]
    nonmembers: list[Record]
    shared: list[Record]  # on both sides: members, but not compared
    copies: tuple[NDArray[np.int64], NDArray[np.int64]]  # how often each member and nonmember stands there
    shards: tuple[list[Shards], list[Shards]]  # sources, then targets if there are any
    modality: str
    bound: bool  # whether the run says that it was trained on the members' shards, and not on the nonmembers'
    coin: bool  # whether a coin decided of each record on which side it stands
    found: int  # canaries that stand among the members, by their ids
    facts: dict[str, Any]
    notes: list[str]

    @property
    def recited(self) -> list[Record]:
        """All members, those that stand on both sides too, as what is recited of them needs no comparison."""
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
    """Return the records of both sides.

    Of the owner's `table` at least the first so many `canaries` are looked for. Raises `InvalidConfig` if the run was
    not trained on the members, or was on nonmembers, if canaries among them cannot be told without the table, or if too
    few records are left; else as `open_shards` does.
    """
    inside = _open(run, members, targets, "--targets")
    outside = _open(run, nonmembers, nonmember_targets, "--nonmember-targets")
    both = [*inside[0], *outside[0]]
    modality = modality_of(both)
    trained = check_trained(run, [*inside[0], *inside[1]], [*outside[0], *outside[1]])
    secret = _canaries(run, both, table, canaries)
    many, found = [], []
    for sources, goals in (inside, outside):
        read = _records(run, sources, goals)
        many.append([record for record in read if record.key[:2] not in secret])
        found.append(Counter(record.key[:2] for record in read if record.key[:2] in secret))
    copies = [Counter(record.key for record in records) for records in many]
    shared = copies[0].keys() & copies[1].keys()
    first = [{record.key: record for record in records} for records in many]
    alone = [[record for key, record in found.items() if key not in shared] for found in first]
    times = [np.array([copies[k][record.key] for record in alone[k]], np.int64) for k in (0, 1)]
    facts = {
        name: {
            "records": len(many[k]) + sum(found[k].values()),
            "compared": len(alone[k]),
            "repeated": len(many[k]) - len(first[k]),
            "shared": len(shared),
            "canaries": sum(found[k].values()),
        }
        for k, name in enumerate(("members", "nonmembers"))
    }
    for name, left in zip(("members", "nonmembers"), alone, strict=True):
        if len(left) < 2:
            raise InvalidConfig(
                f"{len(left)} of {facts[name]['records']} {name} can be compared: {facts[name]['shared']} stand on "
                f"both sides, {facts[name]['canaries']} are canaries; expected at least 2",
                hint=f"--{name} with more, and with none of the other side's",
            )
    return Sides(
        members=alone[0],
        nonmembers=alone[1],
        shared=[first[0][key] for key in first[0] if key in shared],
        copies=(times[0], times[1]),
        shards=([*inside[0], *inside[1]], [*outside[0], *outside[1]]),
        modality=modality,
        bound=trained.bound,
        coin=trained.coin,
        found=len(found[0]),
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
    """Return the keys of all canaries that may stand in shards, by which they are told from records."""
    having = [shards for shards in many if shards.manifest.canaries]
    count = max([planted(run), *(shards.manifest.canaries.count for shards in having if shards.manifest.canaries)])
    if table is None and not count:
        return set()
    if table is None:
        names = ", ".join(str(shards.path) for shards in having) or f"what {run.path} was trained on"
        raise InvalidConfig(
            f"{count} canaries were planted in {names}; they are no records, and follow from the owner's table",
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
    """Return the ids of the first so many canaries of a table; none if its codec reads no text."""
    if count < 1 or table.codec.modality != "text":
        return []
    return table.encode_batch([canary(name, digits) for name, digits in enumerate(secret_digits(table, count))])


def _records(run: Run, sources: Sequence[Shards], goals: Sequence[Shards]) -> list[Record]:
    if goals:
        return [
            Record(ids, source.manifest.table, target=target, shards=source.manifest.digest)
            for source, goal in zip(sources, goals, strict=True)
            for ids, target in zip(source.ids(), goal.ids(), strict=True)
        ]
    if run.task == "lm":
        return [Record(ids, s.manifest.table, shards=s.manifest.digest) for s in sources for ids in s.ids()]
    name = label_name(sources, run.metrics.get("label"))
    numbers = {value: k for k, value in enumerate(run.classes)}
    records = []
    for shards in sources:
        values = [value for part in shards.parts() for value in part[name].to_pylist()]
        for ids, value in zip(shards.ids(), values, strict=True):
            if value not in numbers:
                raise TrainingError(
                    f"{shards.path}: {name!r} is {value!r:.40} in a record, which the run does not know"
                )
            records.append(Record(ids, shards.manifest.table, label=numbers[value], shards=shards.manifest.digest))
    return records


def _left_out(facts: dict[str, Any]) -> list[str]:
    notes = []
    for name, told in facts.items():
        if told["repeated"]:
            notes.append(f"{told['repeated']} of {told['records']} {name} repeat others, and are compared once")
        if told["canaries"]:
            notes.append(f"{told['canaries']} of {told['records']} {name} are planted canaries, which are no records")
    if shared := facts["members"]["shared"]:
        notes.append(
            f"{shared} different records stand on both sides, so they are members; they are compared with nothing"
        )
    return notes

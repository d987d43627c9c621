"""The audit of forgetting: a run that is said to have forgotten records, beside one retrained without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import Scores
from ult.audit.forget.beside import beside_of
from ult.audit.forget.differing import alone, dearer, differing, smirnov
from ult.audit.forget.groups import LEAST, Groups, read_groups
from ult.audit.forget.pairs import check_pairs, tell_apart
from ult.audit.forget.relearning import compared, half_way, learnings, relearned
from ult.audit.forget.said import check_runs, guarantee_of, method_of, trained_otherwise, unsearched, work_of
from ult.audit.forget.states import BITS, rounded
from ult.audit.forget.verdict import judge
from ult.audit.model.blind import blind
from ult.audit.model.exposure import ALTERNATIVES, exposure
from ult.audit.model.predicted import predict_records
from ult.audit.model.record import Record
from ult.host.distribution import versions
from ult.owner.table import Table
from ult.public.gone import Gone
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.packing import open_shards, summary
from ult.trainer.models.embeddings import Model
from ult.trainer.models.together import load_predictor

FORMAT = "ult-audit-forget/1"
MOST = 500  # kept records, and records never seen, that are read
STEPS = 32  # of learning again
ORDERS = 3  # in which the same is learned again
Tell = Callable[[str, int], None]
Curves = dict[str, tuple[Scores, Scores]]


@dataclass(frozen=True, slots=True)
class Read:
    """What a run says of the records of an audit: log-probabilities in nats, a mean and a total for each."""

    averages: dict[str, Scores]  # by group
    totals: dict[str, Scores]

    @property
    def calibrated(self) -> Scores:
        """The means of the forgotten records, less their mean over the records that no run saw."""
        return np.asarray(self.averages["forgotten"] - self.averages["nonmembers"].mean())


def audit_forget(
    run: str | Path,
    shards: str | Path | Sequence[str | Path],
    rows: Sequence[Gone],
    nonmembers: str | Path | Sequence[str | Path],
    retrained: str | Path,
    *,
    pairs: Sequence[tuple[str | Path, str | Path]] = (),
    before: str | Path | None = None,
    table: Table | None = None,
    alternatives: int = ALTERNATIVES,
    steps: int = STEPS,
    orders: int = ORDERS,
    most: int = MOST,
    seed: int = 0,
    batch_size: int = 16,
    tell: Tell = lambda stage, records: None,
) -> tuple[dict[str, Any], Curves]:
    """Return the audit, as JSON values, and scores of forgotten records and of records never seen, for ROC curves.

    `rows` name the records of `shards` that were to be forgotten; `nonmembers` are shards of the same kind that no run
    saw. `before` is the run as it was; `pairs` are further runs that forgot, each with one retrained, by other seeds.
    `steps` of learning again, in so many `orders`, may be 0. If the run is the retrained one bit for bit, nothing more
    is asked of it. `tell(stage, records)` reports progress.

    Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `TrainingError`, and what reading shards and runs raises.
    """
    ran, again = Run.open(run), Run.open(retrained)
    earlier = None if before is None else Run.open(before)
    inside, outside = open_shards(shards, ran.vocabulary), open_shards(nonmembers, ran.vocabulary)
    beside = [(Run.open(one), Run.open(other)) for one, other in pairs]
    if pairs:
        check_pairs(len(pairs) + 1)
    same = ran.digest() == again.digest()
    proven = check_runs(ran, again, earlier, beside, inside=inside, outside=outside, rows=rows)
    tell("reading", 0)
    groups = read_groups(ran, inside, rows, outside, table=table, most=most, seed=seed, least=1 if same else LEAST)
    tell("blind", 0)
    without = None if same else blind(groups.forgotten, groups.nonmembers, seed=seed)
    reader = _Reader(groups, batch_size, tell)
    models = {"forgot": load_predictor(ran), "retrained": load_predictor(again)}
    ours, theirs = (reader.read(one, models[name]) for one, name in ((ran, "forgot"), (again, "retrained")))
    first = None if earlier is None else reader.read(earlier, load_predictor(earlier))
    states: dict[str, tuple[Read, Read]] = {}
    learned: dict[str, Any] = {}
    if not same:  # a run that is the retrained one is so whatever becomes of both
        knew = first if first is not None and _knew(first, theirs) else None
        states, learned = _states(ran, again, models, reader, groups, knew, steps=steps, orders=orders, seed=seed)
    of = {"as it is": (ours, theirs), **states}
    exposed = None
    if table is not None and groups.canaries:
        rated: dict[str, Any] = {"alternatives": alternatives, "seed": seed, "batch_size": batch_size}
        exposed = {
            name: exposure(one, table, groups.canaries, model=models[name], **rated)
            for name, one in (("forgot", ran), ("retrained", again))
        }
    tests = len(of)
    result = {
        "format": FORMAT,
        "task": ran.task,
        "run": ran.path.name,
        "retrained": again.path.name,
        "before": None if earlier is None else earlier.path.name,
        "method": method_of(ran),
        "guarantee": guarantee_of(ran),
        "subject": {
            "run": ran.digest(),
            "retrained": again.digest(),
            "shards": [one.manifest.digest for one in inside],
            "nonmembers": [one.manifest.digest for one in outside],
            "table": None if table is None else table.fingerprint,
        },
        "identical": same,
        "proven": proven,
        "unsearched": unsearched(again, inside),
        "beside": beside_of(ran, again),
        "trained_otherwise": [] if same else trained_otherwise(ran, again),
        "shards": summary(inside),
        "records": groups.facts,
        "unlike": {"blind": without, "retrained": alone(*_sides(theirs))},
        "loss": {
            name: alone(*_sides(one))
            for name, one in (("forgot", ours), ("retrained", theirs), ("before", first))
            if one is not None
        },
        "difference": {name: differing(*_gap(a, b), tests=tests) for name, (a, b) in of.items()},
        "smirnov": smirnov(*_gap(ours, theirs)),
        "pairs": _pairs(reader, ours, theirs, beside, seed),
        "relearned": learned,
        "canaries": exposed,
        "cost_of_records": _costs(ours, theirs),
        "bits_per_byte": _per_byte(ours, theirs, outside),
        "kept": {
            name: alone(one.averages["kept"], one.averages["nonmembers"])
            for name, one in (("forgot", ours), ("retrained", theirs), ("before", first))
            if one is not None and groups.kept
        },
        "work": {"forgot": work_of(ran), "retrained": work_of(again)},
        "seed": seed,
        "versions": versions("torch", "transformers", "scipy", "numpy"),
    }
    findings = judge(result)
    result |= {
        "verdict": findings.verdict,
        "void": findings.void,
        "findings": [one.document() for one in findings.findings],
    }
    return result, {name: _gap(a, b) for name, (a, b) in of.items()}


class _Reader:
    """Reads what runs say of all groups."""

    def __init__(self, groups: Groups, batch_size: int, tell: Tell) -> None:
        self.groups, self.batch_size, self.tell = groups, batch_size, tell

    def read(self, run: Run, model: Model, names: Sequence[str] = ("forgotten", "nonmembers", "kept")) -> Read:
        averages, totals = {}, {}
        for name in names:
            records: list[Record] = getattr(self.groups, name)
            if not records:
                continue
            found = predict_records(
                run,
                records,
                modality=self.groups.modality,
                batch_size=self.batch_size,
                model=model,
                moments=False,
                advance=lambda more: self.tell("reading records", more),
            )
            averages[name], totals[name] = found.averages, found.totals
        return Read(averages, totals)


def _states(
    ran: Run,
    again: Run,
    models: dict[str, Model],
    reader: _Reader,
    groups: Groups,
    first: Read | None,
    *,
    steps: int,
    orders: int,
    seed: int,
) -> tuple[dict[str, tuple[Read, Read]], dict[str, Any]]:
    """Return what both runs say once their weights are rounded or trained further, and how fast records came back."""
    sides = ((ran, models["forgot"]), (again, models["retrained"]))
    names = ("forgotten", "nonmembers")
    states: dict[str, tuple[Read, Read]] = {}
    for bits in BITS:
        found = [reader.read(one, rounded(model, bits), names) for one, model in sides]
        states[f"rounded to {bits} bits"] = (found[0], found[1])
    learned: dict[str, Any] = {}
    for what in learnings(groups, seed) if steps else ():
        runs: list[list[Any]] = [[], []]
        reads: list[list[Read]] = [[], []]
        for order in range(orders):
            reader.tell(what.name, 0)
            for k, (one, model) in enumerate(sides):
                now = relearned(one, model, groups, what, steps=steps, seed=seed + order, batch_size=reader.batch_size)
                reads[k].append(reader.read(one, now.model, names))
                runs[k].append(replace(now, model=None))
        states[what.name] = tuple(_mean(reads[k], what.measured) for k in (0, 1))  # type: ignore[assignment]
        known = None if first is None else first.averages["forgotten"][what.measured]
        level = half_way([one.cost for one in runs[1]], known)
        learned[what.name] = {"records": len(what.records), **compared(runs[0], runs[1], level)}
    return states, learned


def _knew(first: Read, theirs: Read) -> bool:
    """Return whether the run before is shown to know forgotten records better: else no level is half-way back to it."""
    return bool(differing(*_gap(first, theirs))["auc_interval"][0] > 0.5)


def _mean(reads: Sequence[Read], measured: NDArray[np.int64]) -> Read:
    """Return the mean of what a run says after each order of learning; of forgotten records only the `measured`."""
    whole = {name: np.mean([one.averages[name] for one in reads], 0) for name in reads[0].averages}
    return Read(whole | {"forgotten": whole["forgotten"][measured]}, {})


def _sides(one: Read) -> tuple[Scores, Scores]:
    return one.averages["forgotten"], one.averages["nonmembers"]


def _gap(ours: Read, theirs: Read) -> tuple[Scores, Scores]:
    """Return the differences of two runs on forgotten records, and on records that no run saw."""
    a, b = (np.asarray(one - other) for one, other in zip(_sides(ours), _sides(theirs), strict=True))
    return a, b


def _costs(ours: Read, theirs: Read) -> dict[str, Any]:
    """Return what records that no run saw, and kept ones, cost the run, beside the retrained one."""
    return {
        name: {
            **dearer(-ours.totals[name], -theirs.totals[name]),
            "nats": float(-ours.totals[name].sum()),
            "retrained_nats": float(-theirs.totals[name].sum()),
        }
        for name in ("nonmembers", "kept")
        if name in ours.totals
    }


def _per_byte(ours: Read, theirs: Read, outside: Sequence[Shards]) -> dict[str, float] | None:
    """Return the bits per byte of records that no run saw; None if not all of them were read, each once."""
    nbytes, rows = (sum(getattr(one.manifest, name) for one in outside) for name in ("bytes", "rows"))
    if not nbytes or rows != len(ours.totals["nonmembers"]):
        return None
    sides = (("forgot", ours), ("retrained", theirs))
    return {name: float(-one.totals["nonmembers"].sum() / np.log(2) / nbytes) for name, one in sides}


def _pairs(
    reader: _Reader, ours: Read, theirs: Read, beside: Sequence[tuple[Run, Run]], seed: int
) -> dict[str, Any] | None:
    """Return the likelihood-ratio test of each forgotten record; None without pairs."""
    if not beside:
        return None
    rows: list[list[Scores]] = [[ours.calibrated], [theirs.calibrated]]
    for pair in beside:
        for k, one in enumerate(pair):
            rows[k].append(reader.read(one, load_predictor(one), ("forgotten", "nonmembers")).calibrated)
    return tell_apart(np.array(rows[0]), np.array(rows[1]), seed=seed)

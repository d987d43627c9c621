"""The audit of a run: membership inference, extraction and canaries, as one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ult.audit.bounds import MISS, Scores, promised_delta, summarize
from ult.audit.model.blind import blind
from ult.audit.model.ethicist import ethicist
from ult.audit.model.exposure import ALTERNATIVES, exposure
from ult.audit.model.extraction import PREFIX, SAMPLES, SUFFIX, complete, extract, passages, smallest
from ult.audit.model.membership import scores
from ult.audit.model.record import Record
from ult.audit.model.references import read_references
from ult.audit.model.shadows import check_repeatable, read_shadows
from ult.audit.model.sides import Paths, Sides, read_sides
from ult.audit.model.trained import planted
from ult.audit.onerun import proofs
from ult.errors import InvalidConfig
from ult.host.distribution import versions
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.task import LABELS
from ult.trainer.datasets.packing import summary
from ult.trainer.models.generation import ignored

FORMAT = "ult-audit-model/2"
Curves = dict[str, tuple[Scores, Scores]]  # attack -> scores of members (m,) and of nonmembers (n,)
_NOTHING_PROVEN: dict[str, Any] = {
    "epsilon_at_least": 0.0,
    "epsilon_at_least_if_gaussian": 0.0,
    "epsilon_at_least_by_delta": [],
    "guesses": [],
}
Tell = Callable[
    [str, int], None
]  # called with the current stage and the number of records finished since the last call


def audit_model(
    run: str | Path,
    members: Paths,
    nonmembers: Paths,
    *,
    targets: Paths | None = None,
    nonmember_targets: Paths | None = None,
    reference_runs: Sequence[str | Path] = (),
    shadows: int = 0,
    table: Table | None = None,
    canaries: int | None = None,
    alternatives: int = ALTERNATIVES,
    prefix: int = PREFIX,
    suffix: int = SUFFIX,
    samples: int = SAMPLES,
    soft_prompt: int = 0,
    delta: float | None = None,
    seed: int = 0,
    batch_size: int = 16,
    tell: Tell = lambda stage, records: None,
) -> tuple[dict[str, Any], Curves]:
    """Return the audit of a run, as JSON values, and the scores of each attack for drawing its ROC curve.

    `members` are shards that the run was trained on; `nonmembers` are shards that it was not trained on, drawn from the
    same source. Any other difference between them would look like a leak, so `blind` tests whether they differ without
    the run. For a run of task "seq2seq" both need `targets`; for "classify" and "regress" they need its label
    column.

    `reference_runs` were not trained on the members and add attacks that compare with them. `shadows` is a number of
    runs to train by the same recipe on halves of both sides, which adds LiRA. `prefix` and `suffix` are the ids given
    and asked for in extraction, `samples` the continuations drawn for each prefix. `soft_prompt` is a number of vectors
    to tune on every other member's passage for extracting the rest (`ult.audit.model.ethicist`), 0 for none. The
    owner's `table` adds the zlib score and the exposure of `canaries`: how many of those that `ult encode` planted to
    measure, each among so many `alternatives`; by default all. `delta` is for the bounds on epsilon, by default that of
    the run's promise, else 1e-5. `tell(stage, records)` reports progress. What could not be measured is in `notes`.

    Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `TrainingError`, and what reading shards and runs raises.
    """
    opened = Run.open(run)
    if (part := opened.metrics.get("part")) is not None:
        raise InvalidConfig(
            f"{opened.path} was trained on part {part.get('part')} of its shards' records; all of them would count as "
            "members",
            hint="the run that holds all members",
        )
    if sum(one["rows"] for one in opened.metrics.get("without") or []):
        raise InvalidConfig(
            f"{opened.path} left out some of its shards' records; all of them would count as members",
            hint="ult audit forget, which looks at what was left out",
        )
    tell("reading", 0)
    both = {"targets": targets, "nonmember_targets": nonmember_targets}
    sides = read_sides(opened, members, nonmembers, **both, table=table, canaries=canaries or 0)
    measured, known = _planned(opened, sides, table, canaries)
    if shadows:
        check_repeatable(opened, sides, shadows)
    tell("blind", 0)
    without = blind(sides.members, sides.nonmembers, seed=seed)
    options: dict[str, Any] = {"batch_size": batch_size}
    references = read_references(
        [Run.open(path) for path in reference_runs], sides, **options, advance=partial(tell, "reference runs")
    )
    curves, attacks = scores(
        opened,
        sides,
        table=table,
        references=references,
        shadows=read_shadows(opened, sides, shadows, **options, seed=seed, advance=partial(tell, "shadow runs"))
        if shadows
        else (),
        **options,
        advance=partial(tell, "membership"),
    )
    asked: dict[str, Any] = {"prefix": prefix, "suffix": suffix, "samples": samples, "soft_prompt": soft_prompt}
    extracted, notes = _extraction(opened, sides, **asked, **options, seed=seed, tell=tell)
    exposed = None
    if table is not None and measured:
        rated: dict[str, Any] = {"alternatives": alternatives, "seed": seed, "advance": partial(tell, "canaries")}
        exposed = {"planted": known, **exposure(opened, table, measured, **rated, **options)}
    delta = promised_delta(opened.metrics.get("privacy")) if delta is None else delta
    result = {
        "format": FORMAT,
        "task": opened.task,
        "run": opened.path.name,
        "subject": {
            "run": opened.digest(),
            "members": [shards.manifest.digest for shards in sides.shards[0]],
            "nonmembers": [shards.manifest.digest for shards in sides.shards[1]],
            "table": None if table is None else table.fingerprint,
        },
        "bound": sides.bound,
        "coin": sides.coin,
        "reference_runs": [Path(path).name for path in reference_runs],
        "shadows": shadows,
        "members": summary(sides.shards[0]),
        "nonmembers": summary(sides.shards[1]),
        "records": sides.facts,
        "blind": without,
        "membership": {
            name: {**_membership(sides, pair, delta, len(curves)), **attacks.get(name, {})}
            for name, pair in curves.items()
        },
        "extraction": extracted,
        "canaries": exposed,
        "notes": [*sides.notes, *_of_shift(without), *notes, *ignored(opened.path)],
        "seed": seed,
        "versions": versions("torch", "transformers", "scipy", "numpy"),
    }
    return result, curves


def _membership(sides: Sides, pair: tuple[Scores, Scores], delta: float, attacks: int) -> dict[str, Any]:
    """Return the statistics of an attack's scores, as JSON values.

    Bounds on epsilon use only records that occur once: a promise for one record does not bound what copies leak.
    """
    statistics = summarize(*pair, delta=delta, attacks=attacks)
    single = [values[copies == 1] for values, copies in zip(pair, sides.copies, strict=True)]
    if any(len(once) < len(values) for once, values in zip(single, pair, strict=True)):
        if min(map(len, single)) < 2:
            return {**statistics, **_NOTHING_PROVEN, "smallest_detectable": smallest(len(pair[0]))}
        statistics |= proofs(*single, delta=delta, miss=MISS / attacks)
    return {**statistics, "smallest_detectable": smallest(len(pair[0]))}


def _of_shift(without: dict[str, Any]) -> list[str]:
    if not without["shift"]:
        return []
    return [
        f"members and nonmembers can be told apart without the run (AUC {without['auc']:.3f}), so the results do not "
        "measure membership; draw them by coin, ult encode --coin-split"
    ]


def _planned(run: Run, sides: Sides, table: Table | None, asked: int | None) -> tuple[int, int]:
    """Return how many canaries to measure, and how many are known to be planted.

    Raises `InvalidConfig` if more were asked for than are known, or if the run is not a language model.
    """
    known = max(0 if table is None else planted(run, table.fingerprint), sides.found)
    if asked and run.task != "lm":
        raise InvalidConfig(
            f"exposure can be measured of runs for lm only; this one is for {run.task}", hint="--canaries 0"
        )
    if asked and asked > known:
        raise InvalidConfig(
            f"the exposure of {asked} canaries was asked for; {known} of them are known to be planted in what "
            f"{run.path} was trained on",
            hint=f"--canaries {known}" if known else "ult encode --canaries, and train again",
        )
    count = known if asked is None else asked
    return (0 if table is None or run.task != "lm" else count), known


def _extraction(
    run: Run,
    sides: Sides,
    *,
    prefix: int,
    suffix: int,
    samples: int,
    soft_prompt: int,
    seed: int,
    batch_size: int,
    tell: Tell,
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return what was extracted of members and of nonmembers, as JSON values or None, and notes on what was not."""
    groups = {"members": sides.recited, "nonmembers": sides.nonmembers}
    if run.task in LABELS:
        return None, [f"no extraction: a run for {run.task} writes no records"]
    if run.task == "seq2seq":
        return _targets(run, groups, batch_size=batch_size, tell=tell)
    room = run.context - len(run.head(sides.modality))
    if room < prefix + suffix:
        return None, [f"no extraction: the run's context has room for {room} ids, {prefix} + {suffix} were asked for"]
    asked = {
        name: passages((record.ids for record in records), prefix=prefix, suffix=suffix)
        for name, records in groups.items()
    }
    missing = [f"no extraction from {name}: no record has {prefix} + {suffix} ids" for name in asked if not asked[name]]
    options: dict[str, Any] = {"modality": sides.modality, "seed": seed, "batch_size": batch_size}

    def watched(way: str) -> Callable[[int, int], None]:
        return lambda records, ids: tell(f"extraction, {way}", records)

    results: dict[str, dict[str, Any]] = {
        name: {
            "greedy": extract(run.path, given, **options, advance=watched("greedy")),
            "sampled": extract(run.path, given, samples=samples, **options, advance=watched("sampled"))
            if samples
            else None,
        }
        for name, given in asked.items()
        if given
    }
    if soft_prompt and "members" in results:
        known, rest = asked["members"][::2], {"members": asked["members"][1::2], "nonmembers": asked["nonmembers"]}
        for name in (name for name in results if known and rest[name]):
            tuning = {"prompt": soft_prompt, **options, "advance": partial(tell, "extraction, tuned")}
            results[name]["tuned"] = ethicist(run.path, known, rest[name], **tuning)
    return {"prefix": prefix, "suffix": suffix, **results} if results else None, missing


def _targets(
    run: Run, groups: dict[str, list[Record]], *, batch_size: int, tell: Tell
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return how many targets a run for "seq2seq" writes exactly, and notes on what was not measured."""
    advance = partial(tell, "targets")
    results = {name: complete(run, given, batch_size=batch_size, advance=advance) for name, given in groups.items()}
    written = {name: {"greedy": result} for name, result in results.items() if result is not None}
    none = [name for name, result in results.items() if not result]
    missing = [f"no target of {name} is written: none is shorter than the context" for name in none]
    return ({"prefix": run.context, "suffix": run.context, "targets": True, **written} if written else None), missing

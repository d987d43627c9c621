"""The audit of a run: membership, extraction and canaries, as one JSON object."""

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
from ult.distribution import versions
from ult.errors import InvalidConfig
from ult.owner.table import Table
from ult.public.run import Run
from ult.trainer.datasets.packing import summary
from ult.trainer.models.generation import ignored

FORMAT = "ult-audit-model/2"
Curves = dict[str, tuple[Scores, Scores]]  # by attack the scores of members (m,) and of nonmembers (n,)
_NOTHING_PROVEN: dict[str, Any] = {
    "epsilon_at_least": 0.0,
    "epsilon_at_least_if_gaussian": 0.0,
    "epsilon_at_least_by_delta": [],
    "guesses": [],
}
Tell = Callable[[str, int], None]  # of what is being done, and of how many more records it is done


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
    """Return what a run betrays, as JSON values, and the scores that its curves are drawn of.

    Members are records that it was trained on, nonmembers such that it was not, drawn as the members were: what else
    differs between them would be taken for leaks, which is why `blind` says whether they differ without the run. So
    many `shadows`, runs by the same recipe on halves of both sides, add an attack that knows more. Of a
    run for "seq2seq" both have `targets`, of one for "classify" they keep its label. A `soft_prompt` of so many vectors
    is tuned on every other member's passage, and asks for the rest (`ult.audit.model.ethicist`). With the owner's
    `table` zlib's score is told too, and the exposure of `canaries` that `ult encode` planted, all of them unless said.
    `delta` is that of the bounds on epsilon: unless said, that of the run's own promise, else 1e-5. `tell` is told what
    is done and of how many more records. What cannot be done is in `notes`. Raises as what it calls.
    """
    opened = Run.open(run)
    tell("reading", 0)
    both = {"targets": targets, "nonmember_targets": nonmember_targets}
    sides = read_sides(opened, members, nonmembers, **both, table=table, canaries=canaries or 0)
    planned = _planned(opened, sides, table, canaries)
    if shadows:
        check_repeatable(opened, sides, shadows)
    tell("blind", 0)
    without = blind(sides.members, sides.nonmembers, seed=seed)
    options: dict[str, Any] = {"batch_size": batch_size}
    references = read_references(
        [Run.open(one) for one in reference_runs], sides, **options, advance=partial(tell, "reference runs")
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
    if table is not None and planned[0]:
        rated: dict[str, Any] = {"alternatives": alternatives, "seed": seed, "advance": partial(tell, "canaries")}
        exposed = {"planted": planned[1], **exposure(opened, table, planned[0], **rated, **options)}
    delta = promised_delta(opened.metrics.get("privacy")) if delta is None else delta
    result = {
        "format": FORMAT,
        "task": opened.task,
        "run": opened.path.name,
        "subject": {
            "run": opened.digest(),
            "members": [one.manifest.digest for one in sides.shards[0]],
            "nonmembers": [one.manifest.digest for one in sides.shards[1]],
            "table": None if table is None else table.fingerprint,
        },
        "bound": sides.bound,
        "coin": sides.coin,
        "reference_runs": [Path(one).name for one in reference_runs],
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
    """Return what scores tell; a bound on epsilon is of records that stand there once, of others it is of them all."""
    told = summarize(*pair, delta=delta, attacks=attacks)
    single = [values[copies == 1] for values, copies in zip(pair, sides.copies, strict=True)]
    if any(len(one) < len(values) for one, values in zip(single, pair, strict=True)):
        if min(map(len, single)) < 2:
            return {**told, **_NOTHING_PROVEN, "smallest_detectable": smallest(len(pair[0]))}
        told |= proofs(*single, delta=delta, miss=MISS / attacks)
    return {**told, "smallest_detectable": smallest(len(pair[0]))}


def _of_shift(without: dict[str, Any]) -> list[str]:
    if not without["shift"]:
        return []
    return [
        f"members and nonmembers are told apart without the run (AUC {without['auc']:.3f}): what is found is no "
        "measure of membership; draw them by coin, ult encode --coin-split"
    ]


def _planned(run: Run, sides: Sides, table: Table | None, asked: int | None) -> tuple[int, int]:
    """Return how many canaries to measure, and how many are known to be planted.

    Raises `InvalidConfig` if more were asked for, or a run that does not predict them.
    """
    known = max(0 if table is None else planted(run, table.fingerprint), sides.found)
    if asked and run.task != "lm":
        raise InvalidConfig(
            f"exposure is of what a run for lm predicts; this one is for {run.task}", hint="--canaries 0"
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
    """Return what was extracted of members and, beside it, of nonmembers; or nothing, and why."""
    groups = {"members": sides.recited, "nonmembers": sides.nonmembers}
    if run.task == "classify":
        return None, ["no extraction: a run for classify writes no records"]
    if run.task == "seq2seq":
        return _targets(run, groups, batch_size=batch_size, tell=tell)
    room = run.context - len(run.head(sides.modality))
    if room < prefix + suffix:
        return None, [f"no extraction: the run's context has room for {room} ids, {prefix} + {suffix} were asked for"]
    asked = {
        name: passages((record.ids for record in many), prefix=prefix, suffix=suffix) for name, many in groups.items()
    }
    missing = [f"no extraction from {name}: no record has {prefix} + {suffix} ids" for name in asked if not asked[name]]
    options: dict[str, Any] = {"modality": sides.modality, "seed": seed, "batch_size": batch_size}

    def watched(way: str) -> Callable[[int, int], None]:
        return lambda records, ids: tell(f"extraction, {way}", records)

    found: dict[str, dict[str, Any]] = {
        name: {
            "greedy": extract(run.path, given, **options, advance=watched("greedy")),
            "sampled": extract(run.path, given, samples=samples, **options, advance=watched("sampled"))
            if samples
            else None,
        }
        for name, given in asked.items()
        if given
    }
    if soft_prompt and "members" in found:
        known, rest = asked["members"][::2], {"members": asked["members"][1::2], "nonmembers": asked["nonmembers"]}
        for name in (name for name in found if known and rest[name]):
            tuning = {"prompt": soft_prompt, **options, "advance": partial(tell, "extraction, tuned")}
            found[name]["tuned"] = ethicist(run.path, known, rest[name], **tuning)
    return {"prefix": prefix, "suffix": suffix, **found} if found else None, missing


def _targets(
    run: Run, groups: dict[str, list[Record]], *, batch_size: int, tell: Tell
) -> tuple[dict[str, Any] | None, list[str]]:
    advance = partial(tell, "targets")
    many = {name: complete(run, given, batch_size=batch_size, advance=advance) for name, given in groups.items()}
    found = {name: {"greedy": told} for name, told in many.items() if told is not None}
    missing = [f"no target of {name} is written: none is shorter than the context" for name in many if not many[name]]
    return ({"prefix": run.context, "suffix": run.context, "targets": True, **found} if found else None), missing

"""The audit of a run: membership, extraction and canaries, as one JSON object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ult.audit.bounds import Scores, promised_delta, summarize
from ult.audit.ethicist import ethicist
from ult.audit.exposure import ALTERNATIVES, exposure
from ult.audit.extraction import PREFIX, SAMPLES, SUFFIX, extract, passages
from ult.audit.membership import modality_of, open_audited, scores
from ult.distribution import versions
from ult.packing import summary
from ult.run import Run
from ult.shards import Shards
from ult.table import Table

FORMAT = "ult-audit-model/1"
Paths = str | Path | Sequence[str | Path]
Curves = dict[str, tuple[Scores, Scores]]  # by attack the scores of members (m,) and of others (n,)


def audit_model(
    run: str | Path,
    members: Paths,
    others: Paths,
    *,
    reference_run: str | Path | None = None,
    table: Table | None = None,
    canaries: int = 0,
    alternatives: int = ALTERNATIVES,
    prefix: int = PREFIX,
    suffix: int = SUFFIX,
    samples: int = SAMPLES,
    soft_prompt: int = 0,
    delta: float | None = None,
    seed: int = 0,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda records: None,
) -> tuple[dict[str, Any], Curves]:
    """Return what a run betrays, as JSON values, and the scores that its curves are drawn of.

    Members are records that it was trained on, others such that it was not, drawn as the members were: what else
    differs between them would be taken for leaks. A `soft_prompt` of so many vectors is tuned on every other member's
    passage, and asks for the rest (`ult.audit.ethicist`). With the owner's `table` zlib's score is told too, and the
    exposure of `canaries` that `ult encode` planted. `delta` is that of the bounds on epsilon: unless said, that of the
    run's own promise, else 1e-5. What cannot be done is in `notes`. Raises as what it calls.
    """
    opened, (inside, outside) = open_audited(run, members, others)
    delta = promised_delta(opened.metrics.get("privacy")) if delta is None else delta
    other = None if reference_run is None else open_audited(reference_run, members, others)[0]
    curves = scores(opened, inside, outside, table=table, reference_run=other, batch_size=batch_size, advance=advance)
    asked = {
        "prefix": prefix,
        "suffix": suffix,
        "samples": samples,
        "soft_prompt": soft_prompt,
        "seed": seed,
        "batch_size": batch_size,
    }
    extracted, notes = _extraction(opened, inside, outside, **asked, advance=advance)
    found = None
    if table is not None and canaries:
        options: dict[str, Any] = {"alternatives": alternatives, "seed": seed, "batch_size": batch_size}
        found = exposure(opened, table, canaries, **options, advance=advance)
    result = {
        "format": FORMAT,
        "run": opened.path.name,
        "weights": opened.digest(),
        "reference_run": other and other.path.name,
        "members": summary(inside),
        "others": summary(outside),
        "membership": {name: summarize(*pair, delta=delta, attacks=len(curves)) for name, pair in curves.items()},
        "extraction": extracted,
        "canaries": found,
        "notes": notes,
        "seed": seed,
        "versions": versions("torch", "transformers", "scipy", "numpy"),
    }
    return result, curves


def _extraction(
    run: Run,
    members: Sequence[Shards],
    others: Sequence[Shards],
    *,
    prefix: int,
    suffix: int,
    samples: int,
    soft_prompt: int,
    seed: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return what was extracted of members and, beside it, of others; or nothing, and why."""
    modality = modality_of([*members, *others])
    room = run.context - len(run.head(modality))
    if room < prefix + suffix:
        return None, [f"no extraction: the run's context has room for {room} ids, {prefix} + {suffix} were asked for"]
    groups = {"members": members, "others": others}
    asked = {
        name: passages((ids for shards in many for ids in shards.ids()), prefix=prefix, suffix=suffix)
        for name, many in groups.items()
    }
    missing = [f"no extraction from {name}: no record has {prefix} + {suffix} ids" for name in asked if not asked[name]]
    options: dict[str, Any] = {"modality": modality, "seed": seed, "batch_size": batch_size}
    options["advance"] = lambda records, ids: advance(records)
    found: dict[str, dict[str, Any]] = {
        name: {
            "greedy": extract(run.path, given, **options),
            "sampled": extract(run.path, given, samples=samples, **options) if samples else None,
        }
        for name, given in asked.items()
        if given
    }
    if soft_prompt:
        tuning: dict[str, Any] = {"prompt": soft_prompt, "modality": modality, "seed": seed, "batch_size": batch_size}
        known, rest = asked["members"][::2], {"members": asked["members"][1::2], "others": asked["others"]}
        for name in found:
            found[name]["tuned"] = ethicist(run.path, known, rest[name], **tuning)
    return {"prefix": prefix, "suffix": suffix, **found} if found else None, missing

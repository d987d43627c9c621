"""Reference runs: what others, that never saw a record, make of it, and how much of a record's gain that explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import auc
from ult.audit.model.predicted import predict_records
from ult.audit.model.sides import Sides
from ult.audit.model.trained import lots
from ult.errors import InvalidConfig, WrongVocabulary
from ult.public.run import Run

Floats = NDArray[np.float64]
OFFLINE = 1 / 3  # RMIA's a where nothing tells a better one; its authors' own choice for texts
GRID = np.linspace(0.0, 1.0, 11)
FEW = 64  # shadow runs, under which all records share their variances, as LiRA's authors have it


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference run makes of the records of an audit, members first."""

    averages: Floats  # (records,) the mean log-probability of each
    seen: NDArray[np.bool_] | None  # (records,) which it was trained on; None if nobody knows


def read_references(
    runs: Sequence[Run], sides: Sides, *, batch_size: int, advance: Callable[[int], None]
) -> list[Reference]:
    """Let reference runs predict the records of an audit.

    Raises `InvalidConfig` if one was trained on members or for another task, `WrongVocabulary`, or `WrongTable`.
    """
    many, members = [*sides.members, *sides.nonmembers], {one.manifest.digest for one in sides.shards[0]}
    for run in runs:
        told = {lot.get("digest") for lot in lots(run)} | set(run.metrics.get("trained_before") or [])
        if members & told:
            raise InvalidConfig(
                f"{run.path} was trained on members, and was named with --reference-run", hint="a run that saw none"
            )
        if run.vocabulary != sides.shards[0][0].vocabulary:
            raise WrongVocabulary(
                f"{run.path} has a vocabulary of {run.vocabulary.size}; the shards' is "
                f"{sides.shards[0][0].vocabulary.size}"
            )
        for shards in (one for side in sides.shards for one in side):
            run.check_shards(shards)
    found = []
    for run in runs:
        of = predict_records(run, many, modality=sides.modality, batch_size=batch_size, advance=advance)
        found.append(Reference(of.averages, _seen(run, [record.shards for record in many])))
    return found


def _seen(run: Run, digests: Sequence[str]) -> NDArray[np.bool_] | None:
    told = [lot.get("digest") for lot in lots(run)]
    return np.array([digest in told for digest in digests], bool) if all(told) else None


def average_outside(references: Sequence[Reference]) -> Floats:
    """Return the logarithm of each record's mean probability (records,) under the references that never saw it.

    A record that all of them saw has the mean of all.
    """
    logs = np.stack([one.averages for one in references])
    weights = np.stack([np.ones(logs.shape[1]) if one.seen is None else ~one.seen for one in references]).astype(float)
    weights[:, weights.sum(0) == 0] = 1.0
    return np.asarray(np.log((weights * np.exp(logs)).sum(0) / weights.sum(0)))


def tuned(references: Sequence[Reference], score: Callable[[Floats, Floats, float], Floats]) -> tuple[float, str]:
    """Return RMIA's `a`, and where it is from.

    Each reference of which it is known what it saw is attacked by the others; what tells its own members best on
    average is taken. Nothing of the run that is audited is looked at.
    """
    areas = []
    for k, target in enumerate(references):
        others = [*references[:k], *references[k + 1 :]]
        if not others or target.seen is None or not 2 <= target.seen.sum() <= len(target.seen) - 2:
            continue
        outside = average_outside(others)
        each = [score(target.averages, outside, float(a)) for a in GRID]
        areas.append([auc(one[target.seen], one[~target.seen]) for one in each])
    if not areas:
        return OFFLINE, "the authors' choice: of no two references it is known what they saw"
    return float(GRID[int(np.mean(areas, axis=0).argmax())]), f"attacks of {len(areas)} references by the others"


def lira(of: Floats, shadows: Sequence[Reference]) -> Floats:
    """Score by how much likelier a record's log-probability is of runs that saw it than of such that did not.

    `of` (records,) is the run's. LiRA, Carlini et al. 2022, the online attack: both are taken for normal, and under
    `FEW` shadow runs all records share their variances.
    """
    logs = np.stack([one.averages for one in shadows])
    seen = np.stack([one.seen for one in shadows if one.seen is not None])
    total = np.zeros(len(of))
    for sign, which in ((1.0, seen), (-1.0, ~seen)):
        n = which.sum(0)
        mean = (logs * which).sum(0) / n
        variance = (((logs - mean) ** 2) * which).sum(0) / np.maximum(n - 1, 1)
        if len(shadows) < FEW:
            variance = np.full(len(of), variance[n > 1].mean())
        variance = np.maximum(variance, 1e-12)
        total += sign * (-np.log(variance) / 2 - (of - mean) ** 2 / (2 * variance))
    return total

"""Reference runs: predictions of runs that were not trained on a record, and the attacks that compare with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.audit.bounds import auc
from ult.audit.lira import ratio
from ult.audit.model.predicted import predict_records
from ult.audit.model.sides import Sides
from ult.audit.model.trained import lots
from ult.errors import InvalidConfig, WrongVocabulary
from ult.public.run import Run

Floats = NDArray[np.float64]
OFFLINE = 1 / 3  # RMIA's a where it cannot be tuned; its authors' choice for texts
GRID = np.linspace(0.0, 1.0, 11)  # values of a that are tried


@dataclass(frozen=True, slots=True)
class Reference:
    """The predictions of a reference run for the records of an audit, members first."""

    averages: Floats  # (records,) mean log-probability of each record, in nats
    seen: NDArray[np.bool_] | None  # (records,) whether it was trained on each record; None if that is unknown


def read_references(
    runs: Sequence[Run], sides: Sides, *, batch_size: int, advance: Callable[[int], None]
) -> list[Reference]:
    """Return the predictions of reference runs for the records of an audit.

    Raises `InvalidConfig` if a run was trained on members or for another task, `WrongVocabulary`, or `WrongTable`.
    """
    records = [*sides.members, *sides.nonmembers]
    members = {shards.manifest.digest for shards in sides.shards[0]}
    for run in runs:
        trained = {lot.get("digest") for lot in lots(run)} | set(run.metrics.get("trained_before") or [])
        if members & trained:
            raise InvalidConfig(
                f"{run.path} was trained on members, and was named with --reference-run", hint="a run that saw none"
            )
        if run.vocabulary != sides.shards[0][0].vocabulary:
            raise WrongVocabulary(
                f"{run.path} has a vocabulary of {run.vocabulary.size}; the shards' is "
                f"{sides.shards[0][0].vocabulary.size}"
            )
        for shards in (folder for side in sides.shards for folder in side):
            run.check_shards(shards)
    references = []
    for run in runs:
        of = predict_records(run, records, modality=sides.modality, batch_size=batch_size, advance=advance)
        references.append(Reference(of.averages, _seen(run, [record.shards for record in records])))
    return references


def _seen(run: Run, digests: Sequence[str]) -> NDArray[np.bool_] | None:
    """Return whether a run was trained on the shards of each record, by their digests; None if it names no digests."""
    trained = [lot.get("digest") for lot in lots(run)]
    return np.array([digest in trained for digest in digests], bool) if all(trained) else None


def average_outside(references: Sequence[Reference]) -> Floats:
    """Return the log of each record's mean probability (records,) under the references that were not trained on it.

    For a record that all of them were trained on, it is the mean over all.
    """
    logs = np.stack([run.averages for run in references])
    weights = np.stack([np.ones(logs.shape[1]) if run.seen is None else ~run.seen for run in references]).astype(float)
    weights[:, weights.sum(0) == 0] = 1.0
    return np.asarray(np.log((weights * np.exp(logs)).sum(0) / weights.sum(0)))


def tuned(references: Sequence[Reference], score: Callable[[Floats, Floats, float], Floats]) -> tuple[float, str]:
    """Return RMIA's `a`, and in words where it comes from.

    Each reference whose training records are known is attacked with the others as references; the `a` with the best
    mean AUC is chosen. The audited run is not used.
    """
    areas = []
    for k, target in enumerate(references):
        others = [*references[:k], *references[k + 1 :]]
        if not others or target.seen is None or not 2 <= target.seen.sum() <= len(target.seen) - 2:
            continue
        outside = average_outside(others)
        each = [score(target.averages, outside, float(a)) for a in GRID]
        areas.append([auc(values[target.seen], values[~target.seen]) for values in each])
    if not areas:
        return OFFLINE, "the authors' choice: for no two references is it known what they were trained on"
    return float(GRID[int(np.mean(areas, axis=0).argmax())]), f"attacks of {len(areas)} references by the others"


def lira(of: Floats, shadows: Sequence[Reference]) -> Floats:
    """Score by the likelihood ratio of a record's log-probability between runs trained with and without it (LiRA).

    `of` (records,) are the audited run's log-probabilities.
    """
    logs = np.stack([run.averages for run in shadows])
    return ratio(of, logs, np.stack([run.seen for run in shadows if run.seen is not None]))

"""Train runs a little further, and measure how fast what they were to forget comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.forget.groups import Groups
from ult.audit.forget.states import Relearned, relearn, steps_to
from ult.audit.model.predicted import predict_records
from ult.audit.model.record import Record
from ult.public.run import Run
from ult.trainer.models.embeddings import Model

SHARE = 10  # one of so many forgotten records is learned again
MOST = 64  # kept records that are learned
OTHERS, SOME = "learned on other records", "learned on a tenth of the forgotten"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Learning:
    """What is learned again, and which forgotten records are measured meanwhile: none of those learned."""

    name: str
    records: list[Record]
    measured: NDArray[np.int64]  # numbers of forgotten records


def learnings(groups: Groups, seed: int) -> list[Learning]:
    """Return both ways to bring forgotten records back: others of their owner, and some of themselves."""
    rng = np.random.default_rng(seed)
    n = len(groups.forgotten)
    known = np.zeros(n, bool)
    known[rng.choice(n, max(1, n // SHARE), replace=False)] = True
    kept = [groups.kept[int(k)] for k in rng.permutation(len(groups.kept))[:MOST]]
    some = [record for record, is_known in zip(groups.forgotten, known, strict=True) if is_known]
    found = [Learning(SOME, some, np.flatnonzero(~known))]
    return [Learning(OTHERS, kept, np.arange(n)), *found] if kept else found


def relearned(
    run: Run, model: Model, groups: Groups, what: Learning, *, steps: int, seed: int, batch_size: int
) -> Relearned:
    """Return a run's model trained on what is learned again, and what the measured records cost it on the way."""
    measured = [groups.forgotten[int(k)] for k in what.measured]

    def cost(now: Model) -> float:
        of = predict_records(run, measured, modality=groups.modality, batch_size=batch_size, model=now, moments=False)
        return float(-of.averages.mean())

    return relearn(run, model, what.records, modality=groups.modality, steps=steps, seed=seed, cost=cost)


def half_way(retrained: Sequence[Floats], before: Floats | None) -> float | None:
    """Return the cost half-way from where the retrained run begins to that of the run before it forgot.

    None without a run before, or if the records cost it no less than they cost the retrained run.
    """
    if before is None:
        return None
    start, known = float(np.mean([curve[0] for curve in retrained])), float(-before.mean())
    return (start + known) / 2 if known < start else None


def compared(ours: Sequence[Relearned], theirs: Sequence[Relearned], level: float | None) -> dict[str, Any]:
    """Return, as JSON values, how long a run that forgot takes to fall half-way back, beside the retrained one.

    One value for each order of learning; None where all steps did not suffice. `ratio` is the mean of the steps divided
    by those of the retrained run, which count as all of them where they did not suffice: then it is at most that. It is
    None if the run did not fall half-way back in every order.
    """
    most = float(ours[0].steps[-1])
    found: dict[str, Any] = {
        "level": level,
        "most": most,
        "at": list(ours[0].steps),
        "cost": np.mean([one.cost for one in ours], 0).tolist(),
        "retrained_cost": np.mean([one.cost for one in theirs], 0).tolist(),
        "steps": None,
        "retrained_steps": None,
        "ratio": None,
    }
    if level is None:
        return found
    steps, beside = ([steps_to(level, one.steps, one.cost) for one in side] for side in (ours, theirs))
    reached = [one for one in steps if one is not None]
    if len(reached) == len(steps):
        took = [most if one is None else one for one in beside]
        found["ratio"] = float(np.mean(reached) / max(float(np.mean(took)), 1e-9))
    return found | {"steps": steps, "retrained_steps": beside}

"""`ult.distil`: a run that learns what other runs, or the members of one, find likely together.

Its size is its own, and it is an ordinary run afterwards: it can be released, audited and trained on. It saw the
records at second hand, so its metrics count those of its teachers as seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.host.arguments import checked, kind, one_or_more, path, switch, switch_or
from ult.public import folders
from ult.public.folders import Folders
from ult.public.gone import gone_argument
from ult.public.run import Run
from ult.public.task import LABELS
from ult.trainer.datasets.inputs import Files
from ult.trainer.recipe import Recipe
from ult.trainer.train import train
from ult.trainer.workdir import Resume


@checked(
    runs=one_or_more(folders.run_argument, "runs"),
    shards=folders.folders_argument,
    out=path,
    recipe=kind(Recipe, "ult.Recipe, such as ult.Recipe(steps=200), or ult.Recipe.read(FILE)"),
    validation=folders.folders_or_none,
    without=gone_argument,
    resume=switch_or("auto"),
    force=switch,
)
def distil(
    runs: Run | str | Path | Sequence[Run | str | Path],
    shards: Folders,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    validation: Folders | None = None,
    without: Files | None = None,
    resume: Resume = False,
    force: bool = False,
) -> Run:
    """Train one run on the averaged probabilities of `runs`, with their members, and return it, opened.

    `shards`, of the runs' table, give the ids at which they are asked: the records they were trained on, others, or
    what the runs wrote themselves (`ult.generate`). A `recipe` is of the task and the context of the runs; without one
    these are taken from them. The other arguments are those of `ult.train`.

    Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `WrongTable`, `OutputExists`, `OutputError` or
    `TrainingError`.

    For example, after `ult.train(shards, "run", ult.Recipe(members=4))`:

        small = ult.distil("run", shards, "small", validation=held_out)
    """
    several = [runs] if isinstance(runs, Run | str | Path) else runs
    paths = [folders.run_path(run) for run in several]
    learn(
        paths,
        folders.paths(shards),
        out,
        Recipe(**known_options(paths)) if recipe is None else recipe,
        validation=None if validation is None else folders.paths(validation),
        without=without,
        resume=resume,
        force=force,
    )
    return Run.open(out)


def known_options(runs: Sequence[str | Path]) -> dict[str, Any]:
    """Return the options of a training that follow from the first of the runs to distil."""
    if not runs:
        return {}
    run = Run.open(runs[0])
    found: dict[str, Any] = {"task": run.task, "context": run.context}
    if run.task in LABELS:
        found["label"] = run.metrics.get("label")
    return found | {
        name: True
        for name, holds in (("modality_token", run.modality_token), ("document_mask", run.alone))
        if holds and run.task == "lm"
    }


def learn(
    runs: Sequence[str | Path],
    shards: Sequence[str | Path],
    out: str | Path,
    recipe: Recipe,
    *,
    validation: Sequence[str | Path] | None,
    without: Files | None = None,
    resume: Resume,
    force: bool,
) -> dict[str, Any]:
    """Train `out` on what `runs` find likely; return what its metrics say. Raises as `distil`."""
    beside: dict[str, Any] = {"validation": validation, "without": without}
    return train(shards, out, recipe, **beside, teachers=runs, resume=resume, force=force)

"""`ult.train`: a run trained on shards by a recipe, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Never

from ult.host.arguments import checked, kind, place, switch, switch_or
from ult.host.remote import located, scheme_of
from ult.public import folders
from ult.public.folders import Folders
from ult.public.gone import Gone, gone_argument
from ult.public.run import Run
from ult.trainer.away import fetched
from ult.trainer.recipe import Recipe
from ult.trainer.train import train as write
from ult.trainer.workdir import Resume


@checked(
    shards=folders.folders_argument,
    out=place,
    recipe=kind(Recipe, "ult.Recipe, such as ult.Recipe(steps=200), or ult.Recipe.read(FILE)"),
    targets=folders.folders_argument,
    validation=folders.folders_argument,
    validation_targets=folders.folders_argument,
    without=gone_argument,
    resume=switch_or("auto"),
    force=switch,
)
def train(
    shards: Folders,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    targets: Folders | None = None,
    validation: Folders | None = None,
    validation_targets: Folders | None = None,
    without: Gone | str | Path | Sequence[Gone | str | Path] | None = None,
    resume: Resume = False,
    force: bool = False,
    **options: Never,
) -> Run:
    """Train a model on one or more shards folders by a recipe, write the run folder `out`, and return it, opened.

    It needs no table, and learns nothing of one. The arguments are those of `ult train`, whose options are the fields
    of `ult.Recipe`; without a recipe all are at their defaults. `targets` are shards whose records go row by row with
    those of `shards`, for task "seq2seq", and `validation_targets` go with `validation` in the same way. With
    `validation` shards the run is the best of the evaluations on them. `without` names records to leave out, in files
    of `ult forget find`: the weights are those that shards without them would give. `resume` goes on with an
    interrupted training; `resume="auto"` also begins one, and does nothing if the run is finished, so the same call can
    be made again and again until it returns.

    Shards may lie at addresses such as `s3://bucket/notes.shards`, and are streamed. The run too may go to an address:
    the training works in a folder of your cache, and uploads its checkpoints and, once it is whole, the run.

    Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `WrongTable`, `OutputExists`, `OutputError` or
    `TrainingError`.

    For example, after `ult.encode`:

        run = ult.train("notes.shards", "run", ult.Recipe(steps=20, context=32))
        run.metrics["loss"][-1]
    """
    write(
        folders.paths(shards),
        out,
        recipe,
        targets=_paths(targets),
        validation=_paths(validation),
        validation_targets=_paths(validation_targets),
        without=without,
        resume=resume,
        force=force,
        **options,
    )
    return Run.open(fetched(str(out)) if scheme_of(out) else str(located(out)))


def _paths(given: Folders | None) -> list[str | Path] | None:
    return None if given is None else folders.paths(given)

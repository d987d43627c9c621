"""What predicts for a run: its model, or the models of several runs as one, whose probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ult.errors import FormatError, InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.trainer.models.embeddings import Model
from ult.trainer.models.load import load_trained

with require("torch", extra="train"):
    import torch


def load_predictor(run: Run) -> Model:
    """Return what predicts for a run, ready to evaluate: its model, or all members of a run that has some.

    Raises as `load_trained`, and `FormatError` for members that do not go together.
    """
    return together([run]) if run.members else load_trained(run)


def together(runs: Sequence[Run]) -> Model:
    """Return the model that averages several runs, and the members of those that have some.

    Raises `InvalidConfig` unless they are of one task, vocabulary and way to read records; and as `load_trained`.
    """
    each = [one for run in runs for one in (run.each() if run.members else [run])]
    check_alike(each)
    weights = [weight for run in runs for weight in run.weights]
    if len(each) == 1:
        return load_trained(each[0])
    from ult.trainer.models.ensemble import Ensemble  # here, as classes of models take long to import

    models = [load_trained(one) for one in each]
    if each[0].task == "regress":
        return Ensemble(models, scales=[one.scale for one in each])
    if each[0].task != "classify":
        return Ensemble(models, weights=weights)
    classes = classes_of(each)
    places = [torch.tensor([classes.index(one) for one in run.classes], device=models[0].device) for run in each]
    return Ensemble(models, places=places, width=len(classes), weights=weights)


def check_alike(each: Sequence[Run]) -> None:
    """Raise `InvalidConfig` unless runs are of one task, vocabulary and way to read records."""
    for one in each[1:]:
        if ways := [name for name, way in _way(one).items() if way != _way(each[0])[name]]:
            raise InvalidConfig(f"{one.path} has another {', '.join(ways)} than {each[0].path}; expected runs of one")


def in_classes(run: Run, classes: Sequence[Any]) -> Model:
    """Return the model of a run, whose probabilities are of `classes`, in their order, among which are all of its own.

    Raises as `load_predictor`.
    """
    if run.task != "classify" or (not run.members and run.classes == list(classes)):
        return load_predictor(run)
    from ult.trainer.models.ensemble import Ensemble

    each = run.each() if run.members else [run]
    models = [load_trained(one) for one in each]
    places = [torch.tensor([classes.index(k) for k in one.classes], device=models[0].device) for one in each]
    return Ensemble(models, places=places, width=len(classes), weights=run.weights)


def classes_of(runs: Sequence[Run]) -> list[Any]:
    """Return all labels that runs tell apart, sorted as those of one run are."""
    found = {label for run in runs for label in run.classes}
    if len({isinstance(label, str) for label in found}) > 1:
        raise FormatError(f"{runs[0].path} and others mix labels that are texts with numbers")
    return sorted(found)


def _way(run: Run) -> dict[str, Any]:
    """Return what has to be the same for probabilities to be of the same things."""
    label = run.metrics.get("label")
    return {
        "task": run.task,
        "vocabulary": run.vocabulary.size,
        "label": label,
        "modality token": run.modality_token,
        "context": run.context,
        "document mask": run.alone,
    }

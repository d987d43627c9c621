"""Classify records of ids with a run, say how good that is, and how good a bag of the same ids would be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.extras import require
from ult.public.run import BAG_TYPE, Run
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, mapped_stream, open_shards, pack, summary
from ult.trainer.loss import batches
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import check_finite
from ult.trainer.tasks.beside import check_no_bag, fitted_bag
from ult.trainer.tasks.classified import Classified
from ult.trainer.tasks.interval import RESAMPLES, wilson

with require("torch", extra="train"):
    import torch

BAG_IDS = 2**23  # of a training, up to which a bag is fitted beside it: seconds, and a few hundred MB
Chances = NDArray[np.float32]  # (records, classes)


def class_figures(
    run: Run, model: Model, shards: Sequence[Shards], *, bag: Sequence[Path | str] | None, batch_size: int, seed: int
) -> dict[str, Any]:
    """Return what a run achieves on the labels that shards keep, as JSON values, and a bag fitted on the shards `bag`.

    Raises `InvalidConfig`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.
    """
    label = label_name(shards, run.metrics.get("label"))
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        data = labelled(run, shards, Path(folder) / "data", label)
        data = replace(data, masked=looks_ahead(model))
        found = figures_of(data.labels, chances_of(model, data, batch_size), seed)
        told: dict[str, Any] = {
            "label": label,
            "labels": [str(one) for one in run.classes],
            "truncated": data.truncated,
        }
        told |= found | {"is_bag": model.config.model_type == BAG_TYPE}
        if bag is None:
            return told
        check_no_bag(run, model)
        known = open_shards(bag, run.vocabulary)
        fitted = fitted_bag(run.vocabulary, run.classes, labelled(run, known, Path(folder) / "bag", label), seed)
        beside = figures_of(data.labels, chances_of(fitted, data, batch_size), seed)
        return told | {"bag": beside | {"shards": summary(known)}}


def beside_bag(model: Model, data: Labelled, validation: Labelled, batch_size: int, seed: int) -> dict[str, float]:
    """Return the shares of validation labels that a model, a bag fitted on the same `data`, and guessing have right."""
    model.eval()
    bag = fitted_bag(Vocabulary(model.config.vocab_size), data.classes, data, seed)
    found, line = (Classified.of(validation.labels, chances_of(one, validation, batch_size)) for one in (model, bag))
    return {"accuracy": found.accuracy, "bag_accuracy": line.accuracy, "majority": found.majority}


def labelled(run: Run, shards: Sequence[Shards], folder: Path, label: str) -> Labelled:
    """Return records as a run for "classify" reads them, with their classes, mapped from `folder`."""
    classes = pack(shards, folder, label=label, classes=run.classes, modality_token=run.modality_token)
    return Labelled.open(folder, context=run.context, label=label, classes=classes)


def unlabelled(run: Run, model: Model, shards: Sequence[Shards], folder: Path) -> Labelled:
    """Return records as a run for "classify" reads them, mapped from `folder`, each with the first class."""
    pack(shards, folder, modality_token=run.modality_token)
    stream, ends = mapped_stream(folder)
    nothing = np.zeros(len(ends), np.int64)
    return Labelled(stream, ends, nothing, "", run.classes, run.context, masked=looks_ahead(model))


def chances_of(
    model: Model, data: Labelled, batch_size: int, advance: Callable[[int], None] = lambda records: None
) -> Chances:
    """Return the probability of each class (records, classes); `advance(n)` is called after n more records."""
    found = [np.empty((0, len(data.classes)), np.float32)]
    for numbers, logits, _ in batches(model, data, batch_size):
        found.append(torch.softmax(check_finite(logits), -1).cpu().numpy())
        advance(len(numbers))
    return np.concatenate(found)


def figures_of(truth: NDArray[np.int64], chances: Chances, seed: int) -> dict[str, Any]:
    """Return what probabilities achieve, as JSON values, with 95 % intervals; `seed` is that of resampling."""
    found = Classified.of(truth, chances)
    counts = np.stack([found.confusion.sum(1) - np.diag(found.confusion), np.diag(found.confusion)])
    # To resample records is to draw the counts of the (hit, class) cells from a multinomial.
    draws = np.random.default_rng(seed).multinomial(len(truth), counts.ravel() / len(truth), RESAMPLES)
    balanced = balanced_of(draws.reshape(RESAMPLES, *counts.shape))
    return {
        "rows": len(truth),
        "classes": len(found.confusion),
        "accuracy": found.accuracy,
        "accuracy_interval": wilson(found.accuracy, len(truth)),
        "majority": found.majority,
        "balanced_accuracy": float(balanced_of(counts[None])[0]),
        "balanced_accuracy_interval": np.quantile(balanced, [0.025, 0.975]).tolist(),
        "chance": 1 / int((found.confusion.sum(1) > 0).sum()),
        "auroc": found.auroc,
        "auprc": found.auprc,
        "log_loss": found.log_loss,
        "calibration_error": found.calibration_error,
        "confusion": found.confusion.tolist(),
        "seed": seed,
    }


def balanced_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean recall over the classes that occur (m,), of `counts` (m, 2, classes) of misses and hits."""
    present = counts.sum(1) > 0
    recall = counts[:, 1] / np.maximum(counts.sum(1), 1)
    return np.asarray(recall.sum(1) / present.sum(1))

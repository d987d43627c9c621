"""Predict a number of each record of shards with a run, and say how good that is beside the mean."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.host.shown import Facts
from ult.public.run import BAG_TYPE, Run
from ult.public.shards import Shards
from ult.public.task import VALUE
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, mapped_stream, open_shards, pack, summary
from ult.trainer.loss import batches
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import check_finite
from ult.trainer.tasks.beside import check_no_bag, fitted_bag
from ult.trainer.tasks.interval import half_width


@dataclass(frozen=True, slots=True)
class Numbers:
    """How well numbers are predicted: the mean distance and the root of the mean square, lower is better.

    Both stand beside those of `mean`, that of the numbers in training, told for every record. `r2` is the share of the
    variance that is explained, 0 for the mean of these records; higher is better.
    """

    error: float
    error_half_width: float | None  # of the 95 % interval
    base_error: float
    rmse: float
    base_rmse: float
    r2: float | None
    mean: float
    is_bag: bool = False

    @classmethod
    def of(cls, true: NDArray[np.float64], found: NDArray[np.float64], mean: float) -> Numbers:
        """Return the figures of true and predicted numbers (n,), at least one."""
        off, apart = np.abs(found - true), np.abs(true - mean)
        spread = float(((true - true.mean()) ** 2).sum())
        return cls(
            float(off.mean()),
            half_width(off, np.ones(len(off), np.int64)),
            float(apart.mean()),
            math.sqrt(float((off**2).mean())),
            math.sqrt(float((apart**2).mean())),
            1 - float((off**2).sum()) / spread if spread else None,
            mean,
        )

    @classmethod
    def read(cls, told: dict[str, Any]) -> Numbers:
        """Return what `document` wrote."""
        low, high = told["mae_interval"] or (None, None)
        half = None if low is None or high is None else (high - low) / 2
        plain = (told["mae_of_mean"], told["rmse"], told["rmse_of_mean"], told["r2"], told["mean"])
        return cls(told["mae"], half, *plain, bool(told.get("is_bag")))

    def document(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        half = self.error_half_width
        return {
            "mae": self.error,
            "mae_interval": None if half is None else [self.error - half, self.error + half],
            "mae_of_mean": self.base_error,
            "rmse": self.rmse,
            "rmse_of_mean": self.base_rmse,
            "r2": self.r2,
            "mean": self.mean,
        }

    def facts(self, bag: Numbers | None = None) -> Facts:
        """Return the figures as names and values, those of a bag beside them if there is one."""
        half = self.error_half_width
        between = "" if half is None else f"  (95 %: {self.error - half:.4g} to {self.error + half:.4g})"
        return [
            ("mean error", f"{self.error:.4g}{between}"),
            *([] if bag is None else [("mean error of a bag of the ids", f"{bag.error:.4g}")]),
            ("mean error of the mean", f"{self.base_error:.4g}"),
            ("root mean square error", f"{self.rmse:.4g}"),
            ("root mean square error of the mean", f"{self.base_rmse:.4g}"),
            ("R2", "unknown: all numbers are equal" if self.r2 is None else f"{self.r2:.4f}"),
            *([] if bag is None or bag.r2 is None else [("R2 of the bag", f"{bag.r2:.4f}")]),
        ]


def number_figures(
    run: Run, model: Model, shards: Sequence[Shards], *, bag: Sequence[Path | str] | None, batch_size: int, seed: int
) -> dict[str, Any]:
    """Return what a run achieves on the numbers that shards keep, as JSON values, and a bag fitted on the shards `bag`.

    Raises `InvalidConfig`, `WrongVocabulary` or `MissingColumn`.
    """
    label = label_name(shards, run.metrics.get("label"))
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        data = replace(_numbered(run, shards, Path(folder) / "data", label), masked=looks_ahead(model))
        mean, deviation = run.scale
        true = data.labels.astype(np.float64) * deviation + mean
        found = numbers_of(model, data, batch_size, run.scale)
        told: dict[str, Any] = {"label": label, "truncated": data.truncated, "rows": len(data)}
        told |= Numbers.of(true, found, mean).document() | {"is_bag": model.config.model_type == BAG_TYPE}
        if bag is None:
            return told
        check_no_bag(run, model)
        known = open_shards(bag, run.vocabulary)
        fitted = fitted_bag(run.vocabulary, VALUE, _numbered(run, known, Path(folder) / "bag", label), seed)
        beside = Numbers.of(true, numbers_of(fitted, data, batch_size, run.scale), mean).document()
        return told | {"bag": beside | {"shards": summary(known)}}


def beside_bag(model: Model, data: Labelled, validation: Labelled, batch_size: int, seed: int) -> dict[str, float]:
    """Return the mean error on validation numbers of a model, of a bag fitted on the same `data`, and of the mean."""
    model.eval()
    mean, deviation = scale = data.scale or (0.0, 1.0)
    bag = fitted_bag(Vocabulary(model.config.vocab_size), VALUE, data, seed)
    true = validation.labels.astype(np.float64) * deviation + mean
    own, line = (Numbers.of(true, numbers_of(one, validation, batch_size, scale), mean) for one in (model, bag))
    return {"mean_error": own.error, "bag_mean_error": line.error, "mean_error_of_mean": own.base_error}


def _numbered(run: Run, shards: Sequence[Shards], folder: Path, label: str) -> Labelled:
    """Return records as a run for "regress" reads them, with their numbers, mapped from `folder`."""
    pack(shards, folder, label=label, classes=list(run.scale), numbers=True, modality_token=run.modality_token)
    return Labelled.of_numbers(folder, context=run.context, label=label, scale=run.scale)


def without_numbers(run: Run, model: Model, shards: Sequence[Shards], folder: Path) -> Labelled:
    """Return records as a run for "regress" reads them, mapped from `folder`, each with the mean."""
    pack(shards, folder, modality_token=run.modality_token)
    stream, ends = mapped_stream(folder)
    nothing = np.zeros(len(ends), np.float32)
    return Labelled(stream, ends, nothing, "", [], run.context, run.scale, masked=looks_ahead(model))


def numbers_of(
    model: Model,
    data: Labelled,
    batch_size: int,
    scale: tuple[float, float],
    advance: Callable[[int], None] = lambda records: None,
) -> NDArray[np.float64]:
    """Return the number of each record (records,); `advance(n)` is called after n more records."""
    found = [np.empty(0)]
    for numbers, outputs, _ in batches(model, data, batch_size):
        found.append(check_finite(outputs)[:, 0].double().cpu().numpy() * scale[1] + scale[0])
        advance(len(numbers))
    return np.concatenate(found)

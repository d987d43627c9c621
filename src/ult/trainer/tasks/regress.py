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
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, mapped_stream, pack
from ult.trainer.loss import batches
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import check_finite
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
        return cls(told["mae"], half, told["mae_of_mean"], told["rmse"], told["rmse_of_mean"], told["r2"], told["mean"])

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

    def facts(self) -> Facts:
        """Return the figures as names and values."""
        half = self.error_half_width
        between = "" if half is None else f"  (95 %: {self.error - half:.4g} to {self.error + half:.4g})"
        return [
            ("mean error", f"{self.error:.4g}{between}"),
            ("mean error of the mean", f"{self.base_error:.4g}"),
            ("root mean square error", f"{self.rmse:.4g}"),
            ("root mean square error of the mean", f"{self.base_rmse:.4g}"),
            ("R2", "unknown: all numbers are equal" if self.r2 is None else f"{self.r2:.4f}"),
        ]


def number_figures(run: Run, model: Model, shards: Sequence[Shards], *, batch_size: int) -> dict[str, Any]:
    """Return what a run achieves on the numbers that shards keep, as JSON values."""
    label = label_name(shards, run.metrics.get("label"))
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        pack(
            shards, Path(folder), label=label, classes=list(run.scale), numbers=True, modality_token=run.modality_token
        )
        data = Labelled.of_numbers(Path(folder), context=run.context, label=label, scale=run.scale)
        data = replace(data, masked=looks_ahead(model))
        mean, deviation = run.scale
        true = data.labels.astype(np.float64) * deviation + mean
        found = numbers_of(model, data, batch_size, run.scale)
        told = {"label": label, "truncated": data.truncated, "rows": len(data)}
        return told | Numbers.of(true, found, mean).document()


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

"""The figures of a classifier, with those of a bag of the same ids and of guessing beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ult.host.shown import Facts
from ult.trainer.tasks.classified import recall_facts


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % interval, from `low` to `high`, both None where a single record tells of none."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any], name: str) -> Measured | None:
        """Return the figure of that name among results, with the interval beside it; None if nothing is told of it."""
        value, interval = found.get(name), found.get(f"{name}_interval")
        return None if value is None else cls(value, *(interval or ()))

    def __str__(self) -> str:
        return f"{self:.4f}"

    def __format__(self, digits: str) -> str:
        between = "" if self.low is None else f"  (95 %: {self.low:{digits}} to {self.high:{digits}})"
        return f"{self.value:{digits}}{between}"


@dataclass(frozen=True, slots=True)
class Labels:
    """How well labels are predicted.

    `accuracy`, beside which `majority` stands, the share of the most frequent label, `balanced_accuracy`, the mean
    recall, beside which `chance` stands, `auroc` and `auprc`, of the second of two labels or, of more, the mean of each
    against all others: higher is better. `log_loss`, in nats a record, and `calibration_error`, the mean distance of
    the highest probability from the share that is right: lower is better. `confusion` counts the records of each true
    label, a row, by the predicted one, in the order of `names`.
    """

    names: tuple[str, ...]
    accuracy: Measured
    majority: float
    balanced_accuracy: Measured
    chance: float
    auroc: float | None
    auprc: float | None
    log_loss: float
    calibration_error: float
    confusion: tuple[tuple[int, ...], ...]
    is_bag: bool

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Labels:
        """Return the figures among those that `ult.trainer.evaluate.evaluate` gave as JSON values."""
        return cls(
            names=tuple(found.get("labels", ())),
            accuracy=Measured(found["accuracy"], *found["accuracy_interval"]),
            majority=found["majority"],
            balanced_accuracy=Measured(found["balanced_accuracy"], *found["balanced_accuracy_interval"]),
            chance=found["chance"],
            auroc=found["auroc"],
            auprc=found["auprc"],
            log_loss=found["log_loss"],
            calibration_error=found["calibration_error"],
            confusion=tuple(map(tuple, found["confusion"])),
            is_bag=bool(found.get("is_bag")),
        )

    def facts(self, bag: Labels | None) -> Facts:
        """Return the figures, each beside that of a bag if there is one."""
        of = f"of {self.names[1]}" if len(self.names) == 2 else "of each against the rest"
        areas = [(f"AUROC {of}", f"{self.auroc:.4f}"), (f"AUPRC {of}", f"{self.auprc:.4f}")]
        return [
            ("accuracy", f"{self.accuracy:.1%}"),
            *([] if bag is None else [("accuracy of a bag of the ids", f"{bag.accuracy:.1%}")]),
            ("share of the most frequent label", f"{self.majority:.1%}"),
            ("balanced accuracy", f"{self.balanced_accuracy:.1%}"),
            *([] if bag is None else [("balanced accuracy of the bag", f"{bag.balanced_accuracy:.1%}")]),
            ("chance", f"{self.chance:.1%}"),
            *(areas if self.auroc is not None else []),
            *([("AUROC of the bag", f"{bag.auroc:.4f}")] if bag is not None and bag.auroc is not None else []),
            ("log loss", f"{self.log_loss:.4f} nats"),
            ("calibration error", f"{self.calibration_error:.4f}"),
        ]

    def recalls(self) -> Facts:
        """Return a line for each label: how many of its records are found, and which labels others are taken for."""
        return recall_facts(self.names, np.array(self.confusion, np.int64))

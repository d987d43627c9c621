"""An earlier run that a new one is to be compatible with: what it has right, the new one should not get wrong.

Beside its own loss the new run learns the earlier one's probabilities, but only where the earlier one is right: at the
records whose label, or the ids, that it finds likeliest. What it has wrong is learned from the labels alone (after
MUSCLE, arXiv:2407.09435, which does so with adapters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.collator import IGNORED
from ult.trainer.loss import predict
from ult.trainer.models.embeddings import Model
from ult.trainer.models.together import classes_of, in_classes
from ult.trainer.recipe import Recipe
from ult.trainer.teacher import check_reads, with_seen

with require("torch", extra="train"):
    import torch


@dataclass(frozen=True, slots=True)
class Compatible:
    """A run to be compatible with, opened and checked, not yet loaded, and how much it weighs."""

    run: Run
    weight: float

    @classmethod
    def open(cls, recipe: Recipe, shards: Sequence[Shards]) -> Compatible | None:
        """Return what a training on `shards` by this recipe is to be compatible with; None if it is nothing.

        Raises `InvalidConfig`, `WrongVocabulary` or `WrongTable` unless the run reads records as the new one will.
        """
        if recipe.compatible_with is None:
            return None
        run = Run.open(recipe.compatible_with)
        check_reads(run, recipe, shards)
        return cls(run, recipe.compatible_weight)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What `metrics.json` says of the run: its name and its digest."""
        return [{"run": self.run.path.name, "digest": self.run.digest(), "members": self.run.members or 1}]

    def cost(self, classes: Sequence[Any]) -> Cost:
        """Return what is added to the loss of a run that tells `classes` apart. Raises `InvalidConfig`."""
        known = classes_of(self.run.each() if self.run.members else [self.run])
        if strange := [label for label in known if label not in classes]:
            raise InvalidConfig(
                f"{self.run.path} tells {len(known)} labels apart, of which the shards lack {len(strange)}",
                hint="shards that have them too, such as --replay old.shards:0.1",
            )
        return Cost(in_classes(self.run, classes).requires_grad_(False), self.weight)

    def told(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return what the metrics of the new run say of it, whose records count as seen by the new run too."""
        return {"compatible": self.runs, "trained_before": with_seen(metrics, [self.run])}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a new run pays for other probabilities than those of an earlier one, where that one is right."""

    old: Model
    weight: float

    def __call__(self, inputs: dict[str, Any], logits: torch.Tensor) -> torch.Tensor:
        """Return the cost of a batch in nats, summed over its predictions, by the logits of the new run.

        It is least where both say the same, and is then the earlier run's own doubt.
        """
        labels = inputs["labels"].flatten()
        with torch.no_grad():
            told = predict(self.old, inputs).flatten(0, -2)
            right = (told.argmax(-1) == labels) & (labels != IGNORED)
            true = told[right].softmax(-1)
        cost = torch.nn.functional.cross_entropy(logits.flatten(0, -2)[right], true, reduction="sum")
        return self.weight * cost

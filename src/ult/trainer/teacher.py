"""The teacher of a distillation: one or more runs, whose averaged probabilities a new run learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, WrongVocabulary
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.models.embeddings import Model
from ult.trainer.models.together import classes_of, together
from ult.trainer.recipe import AT_ONCE, OPTIONS, Recipe

TASKS = ("lm", "classify")
# What would change the labels or their weight, of which a teacher's probabilities take the place; or promise something
# to records that the teacher saw without a promise.
WITHOUT = ("epsilon", "members", "rows_per_table", "label_smoothing", "class_weights", "goldfish", "restrain_ngrams",
           "compatible_with")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Teacher:
    """Runs that teach together, opened and checked, not yet loaded."""

    opened: Sequence[Run]

    @classmethod
    def open(
        cls, runs: str | Path | Sequence[str | Path] | None, recipe: Recipe, shards: Sequence[Shards]
    ) -> Teacher | None:
        """Return what teaches a training on `shards` by this recipe; None without runs.

        Raises `InvalidConfig`, `WrongVocabulary` or `WrongTable` unless they read records as the new run will.
        """
        if runs is None:
            return None
        opened = [Run.open(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
        if not opened:
            raise InvalidConfig("no run to distil was named; expected at least one")
        for name in WITHOUT:
            if OPTIONS[name].is_set(recipe):
                raise InvalidConfig(
                    f"{name} was given for a distillation, which learns a teacher's probabilities",
                    hint=f"leave out {OPTIONS[name].flag}",
                )
        if recipe.model in AT_ONCE:
            raise InvalidConfig(
                f"model {recipe.model} was given for a distillation; expected a model that is trained step by step"
            )
        for run in opened:
            check_reads(run, recipe, shards)
        return cls(opened)

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What `metrics.json` says of the runs: names and digests."""
        return [{"run": run.path.name, "digest": run.digest(), "members": run.members or 1} for run in self.opened]

    def model(self, classes: Sequence[Any]) -> Model:
        """Return the model of all, ready to evaluate, for a run that tells these classes apart."""
        known = classes_of([one for run in self.opened for one in (run.each() if run.members else [run])])
        if known != list(classes):
            raise InvalidConfig(
                f"the shards have {len(classes)} labels, the runs to distil tell {len(known)} apart; expected the same",
                hint="the shards that the runs were trained on",
            )
        return together(self.opened).requires_grad_(False)

    def told(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Return what the metrics of the new run say of its teacher, whose records count as seen by it too."""
        return {"distilled": self.runs, "trained_before": with_seen(metrics, self.opened)}


def with_seen(metrics: Mapping[str, Any], runs: Sequence[Run]) -> list[str] | None:
    """Return the digests of what was trained on before, by these metrics or by `runs`; None if not all are known."""
    seen = [metrics["trained_before"], *(run.trained_on for run in runs)]
    return None if None in seen else sorted({digest for one in seen for digest in one or []})


def check_reads(run: Run, recipe: Recipe, shards: Sequence[Shards]) -> None:
    """Raise `InvalidConfig`, `WrongVocabulary` or `WrongTable` unless a run reads the shards as a new one will."""
    if run.task not in TASKS:
        raise InvalidConfig(f"{run.path} was trained for {run.task}; expected a run for {' or '.join(TASKS)}")
    theirs = {"task": run.task, "modality_token": run.modality_token, "document_mask": run.alone}
    for name, value in theirs.items():
        if getattr(recipe, name) != value:
            raise InvalidConfig(f"{name} is {getattr(recipe, name)!r}; {run.path} was trained with {value!r}")
    if recipe.context > run.context:
        raise InvalidConfig(
            f"context is {recipe.context}; {run.path} was trained with {run.context}", hint=f"--context {run.context}"
        )
    for one in shards:
        if one.vocabulary != run.vocabulary:
            raise WrongVocabulary(
                f"{one.path} has a vocabulary of {one.vocabulary.size}; that of {run.path} is {run.vocabulary.size}"
            )
        run.check_shards(one)

"""`ult.evaluate`: what a run achieves on shards, as a result with its figures and intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.host.arguments import checked, integer
from ult.host.shown import Facts, Shown
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run
from ult.trainer.evaluate import evaluate as measure
from ult.trainer.models.generation import ignored

_UNKNOWN = "unknown: the shards hold no original data, or targets are cut to the context"
UNCHECKED = "the run does not name its table, to keep its promise: nothing shows whether that was"


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % interval, from `low` to `high`, both None where a single record tells of none."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self:.4f}"

    def __format__(self, digits: str) -> str:
        between = "" if self.low is None else f"  (95 %: {self.low:{digits}} to {self.high:{digits}})"
        return f"{self.value:{digits}}{between}"


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Shown):
    """How well a run predicts shards; what its task does not measure, or nobody can tell, is None.

    `bits_per_byte`, bits a byte of the original data, and `bits_per_id`: lower is better. `accuracy` and
    `balanced_accuracy` of labels, shares beside which `chance` stands, and `exact_match` by number of hypotheses, the
    share of sources whose target is among the first so many: higher is better. `truncated` records did not fit into the
    context. `table_seen` is whether the run was trained on shards of these tables; None if it does not name its own.
    """

    run: str  # its folder's name
    task: str
    records: int
    predictions: int | None  # ids predicted, each once
    bytes: int | None  # of the original data
    bits_per_byte: Measured | None
    bits_per_id: Measured | None
    accuracy: Measured | None
    balanced_accuracy: Measured | None
    chance: float | None
    exact_match: Mapping[int, Measured]
    truncated: int | None
    table_seen: bool | None
    ignored: tuple[str, ...]  # what the run's folder asked of how to write, and was not asked
    text: str  # all of it, as JSON

    @classmethod
    def of(cls, found: Mapping[str, Any], ignored: Sequence[str] = ()) -> Evaluation:
        """Return the evaluation that `ult.trainer.evaluate.evaluate` gave as JSON values."""
        tops = [name for name in found if name.startswith("exact_match") and not name.endswith("_interval")]

        def measured(name: str) -> Measured | None:
            value, interval = found.get(name), found.get(f"{name}_interval")
            return None if value is None else Measured(value, *(interval or ()))

        return cls(
            run=found["run"],
            task=found["task"],
            records=found["rows"],
            predictions=found.get("predictions"),
            bytes=found.get("bytes"),
            bits_per_byte=measured("bits_per_byte"),
            bits_per_id=measured("bits_per_id"),
            accuracy=measured("accuracy"),
            balanced_accuracy=measured("balanced_accuracy"),
            chance=found.get("chance"),
            exact_match={
                int(name.rpartition("_")[2]) if name != "exact_match" else 1: Measured(
                    found[name], *found[f"{name}_interval"]
                )
                for name in tops
            },
            truncated=found.get("truncated"),
            table_seen=found["table_seen"],
            ignored=tuple(ignored),
            text=json.dumps(found, indent=2),
        )

    def to_json(self) -> str:
        """Return all figures as `ult evaluate --json` prints them."""
        return self.text

    def facts(self) -> Facts:
        """Return the figures of the run's task."""
        if self.task == "classify":
            return [
                ("accuracy", f"{self.accuracy:.1%}"),
                ("balanced accuracy", f"{self.balanced_accuracy:.1%}"),
                ("chance", f"{self.chance:.1%}"),
                ("records", f"{self.records:,}"),
                ("truncated", f"{self.truncated:,}"),
            ]
        matches = [
            ("exact match" + (f" top {top}" if top > 1 else ""), f"{share:.1%}")
            for top, share in self.exact_match.items()
        ]
        return [
            *matches,
            ("bits per byte", _UNKNOWN if self.bits_per_byte is None else f"{self.bits_per_byte:.4f}"),
            ("bits per id", _UNKNOWN if self.bits_per_id is None else f"{self.bits_per_id:.4f}"),
            ("records", f"{self.records:,}"),
            ("ids predicted", f"{self.predictions:,}"),
            ("bytes of data", f"{self.bytes:,}"),
            *([("truncated", f"{self.truncated:,}")] if matches else []),
        ]

    def __repr__(self) -> str:
        (name, value), *_ = self.facts()
        return f"<Evaluation of {self.run}: {name} {value}, {self.records:,} records>"

    def remarks(self) -> list[str]:
        """Return what the reader of the figures should know besides."""
        if self.table_seen is None:
            return [f"{UNCHECKED} these shards'"]
        if not self.table_seen:
            return ["the run was trained on another table than these shards': its embedding rows do not fit them"]
        return []


@checked(
    run=folders.run_argument,
    shards=folders.folders_argument,
    targets=folders.folders_argument,
    beams=integer(),
    batch_size=integer(1),
)
def evaluate(
    run: Run | str | Path,
    shards: Folders,
    *,
    targets: Folders | None = None,
    beams: int = 1,
    batch_size: int = 16,
) -> Evaluation:
    """Say how well a run predicts one or more shards folders: bits, accuracy or exact matches, with intervals.

    What is measured follows from the run's task: for "lm" the bits of every id of every record, for "classify" the
    accuracy on the labels that the shards keep, for "seq2seq" the bits of `targets`, shards whose records go with those
    of `shards`, and how many are found by a search with `beams`. Raises `WrongVocabulary`, `MissingColumn`,
    `InvalidConfig` or `TrainingError`.

    For example, after `ult.train`:

        evaluation = ult.evaluate(run, "held-out.shards")
        evaluation.bits_per_byte.value
    """
    path = folders.run_path(run)
    answers = None if targets is None else folders.paths(targets)
    found = measure(path, folders.paths(shards), targets=answers, beams=beams, batch_size=batch_size)
    return Evaluation.of(found, ignored(path))

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
from ult.trainer.tasks.labels import Labels, Measured
from ult.trainer.tasks.regress import Numbers

_UNKNOWN = "unknown: the shards hold no original data, or targets are cut to the context"
_LINE = "beside it should stand a bag of the same ids, fitted in a second: --bag SHARDS, those the run was trained on"
UNCHECKED = "the run does not name its table, to keep its promise: nothing shows whether that was"


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Shown):
    """How well a run predicts shards; what its task does not measure, or nobody can tell, is None.

    `bits_per_byte`, bits a byte of the original data, and `bits_per_id`: lower is better. `exact_match` by number of
    hypotheses, the share of sources whose target is among the first so many: higher is better. `labels` are the figures
    of a classifier and `numbers` those of a run for "regress"; `bag` are those of a bag fitted to be beside either.
    `truncated` records did not fit into the context. `table_seen` is whether the run was trained on shards of these
    tables; None if it does not name its own.
    """

    run: str  # its folder's name
    task: str
    records: int
    predictions: int | None  # ids predicted, each once
    bytes: int | None  # of the original data
    bits_per_byte: Measured | None
    bits_per_id: Measured | None
    labels: Labels | None
    bag: Labels | Numbers | None
    ngrams: Measured | None  # bits a byte, or an id where bytes are not known, of n-grams of the ids it was trained on
    numbers: Numbers | None
    exact_match: Mapping[int, Measured]
    truncated: int | None
    table_seen: bool | None
    ignored: tuple[str, ...]  # what the run's folder asked of how to write, and was not asked
    text: str  # all of it, as JSON

    @classmethod
    def of(cls, found: Mapping[str, Any], ignored: Sequence[str] = ()) -> Evaluation:
        """Return the evaluation that `ult.trainer.evaluate.evaluate` gave as JSON values."""
        tops = [name for name in found if name.startswith("exact_match") and not name.endswith("_interval")]

        return cls(
            run=found["run"],
            task=found["task"],
            records=found["rows"],
            predictions=found.get("predictions"),
            bytes=found.get("bytes"),
            bits_per_byte=Measured.of(found, "bits_per_byte"),
            bits_per_id=Measured.of(found, "bits_per_id"),
            labels=Labels.of(found) if found["task"] == "classify" else None,
            bag=_beside(found),
            ngrams=_ngrams(found),
            numbers=Numbers.read(dict(found)) if found["task"] == "regress" else None,
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
        if self.labels is not None:
            told = [("records", f"{self.records:,}"), ("truncated", f"{self.truncated:,}")]
            bag = self.bag if isinstance(self.bag, Labels) else None
            return [*self.labels.facts(bag), *told, *self.labels.recalls()]
        if self.numbers is not None:
            told = [("records", f"{self.records:,}"), ("truncated", f"{self.truncated:,}")]
            line = self.bag if isinstance(self.bag, Numbers) else None
            return [*self.numbers.facts(line), *told]
        matches = [
            ("exact match" + (f" top {top}" if top > 1 else ""), f"{share:.1%}")
            for top, share in self.exact_match.items()
        ]
        return [
            *matches,
            ("bits per byte", _UNKNOWN if self.bits_per_byte is None else f"{self.bits_per_byte:.4f}"),
            *([] if self.ngrams is None else [(f"bits per {self._of} of n-grams of the ids", f"{self.ngrams:.4f}")]),
            ("bits per id", _UNKNOWN if self.bits_per_id is None else f"{self.bits_per_id:.4f}"),
            ("records", f"{self.records:,}"),
            ("ids predicted", f"{self.predictions:,}"),
            ("bytes of data", f"{self.bytes:,}"),
            *([("truncated", f"{self.truncated:,}")] if matches else []),
        ]

    @property
    def _of(self) -> str:
        return "id" if self.bits_per_byte is None else "byte"

    @property
    def accuracy(self) -> Measured | None:
        """The share of labels that are right; None if the task is another."""
        return None if self.labels is None else self.labels.accuracy

    @property
    def balanced_accuracy(self) -> Measured | None:
        """The mean share of each label that is found; None if the task is another."""
        return None if self.labels is None else self.labels.balanced_accuracy

    @property
    def chance(self) -> float | None:
        """One in so many as there are labels; None if the task is another."""
        return None if self.labels is None else self.labels.chance

    def __repr__(self) -> str:
        (name, value), *_ = self.facts()
        return f"<Evaluation of {self.run}: {name} {value}, {self.records:,} records>"

    def remarks(self) -> list[str]:
        """Return what the reader of the figures should know besides."""
        found = []
        if self.table_seen is None:
            found.append(f"{UNCHECKED} these shards'")
        elif not self.table_seen:
            found.append("the run was trained on another table than these shards': its embedding rows do not fit them")
        predicted = self.labels or self.numbers
        if predicted is not None and self.bag is None and not predicted.is_bag:
            found.append(_LINE)
        return found


def _beside(found: Mapping[str, Any]) -> Labels | Numbers | None:
    """Return the figures of the bag that was fitted beside a run, if one was."""
    if "bag" not in found:
        return None
    return Numbers.read(found["bag"]) if found["task"] == "regress" else Labels.of(found["bag"])


def _ngrams(found: Mapping[str, Any]) -> Measured | None:
    """Return what n-grams that were counted beside a run cost, if there are any."""
    told = found.get("ngrams")
    if told is None:
        return None
    return Measured.of(told, "bits_per_byte") or Measured.of(told, "bits_per_id")


@checked(
    run=folders.run_argument,
    shards=folders.folders_argument,
    targets=folders.folders_argument,
    beams=integer(),
    bag=folders.folders_or_none,
    ngrams=folders.folders_or_none,
    batch_size=integer(1),
)
def evaluate(
    run: Run | str | Path,
    shards: Folders,
    *,
    targets: Folders | None = None,
    beams: int = 1,
    bag: Folders | None = None,
    ngrams: Folders | None = None,
    batch_size: int = 16,
) -> Evaluation:
    """Say how well a run predicts one or more shards folders: bits, accuracy or exact matches, with intervals.

    What is measured follows from the run's task: for "lm" the bits of every id of every record, for "classify" the
    accuracy on the labels that the shards keep, for "seq2seq" the bits of `targets`, shards whose records go with those
    of `shards`, and how many are found by a search with `beams`. `bag` are the shards that a run for labels was trained
    on: the model `bag` is fitted on them, and stands beside it. So do, beside a run for "lm",
    the n-grams of `ngrams`. Raises `WrongVocabulary`, `MissingColumn`,
    `InvalidConfig` or `TrainingError`.

    For example, after `ult.train`:

        evaluation = ult.evaluate(run, "held-out.shards")
        evaluation.bits_per_byte.value
    """
    path = folders.run_path(run)
    answers = None if targets is None else folders.paths(targets)
    beside = None if bag is None else folders.paths(bag)
    counted = None if ngrams is None else folders.paths(ngrams)
    of: dict[str, Any] = {"bag": beside, "ngrams": counted, "targets": answers}
    found = measure(path, folders.paths(shards), beams=beams, batch_size=batch_size, **of)
    return Evaluation.of(found, ignored(path))

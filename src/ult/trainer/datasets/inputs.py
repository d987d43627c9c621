"""The shards folders of a training: opened, checked against one another, and packed for all its processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from ult.public.gone import Gone
from ult.public.shards import Shards
from ult.public.task import LABELS
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets import replaying
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.keeping import keep
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import label_name, open_shards, pack, summary
from ult.trainer.datasets.pairs import TARGETS, Pairs, open_targets
from ult.trainer.datasets.per_table import PerTable, check_filled, part_of
from ult.trainer.datasets.sampler import Mixture, check_mixture, mixture
from ult.trainer.datasets.validation import check_tables, open_validation
from ult.trainer.datasets.windows import Windows
from ult.trainer.datasets.without import Stays, Without
from ult.trainer.part import Part
from ult.trainer.recipe import Recipe
from ult.trainer.replay import Replay

Paths: TypeAlias = str | Path | Sequence[str | Path]
Files: TypeAlias = Gone | str | Path | Sequence[Gone | str | Path]  # that name records to forget
Dataset: TypeAlias = Blocks | PerTable | Windows | Labelled | Pairs

_VALIDATION = "validation"  # the folder, inside the packed one, of what is evaluated while the model trains


@dataclass(frozen=True, slots=True)
class Inputs:
    """Shards folders by what they are for. `targets` are empty unless the task is "seq2seq"."""

    shards: list[Shards]
    targets: list[Shards]
    validation: list[Shards]
    validation_targets: list[Shards]
    label: str | None  # the kept column to predict; None unless the task has one
    without: Without | None = None  # records to leave out
    replay: Replay | None = None  # what the last of `shards` is, if a share of each batch is drawn from it

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        shards: Paths,
        targets: Paths | None,
        validation: Paths | None,
        validation_targets: Paths | None,
        without: Files | None = None,
    ) -> Inputs:
        """Open the folders, as a recipe needs them; `without` names records to leave out.

        Raises `InvalidConfig`, `MissingColumn`, `WrongVocabulary`, `WrongTable` or `TrainingError`.
        """
        opened = open_shards(shards)
        answers = open_targets(targets, opened, task=recipe.task)
        check_mixture(recipe.mixture, opened)
        replay = Replay.read(recipe.replay) if recipe.replay else None
        opened += [replaying.opened(replay, opened)] if replay else []
        held_out = open_validation(validation, opened, recipe)
        held_out_answers = open_targets(validation_targets, held_out, task=recipe.task, option="--validation-targets")
        check_tables(held_out_answers, answers)
        if recipe.rows_per_table:
            check_filled([*opened, *held_out])
        label = label_name([*opened, *held_out], recipe.label) if recipe.task in LABELS else None
        left_out = Without.open(without, [*opened, *answers, *held_out, *held_out_answers])
        return cls(opened, answers, held_out, held_out_answers, label, left_out, replay)

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that all of them share."""
        return self.shards[0].vocabulary

    @property
    def tables(self) -> set[str]:
        """The fingerprints of the tables whose ids the model is trained on."""
        return {one.manifest.table for one in [*self.shards, *self.targets]}

    @property
    def replayed(self) -> dict[str, Any]:
        """What `metrics.json` says of shards that are replayed; nothing if there are none."""
        return {} if self.replay is None else {"replay": replaying.told(self.replay, self.shards[-1])}

    @property
    def rows(self) -> int:
        """How many records, or pairs, the model is trained on."""
        return sum(self.rows_each)

    @property
    def rows_each(self) -> list[int]:
        """How many records of each shards folder, or pairs, the model is trained on."""
        stays = self.stays or [None] * len(self.shards)
        return [
            one.manifest.rows if kept is None else int(kept.sum()) for one, kept in zip(self.shards, stays, strict=True)
        ]

    @property
    def stays(self) -> list[Stays | None]:
        """Which records (rows,) of each folder are trained on, None for all of one; empty if none are left out."""
        return self._stays(self.shards, self.targets)

    def _stays(self, shards: Sequence[Shards], targets: Sequence[Shards]) -> list[Stays | None]:
        """Return which records of each folder are read, if some are left out: of a pair both or neither."""
        without = self.without
        if without is None:
            return []
        pairs = zip(shards, targets, strict=True) if targets else ((one,) for one in shards)
        return [without.together(*pair) for pair in pairs]

    @property
    def summaries(self) -> dict[str, list[dict[str, Any]]]:
        """What results say of the folders, as JSON values, by what they are for."""
        names = ("shards", "targets", "validation", "validation_targets")
        told = {name: summary(getattr(self, name)) for name in names}
        everywhere = [one for name in names for one in getattr(self, name)]
        return told | {"without": self.without.told(everywhere) if self.without else []}

    def packed(
        self, folder: Path, recipe: Recipe, *, advance: Callable[[int], None] = lambda records: None
    ) -> tuple[Path, list[Any]]:
        """Return a folder with the packed ids, `folder` or one that is kept if the recipe asks for it, and the classes.

        Raises as `pack`.
        """
        what = {
            **{
                name: [one["digest"] for one in lots]
                for name, lots in self.summaries.items()
                if lots or name != "without"
            },
            "label": self.label,
            "modality_token": recipe.modality_token,
            "rows_per_table": recipe.rows_per_table,
            **({"part": recipe.part} if recipe.part else {}),
        }
        kept = keep(what, lambda new: self.pack(new, recipe, advance=advance)) if recipe.keep_packed else None
        return kept or (folder, self.pack(folder, recipe, advance=advance))

    def pack(self, folder: Path, recipe: Recipe, *, advance: Callable[[int], None] = lambda records: None) -> list[Any]:
        """Write the ids of all folders into one that every process can map, and return the classes, sorted.

        Of numbers it returns their mean and their standard deviation in their place.

        `advance(n)` is called for each n more records that are read. Raises `FormatError`, `InvalidConfig`,
        `TrainingError` or `OutputError`.
        """
        options: dict[str, Any] = {"label": self.label, "modality_token": recipe.modality_token, "advance": advance}
        options["numbers"] = recipe.task == "regress"
        stays = self.stays
        held = self._stays(self.validation, self.validation_targets)
        if recipe.rows_per_table:
            for place, lots, kept in ((folder, self.shards, stays), (folder / _VALIDATION, self.validation, held)):
                for number, one in enumerate(lots):
                    pack([one], part_of(place, number), **options, stays=kept[number : number + 1])
            return []
        part = Part.read(recipe.part) if recipe.part else None
        classes = pack(self.shards, folder, **options, part=part, stays=stays)
        if self.targets:
            pack(self.targets, folder / TARGETS, stays=stays, advance=advance)
        if self.validation:
            pack(self.validation, folder / _VALIDATION, classes=classes, **options, stays=held)
        if self.validation_targets:
            pack(self.validation_targets, folder / _VALIDATION / TARGETS, stays=held, advance=advance)
        return classes

    def mixture(self, recipe: Recipe, data: Dataset) -> Mixture | None:
        """Return how samples are drawn from several folders; None if pass after pass. Raises `InvalidConfig`."""
        if isinstance(data, Windows):  # of a recipe that can have none
            return None
        if self.replay is not None:
            return replaying.mixture_of(self.replay, self.shards, data, self.rows_each)
        return mixture(recipe.mixture, self.shards, data, self.rows_each) if recipe.mixture else None

    def samples(self, data: Dataset, mixed: Mixture | None) -> int:
        """Return how many samples make a pass over the data; with replay, over all but what is replayed."""
        if self.replay is None or mixed is None:
            return len(data)
        return round(mixed.starts[1] / (1 - self.replay.share))

    def dataset(self, folder: Path, recipe: Recipe, classes: list[Any], *, masked: bool) -> Dataset:
        """Map what `pack` wrote to train on; with `masked`, samples of "classify" tell padding from other ids."""
        return self._mapped(folder, self.shards, recipe, classes, masked)

    def validation_dataset(self, folder: Path, recipe: Recipe, classes: list[Any], *, masked: bool) -> Dataset | None:
        """Map what `pack` wrote to evaluate on; None if there are no validation shards."""
        if not self.validation:
            return None
        return self._mapped(folder / _VALIDATION, self.validation, recipe, classes, masked)

    def _mapped(
        self, folder: Path, shards: Sequence[Shards], recipe: Recipe, classes: list[Any], masked: bool
    ) -> Dataset:
        context = recipe.context
        if recipe.rows_per_table:
            return PerTable.open(folder, shards, sorted(self.tables), context=context, apart=recipe.document_mask)
        if recipe.task == "seq2seq":
            return Pairs.open(folder, context=context)
        if self.label is not None:
            if recipe.task == "regress":
                numbers = Labelled.of_numbers(folder, context=context, label=self.label, scale=classes)
                return replace(numbers, masked=masked)
            labelled = Labelled.open(folder, context=context, label=self.label, classes=classes)
            return replace(labelled, masked=masked)
        if recipe.privacy is not None:  # each sample is of one record
            return Windows.open(folder, context=context)
        return Blocks.open(folder, context=context, apart=recipe.document_mask)

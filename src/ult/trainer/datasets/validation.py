"""Shards to evaluate on while a model trains; they must be of the tables that it is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ult.errors import InvalidConfig, WrongTable
from ult.public.shards import Shards
from ult.trainer.datasets.packing import open_shards
from ult.trainer.recipe import Recipe


def open_validation(
    paths: str | Path | Sequence[str | Path] | None, training: Sequence[Shards], recipe: Recipe
) -> list[Shards]:
    """Open the shards to evaluate on; none without paths. Raises `WrongVocabulary`, `WrongTable` or `InvalidConfig`."""
    if paths is None:
        for name in ("evaluate_every", "patience"):
            if getattr(recipe, name) is not None:
                raise InvalidConfig(f"{name} was given without shards to evaluate on", hint="--validation SHARDS")
        return []
    if recipe.checkpoint_every is not None:
        raise InvalidConfig(
            "checkpoint_every was given beside validation, whose evaluations write the checkpoints",
            hint="--evaluate-every",
        )
    opened = open_shards(paths, training[0].vocabulary)
    check_tables(opened, training)
    return opened


def check_tables(validation: Sequence[Shards], training: Sequence[Shards]) -> None:
    """Raise `WrongTable` unless all of `validation` were encoded with a table of `training`."""
    tables = {one.manifest.table for one in training}
    for shards in validation:
        if shards.manifest.table not in tables:
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; expected {', '.join(sorted(tables))}",
                hint="validation shards encoded with a table of the shards to train on",
            )

"""Shards to evaluate on while a model trains: of the same tables as those it is trained on."""

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
    """Open the shards to evaluate on, if any. Raises `WrongVocabulary`, `WrongTable` or `InvalidConfig`."""
    if paths is None:
        for name in ("evaluate_every", "patience"):
            if getattr(recipe, name) is not None:
                raise InvalidConfig(f"{name} was given without shards to evaluate on", hint="--validation SHARDS")
        return []
    many = open_shards(paths, training[0].vocabulary)
    check_tables(many, training)
    return many


def check_tables(many: Sequence[Shards], training: Sequence[Shards]) -> None:
    """Raise `WrongTable` unless all of `many` were encoded with tables that `training` was."""
    tables = {s.manifest.table for s in training}
    for shards in many:
        if shards.manifest.table not in tables:
            raise WrongTable(
                f"{shards.path} was encoded with table {shards.manifest.table}; expected {', '.join(sorted(tables))}",
                hint="validation shards encoded with a table of the shards to train on",
            )

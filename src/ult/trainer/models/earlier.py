"""An earlier run that a training goes on from, and which of its embedding rows fit the tables to train on.

An id means something else under another table, so rows are kept only for a table that the run knows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, WrongVocabulary
from ult.host.extras import require
from ult.host.regular import read_text
from ult.public.run import Run
from ult.public.vocabulary import N_SPECIAL, Vocabulary
from ult.trainer.models.bag import BAG
from ult.trainer.models.checkpoint import GROUP
from ult.trainer.models.embeddings import Model, draw_rows, rows_of
from ult.trainer.models.load import load_checkpoint
from ult.trainer.models.table_rows import Rows, put_rows, read_rows
from ult.trainer.recipe import Recipe

with require("torch", extra="train"):
    import torch


def of_public_rows(recipe: Recipe, embeddings: str) -> dict[str, Any]:
    """Return what `metrics.json` says of rows that name their phrases: those of a public model, if they were kept."""
    if recipe.from_run is None or embeddings == "fresh":
        return {}
    aligned = Run.open(recipe.from_run).metrics.get("aligned") or {}
    return {"aligned": aligned} if "model" in aligned else {}


def began_with(recipe: Recipe) -> dict[str, Any]:
    """Return what `metrics.json` says of the run that a training goes on from, or of the body of a federation.

    What such a body was trained on its owners know, so `trained_before` is None: somebody's records, unless it is as it
    was drawn.
    """
    if recipe.from_run is not None:
        run = Run.open(recipe.from_run)
        return {"from_run": run.path.name, "from_digest": run.digest(), "trained_before": run.trained_on}
    group = Path(recipe.model or "") / GROUP
    told = json.loads(read_text(group, 2**20)) if group.is_file() else {}
    began = told.get("from_run") or (group.parent.name if "group" in told else None)
    return {"from_run": began, "trained_before": None if began else []}


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run and its model, whose rows are those of the run's tables; of several with rows of their own, their mean."""

    run: Run
    model: Model
    rows: Mapping[str, Rows]  # of each table, for a run with rows per table

    @classmethod
    def open(cls, recipe: Recipe, vocabulary: Vocabulary) -> Earlier:
        """Load the run that a recipe names. Raises `InvalidConfig`, `WrongVocabulary` or `FormatError`."""
        run = Run.open(recipe.from_run or "")
        run.check_single()
        if run.vocabulary != vocabulary:
            raise WrongVocabulary(
                f"run {run.path} has a vocabulary of {run.vocabulary.size}; the shards' is {vocabulary.size}"
            )
        if run.metrics.get("model") == BAG:
            raise InvalidConfig(
                f"{run.path} is a bag: its weights are fitted to their optimum, from which no training goes on",
                hint="--model bag on the new shards fits another, in seconds",
            )
        if (run.task == "seq2seq") != (recipe.task == "seq2seq"):
            wanted = "seq2seq" if recipe.task == "seq2seq" else "lm or classify"
            raise InvalidConfig(f"run {run.path} was trained for {run.task}; expected one for {wanted}")
        if run.withheld and recipe.embeddings == "keep":
            raise InvalidConfig(f"{run.path} has no rows to keep: they stayed with its owner", hint="ult attach")
        if not run.names_tables and not run.withheld and recipe.embeddings is None:
            raise InvalidConfig(
                f"{run.path} does not say which table its shards were of, so nobody can tell whether its rows fit",
                hint="--embeddings keep if the table is the same, else --embeddings fresh",
            )
        model = load_checkpoint(run.path, recipe.task, rows=not (run.withheld or run.per_table))
        rows = {table: read_rows(run, table, model) for table in sorted(run.tables)} if run.per_table else {}
        if rows:
            put_rows(model, [torch.stack(same).mean(0) for same in zip(*rows.values(), strict=True)])
        return cls(run, model, rows)

    @property
    def first_drawn(self) -> int:
        """The first id of a new table whose row is drawn; the run's rows of special ids before it mean the same."""
        return 0 if self.run.withheld else N_SPECIAL

    def arrange(self, tables: Collection[str], embeddings: str | None) -> str:
        """Let the model have one set of rows for `tables`; return whether it is the run's, "keep", or "fresh"."""
        if self.rows:
            kept = self.kept(tables, embeddings)
            if kept and len(set(tables)) == 1:
                put_rows(self.model, kept[min(tables)])
                return "keep"
            if embeddings == "keep":
                raise InvalidConfig(
                    f"{self.run.path} has rows of its own for each of {len(set(tables))} tables; one set keeps no more "
                    "than one table's",
                    hint="--rows-per-table",
                )
        elif embeddings == "keep" or (embeddings is None and not self.run.withheld and self.run.tables == set(tables)):
            return "keep"
        draw_rows(self.model, first=self.first_drawn)
        return "fresh"

    def kept(self, tables: Collection[str], embeddings: str | None) -> dict[str, Rows]:
        """Return rows of the run for those of `tables` that they fit; all of them if they are to be kept.

        Raises `InvalidConfig` if they are to be kept and there are none for a table.
        """
        if embeddings == "fresh" or self.run.withheld:
            return {}
        if not self.rows:
            own = [weight.detach().clone() for weight in rows_of(self.model)]
            return {table: own for table in tables if table in self.run.tables or embeddings == "keep"}
        if embeddings == "keep" and (strange := set(tables) - self.rows.keys()):
            raise InvalidConfig(
                f"{self.run.path} has no rows of table {', '.join(sorted(strange))} to keep", hint="--embeddings fresh"
            )
        return {table: self.rows[table] for table in tables if table in self.rows}

"""Check what a run is: that it was trained on shards of a table, and that its model has a body beside its rows."""

from __future__ import annotations

from typing import Any

from ult.errors import InvalidConfig, WrongTable
from ult.owner.table import Table
from ult.public.run import BAG_TYPE, NGRAMS_TYPE, Run
from ult.trainer.evaluation import UNCHECKED


def check_table(run: Run, table: Table) -> list[str]:
    """Return a remark if a run names no table, or nothing. Raises `WrongTable` if it names other tables."""
    if not run.names_tables:
        return [f"{UNCHECKED} {table.fingerprint}"]
    if table.fingerprint not in run.tables:
        raise WrongTable(
            f"{run.path} was trained on shards of table {', '.join(sorted(run.tables))}; this one is "
            f"{table.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    return []


def check_body(model: Any, name: object) -> None:
    """Raise `InvalidConfig` if a model is a bag or n-grams, which have no body: all they hold is of ids."""
    if model.config.model_type == BAG_TYPE:
        raise InvalidConfig(
            f"{name} is a bag: it has no body, only weights of ids and of pairs of ids",
            hint="a run of another --model; ult train --model bag fits one to other shards in seconds",
        )
    check_no_counts(model, name)


def check_no_counts(model: Any, name: object) -> None:
    """Raise `InvalidConfig` if a model is n-grams, which are the counts of their records: nobody else may have them."""
    if model.config.model_type == NGRAMS_TYPE:
        raise InvalidConfig(
            f"{name} is n-grams: it has no body, it is the counts of what stands in its records",
            hint="keep it, or ult distil RUN... --shards SHARDS -o SMALL, a model of it and others, to audit",
        )

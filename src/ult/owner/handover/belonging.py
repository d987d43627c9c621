"""Check that a run and a table belong together: the run was trained on shards of this table."""

from __future__ import annotations

from ult.errors import WrongTable
from ult.owner.table import Table
from ult.public.run import Run
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

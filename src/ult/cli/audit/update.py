"""`ult audit update`: what a run had right and its successor has wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force
from ult.host.free import check_free


def update(
    old: Annotated[Path, typer.Argument(metavar="OLDRUN", help="The run in use.")],
    new: Annotated[Path, typer.Argument(metavar="NEWRUN", help="The run to take its place.")],
    on: Annotated[
        list[Path], typer.Option(help="Shards that neither was trained on, of the table of both; repeatable.")
    ],
    old_on: Annotated[
        list[Path] | None,
        typer.Option(help="classify: the same records by the table of OLDRUN, if that is another; repeatable."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The table of NEWRUN, to see whether ids were kept.")
    ] = None,
    old_table: Annotated[
        Path | None, typer.Option("--old-table", help="With --table: the one that it updates, of OLDRUN at first.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Records in a batch.")] = 16,
    seed: Annotated[int, typer.Option(help="The same seed draws the same intervals.")] = 0,
    json: Annotated[Path | None, typer.Option("--json", help="A file for all figures.")] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Compare a run with its successor: what it had right and the successor has wrong, and whom that hits.

    The exit status is 0 whatever the verdict, which is the first line and in --json.
    """
    from ult.audit.updated import audit_update
    from ult.cli.console import facts

    if json is not None:
        check_free(json, force=force, option="--json")
    keys = (passphrase_file, identity)
    audit = audit_update(
        old,
        new,
        on,
        old_shards=old_on,
        table=None if table is None else load_table(table, *keys),
        old_table=None if old_table is None else load_table(old_table, *keys),
        batch_size=batch_size,
        seed=seed,
    )
    facts(audit.figures)
    if json is not None:
        audit.save(json, force=force)

"""`ult table update`: a table for the next month, whose kept phrases have the ids that they had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, Recipients, asking, key_of
from ult.cli.options import Address, Canonical, Column, Drop, EngineName, Force, Inputs, Workers
from ult.cli.reading import READ, Reading, reads_files
from ult.errors import InvalidConfig
from ult.owner.pipeline.memory import return_freed_memory

if TYPE_CHECKING:
    from ult.owner.update import TableUpdate

_SHOWN = 12  # phrases that are printed of those that went, and of those that came


@reads_files()
def update(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="The table of before, as `ult fit` wrote it.")],
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="The table file to write.")],
    keep_ids: Annotated[
        bool,
        typer.Option(
            "--keep-ids", help="Kept phrases keep their ids, so that runs of the old table go on.  [required]"
        ),
    ] = False,
    decay: Annotated[
        float,
        typer.Option(
            help="How much occurrences that the old table counted weigh beside new ones: 1 as much, 0 not at all."
        ),
    ] = 1.0,
    min_records: Annotated[
        int | None,
        typer.Option(help="A new phrase enters only if so many distinct new records hold it; by default 5, or more."),
    ] = None,
    column: Column = None,
    drop: Drop = None,
    canonical: Canonical = False,
    public: Annotated[
        bool, typer.Option("--public", help="Of a public table: declare that everyone may read these records too.")
    ] = False,
    reading: Reading = READ,
    json: Annotated[
        bool, typer.Option("--json", help="Print what changed, with all phrases that went and came, as JSON.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for the new table; by default the passphrase of the old one.")
    ] = None,
    recipient: Recipients = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Store the new table in the clear.")] = False,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    force: Force = False,
) -> None:
    """Update a table with new records: kept phrases keep their ids, new ones take unused or least-used ids.

    The phrases that went and came are listed on a terminal, to you alone; --json prints them all.
    """
    if not keep_ids:
        raise InvalidConfig(
            "without --keep-ids nothing is an update: every id would mean another phrase",
            hint="--keep-ids; or ult fit on all records for a fresh table, and ult align, which composes its rows",
        )
    return_freed_memory()  # before Arrow is loaded
    from ult.host.bar import stages
    from ult.owner.update import update_table

    key = key_of(table, passphrase_file, identity)
    asked = new_passphrase_file is not None or (key["passphrase"] is None and not recipient and not no_encryption)
    with stages("updating") as progress:
        done = update_table(
            table,
            inputs,
            out,
            column=column,
            drop=drop or (),
            canonical=canonical,
            reading=reading,
            min_records=min_records,
            decay=decay,
            public=public,
            **key,
            new_passphrase=asking(new_passphrase_file, recipient, no_encryption) if asked else None,
            recipients=recipient or (),
            encrypt=not no_encryption,
            workers=workers,
            engine=engine,
            address=address,
            force=force,
            progress=progress,
        )
    _tell(done, as_json=json)


def _tell(done: TableUpdate, *, as_json: bool) -> None:
    from ult.cli.console import note, say

    if as_json:
        print(done.to_json())
    else:
        changes, before = done.changes, done.before
        say(
            f"{done.path}: {changes.kept:,} of {before.phrases:,} phrases kept with their ids, {len(changes.added):,} "
            f"added, {len(changes.freed):,} freed, from {done.records:,} new records"
        )
        if sys.stdout.isatty():  # else it may be a log that others read
            for what, phrases in (("freed", changes.freed), ("added", changes.added)):
                most = sorted(phrases, key=lambda one: (-one.uses, one.id))
                for one in most[:_SHOWN]:
                    say(f"  {what} {one.id}: {one.text!r}, {one.uses:,} times")
                if len(most) > _SHOWN:
                    say(f"  {what} {len(most) - _SHOWN:,} more: --json")
    for remark in done.remarks():
        note(remark)

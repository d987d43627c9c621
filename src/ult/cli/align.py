"""`ult align`: move a run's embedding rows from one table to another, on the owner's side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, TableFile, load_table
from ult.cli.options import Force, RunFolder


def align(
    run: RunFolder,
    table: TableFile,
    to: Annotated[Path, typer.Option(help="The table whose shards the run is to be trained on next.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    passphrase_file: PassphraseFile = None,
    to_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for --to; by default the passphrase of --table.")
    ] = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Arrange a run's embedding rows for another table, by their phrases, as a start for training on its shards."""
    from ult.cli.console import count, note, say
    from ult.owner.handover.align import align as write

    old = load_table(table, passphrase_file, identity)
    new = load_table(to, to_passphrase_file or passphrase_file, identity)
    done = write(run, old, new, out, force=force)
    rows = f"{done['copied']:,} copied, {done['composed']:,} composed, {done['special']} special kept"
    say(f"{out}: {count(sum(done.values()), 'row')}: {rows}, {done['unused']:,} unused")
    note(f"whoever has {run}, its table and {out} can match rows and so read {to}: keep {out} as secret as that table")

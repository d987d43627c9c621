"""`ult align`: the owner's verb between two tables and a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, TableFile, load_table
from ult.cli.options import Force, RunFolder


def align(
    run: RunFolder,
    table: TableFile,
    to: Annotated[Path, typer.Option(help="The table that the run shall be trained for next.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    passphrase_file: PassphraseFile = None,
    to_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for --to; by default what opens --table opens it.")
    ] = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Give a run the embedding rows of another table, by what the phrases say: a start for its shards."""
    from ult.cli.console import count, note, say
    from ult.owner.handover.align import align as write

    old = load_table(table, passphrase_file, identity)
    new = load_table(to, to_passphrase_file or passphrase_file, identity)
    done = write(run, old, new, out, force=force)
    rows = f"{done['copied']:,} copied, {done['composed']:,} composed, {done['special']} special kept"
    say(f"{out}: {count(sum(done.values()), 'row')}: {rows}, {done['unused']:,} unused")
    note(f"who holds {run}, its table and {out} can match rows, and so read {to}: keep {out} as secret as that")

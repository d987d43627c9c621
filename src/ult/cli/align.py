"""`ult align`: move a run's embedding rows from one table to another, on the owner's side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, TableFile, load_table
from ult.cli.options import Force
from ult.errors import InvalidConfig

if TYPE_CHECKING:
    from ult.owner.table import Table


def align(
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="A run folder, as `ult train` wrote it.", show_default=False)
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The table whose shards the run is to be trained on next.")] = None,
    to_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Without RUN: a public model with its tokenizer, a Hugging Face folder or smollm2-135m-weights, to "
            "get rows for --table.",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    to_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for --to; by default the passphrase of --table.")
    ] = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Arrange embedding rows of a run, or of a public model, for a table, by its phrases, to start training from."""
    from ult.cli.console import count, note, say

    if to_model is not None and run is None and to is None:
        _to_model(to_model, load_table(table, passphrase_file, identity), out, force=force)
        return
    if to_model is not None or run is None or to is None:
        raise InvalidConfig(
            "expected a run and the table to align it to, or a public model to align to the table",
            hint="ult align RUN -t OLD --to NEW -o OUT, or ult align -t TABLE --to-model FOLDER -o OUT",
        )
    from ult.owner.handover.align import align as write

    old = load_table(table, passphrase_file, identity)
    new = load_table(to, to_passphrase_file or passphrase_file, identity)
    done = write(run, old, new, out, force=force)
    rows = f"{done['copied']:,} copied, {done['composed']:,} composed, {done['special']} special kept"
    say(f"{out}: {count(sum(done.values()), 'row')}: {rows}, {done['unused']:,} unused")
    note(f"whoever has {run}, its table and {out} can match rows and so read {to}: keep {out} as secret as that table")


def _to_model(model: Path, table: Table, out: Path, *, force: bool) -> None:
    from ult.cli.console import note, say
    from ult.owner.handover.align_to_model import align_to_model

    done = align_to_model(model, table, out, force=force)
    rows = f"{done['copied']:,} of one public token, {done['composed']:,} of several"
    say(f"{out}: rows of {model} for {rows}, {done['special']} special, {done['unused']:,} that no token says")
    note(
        f"these rows name the phrases: whoever has {out}, or what is trained from it, and {model} reads "
        f"{done['named']:.0%} of the ids of the table's records; ult audit code --run RUN --from {model} measures it"
    )
    note(f"ult train SHARDS --from {out} goes on from there; a trainer that may not read the records may not have it")

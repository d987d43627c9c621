"""`ult audit code`: attack the code of shards or of a run as an adversary would, scored by the owner's table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Column, Force
from ult.cli.reading import READ, Reading, reads_files
from ult.host.free import check_free

CELLS = "cells of fields"


@reads_files("query")
def code(
    out: Annotated[Path, typer.Option("--json", help="The file to write.")],
    shards: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Shards folders of one table, attacked together; by default what --run writes.", show_default=False
        ),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="Public records of the same kind, in any form that `ult fit` reads; repeatable."),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A run on the table, which the adversary holds.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="With --run and no shards: records to generate.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The run that --run was aligned or trained from, to match their rows; or, without "
            "--from-table, the public model that it was aligned to.",
        ),
    ] = None,
    start_table: Annotated[
        Path | None, typer.Option("--from-table", help="The table of --from, known to the adversary.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", "-t", help="The table of the ids, to score attacks; none of them reads it."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="A file for passages as the best attack read them, with the truth; secret, mode 0600."),
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(help="A field that the adversary knows of the people in the shards, such as age; repeatable."),
    ] = None,
    column: Column = None,
    reading: Reading = READ,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-w", min=1, help="Processes, of up to 1 GB; by default up to four. The output is the same."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Attack a code as somebody with shards or a model, and public data, would; the table scores the attacks."""
    from ult.audit.code.audit import audit_code, check_asked
    from ult.cli.console import note, say
    from ult.host.bar import stages

    check_asked(
        reference=bool(reference),
        run=run is not None,
        start=start is not None,
        start_table=start_table is not None,
        table=table is not None,
        pairs=pairs is not None,
        known=bool(known),
    )
    check_free(out, force=force, option="--json")
    if pairs is not None:
        check_free(pairs, force=force, option="--pairs")
    with stages("attacking") as progress:
        audit = audit_code(
            shards or (),
            reference=reference or (),
            run=run,
            samples=samples,
            seed=seed,
            start=start,
            start_table=None if start_table is None else load_table(start_table, passphrase_file, identity),
            table=None if table is None else load_table(table, passphrase_file, identity),
            pairs=pairs,
            known=known or (),
            column=column,
            reading=reading,
            workers=workers,
            force=force,
            progress=progress,
            notice=say,
        )
    audit.save(out, force=force)
    for line in audit.notes:
        note(line)
    figures = dict(audit.figures)
    best = figures.get("the best by public data")
    _say_fields(audit.figures)
    say(f"{out}: {figures['attacked']}" + (f"; the best by public data, {best}" if best else ""))


def _say_fields(figures: Sequence[tuple[str, str]]) -> None:
    """Print what was read of each field, of an audit of records of fields."""
    from ult.cli.console import facts, note

    names = [name for name, _ in figures]
    if CELLS in names:
        facts(list(figures[names.index(CELLS) :]))
        note("names of columns are their owner's: they are shown here and in --pairs, not in --json")

"""`ult forget`: find records, and take them out of runs, shards and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, Recipients, TableFile, asking, key_of
from ult.cli.options import Canonical, Column, Drop, Force, Inputs, Keep, RunFolder, Workers
from ult.cli.reading import READ, Reading, reads_files
from ult.owner.pipeline.memory import return_freed_memory

Rows = Annotated[
    list[Path],
    typer.Option("--rows", metavar="GONE.rows", help="What to forget, as `ult forget find` wrote it; repeatable."),
]
_MORE = "Shards that the run was trained on: "


@reads_files()
def find(
    inputs: Inputs,
    table: TableFile,
    shards: Annotated[list[Path], typer.Option(help="Shards to look in, all that may hold the records; repeatable.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: which rows of which shards.")],
    column: Column = None,
    keep: Keep = None,
    near: Annotated[
        float | None,
        typer.Option(
            help="Texts: also name those that share this part of their runs of five words with one, e.g. 0.8."
        ),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Also name all records of the same persons, told apart by this column of both."
        ),
    ] = None,
    drop: Drop = None,
    canonical: Canonical = False,
    side: Annotated[str | None, typer.Option(help="Of reactions, left or right, as they were encoded.")] = None,
    reading: Reading = READ,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Find records that are to be forgotten in shards, by exactly equal ids, and write which rows they are."""
    from ult.cli.console import note, say
    from ult.host.bar import stages
    from ult.owner.forgetting.find import find as write

    key = key_of(table, passphrase_file, identity)
    with stages("finding") as progress:
        found = write(
            inputs,
            table,
            shards,
            out,
            **key,
            column=column,
            keep=keep or (),
            near=near,
            person=person,
            drop=drop or (),
            canonical=canonical,
            side=side,
            reading=reading,
            force=force,
            progress=progress,
        )
    say(f"{out}: {'; '.join(f'{name} {value}' for name, value in found.facts()[1:])}")
    for remark in found.remarks():
        note(remark)


@reads_files()
def table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="The table, as `ult fit` wrote it.")],
    records: Annotated[
        list[str], typer.Option(help="What to fit on: the records of before, or the rest of them; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table file to write.")],
    without: Annotated[
        list[str] | None, typer.Option(help="Records to leave out of --records, all that equal one; repeatable.")
    ] = None,
    column: Column = None,
    drop: Drop = None,
    canonical: Canonical = False,
    reading: Reading = READ,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="The same for the new table; by default the passphrase of the old one.")
    ] = None,
    recipient: Recipients = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Store the new table in the clear.")] = False,
    workers: Workers = None,
    force: Force = False,
) -> None:
    """Fit a table again without records, with its own settings, and say whether a byte of the code changes."""
    return_freed_memory()  # before Arrow is loaded
    from ult.cli.console import note, say
    from ult.host.bar import stages
    from ult.owner.forgetting.table import refit

    key = key_of(table, passphrase_file, identity)
    asked = new_passphrase_file is not None or (key["passphrase"] is None and not recipient and not no_encryption)
    with stages("refitting") as progress:
        done = refit(
            table,
            records,
            out,
            without=without,
            column=column,
            drop=drop or (),
            canonical=canonical,
            reading=reading,
            **key,
            new_passphrase=asking(new_passphrase_file, recipient, no_encryption) if asked else None,
            recipients=recipient or (),
            encrypt=not no_encryption,
            workers=workers,
            force=force,
            progress=progress,
        )
    say(f"{out}: {'; '.join(f'{name} {value}' for name, value in done.facts()[2:-1])}")
    for remark in done.remarks():
        note(remark)


def shards(
    shards: Annotated[Path, typer.Argument(help="A shards folder that holds the records.", metavar="SHARDS")],
    rows: Rows,
    out: Annotated[Path, typer.Option("--out", "-o", help="The shards folder to write.")],
    force: Force = False,
) -> None:
    """Write shards without records, and a tombstone that says how many went. It needs no table."""
    from ult.cli.console import note, say
    from ult.trainer.forgetting.shards import take_out

    done = take_out(shards, out, rows=rows, force=force)
    say(f"{out}: {'; '.join(f'{name} {value}' for name, value in done.facts()[1:])}")
    for remark in done.remarks():
        note(remark)


def run(
    run: RunFolder,
    shards: Annotated[
        list[Path],
        typer.Argument(help="The shards that the run was trained on, in their order.", metavar="SHARDS..."),
    ],
    rows: Rows,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    method: Annotated[
        str,
        typer.Option(
            help="exact: train again what saw the records; guaranteed: train again from a base that promises epsilon; "
            "npo, graddiff: train against them, which guarantees nothing."
        ),
    ] = "exact",
    base: Annotated[
        Path | None,
        typer.Option(help="The run that RUN went on from; by default RUN/base, or the folder of its name beside RUN."),
    ] = None,
    targets: Annotated[list[Path] | None, typer.Option(help=f"{_MORE}its targets.")] = None,
    validation: Annotated[list[Path] | None, typer.Option(help=f"{_MORE}those it was evaluated on.")] = None,
    validation_targets: Annotated[list[Path] | None, typer.Option(help=f"{_MORE}the targets of these.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of npo and graddiff; by default a tenth of the run's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="Of npo and graddiff; by default a tenth of the run's.")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="Of npo; by default 0.1.")] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with an interrupted training; as --resume auto, also begin one.")
    ] = False,
    resume_auto: Annotated[bool, typer.Option("--resume-auto", hidden=True)] = False,
    force: Force = False,
) -> None:
    """Write a run without records that it was trained on. It needs no table."""
    from ult.cli.console import note, say
    from ult.trainer.forgetting.forget import forget

    done = forget(
        run,
        shards,
        out,
        rows=rows,
        method=method,
        base=base,
        targets=targets,
        validation=validation,
        validation_targets=validation_targets,
        steps=steps,
        learning_rate=learning_rate,
        beta=beta,
        resume="auto" if resume_auto else resume,
        force=force,
    )
    say(f"{out}: {'; '.join(f'{name} {value}' for name, value in done.facts()[1:])}")
    for remark in done.remarks():
        note(remark)

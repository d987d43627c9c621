"""`ult predict`: the labels of records in shards, or a column of records that a run knows from all others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, key_of
from ult.cli.options import Drop, Force, RunFolder
from ult.cli.reading import READ, Reading, reads_files
from ult.errors import InvalidConfig
from ult.host.free import check_free


@reads_files("layer", "window", "layout")
def predict(
    run: RunFolder,
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Shards, for a run that classifies; or, with --table, records with its columns, such as a .csv; that "
            "of --target may be missing.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The predictions: .csv, .jsonl or .parquet.")],
    table: Annotated[
        Path | None,
        typer.Option("--table", "-t", help="Of records: the owner's table, of record/columns, that the run is of."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of records: the column to predict from all others; needs --table."),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value",
            help="Of records: a value to choose from; repeatable. By default those that the table has a phrase for; "
            "of a number, its bins.",
        ),
    ] = None,
    drop: Drop = None,
    reading: Reading = READ,
    batch_size: Annotated[int, typer.Option(min=1, help="Records with a value in place that are scored at once.")] = 64,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Predict the label of each record in shards; or, with the owner's table, a column of records from all others."""
    if table is None and target is None and not (value or drop or reading):
        _labels(run, inputs, out, batch_size=batch_size, force=force)
        return
    if table is None or target is None:
        raise InvalidConfig(
            "expected the owner's table and a column: a run that writes ids predicts columns of records",
            hint="--table TABLE --target COLUMN; for labels of shards, neither",
        )
    from ult.cli.console import facts, note, say
    from ult.host.bar import stages
    from ult.host.shown import count
    from ult.owner.handover.predict import predict as write

    check_free(out, force=force)
    key = key_of(table, passphrase_file, identity)
    with stages("predicting") as progress:
        done = write(
            run,
            inputs,
            table,
            target,
            out,
            **key,
            values=value or (),
            drop=drop or (),
            reading=reading,
            batch_size=batch_size,
            force=force,
            progress=progress,
        )
    say(f"{out}: {target!r} of {count(len(done.records), 'record')}, of {done.told_apart}")
    if done.figures is not None:
        facts(done.figures.facts())
    for remark in done.remarks():
        note(remark)


def _labels(run: Path, shards: list[str], out: Path, *, batch_size: int, force: bool) -> None:
    from ult.cli.console import counting, facts, note, say
    from ult.host.shown import count
    from ult.trainer.tasks.predict import predict_labels

    with counting("predicting") as advance:
        found = predict_labels(run, shards, out, batch_size=batch_size, force=force, advance=advance)
    say(f"{out}: {found.target!r} of {count(len(found.records), 'record')}, of {found.told_apart}")
    if found.figures is not None:
        facts(found.figures.facts())
    for remark in found.remarks():
        note(remark)

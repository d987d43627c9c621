"""`ult split`: rows to train on, to validate on and to test on, of which none knows a person of another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Force
from ult.cli.reading import READ, Reading, reads_files


@reads_files("layer", "window", "layout", "sheet", "query", "skip_unreadable")
def split(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Files of rows: .csv, .tsv, .jsonl, .parquet or .txt; several are split alike, such as "
            "labs:PATIENT=labs.csv where the column of --group has another name.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for train/, test/ and validation/.")],
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Whose a row is: all rows of one value, in all files, go to one part."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of the first file: every part has each of its values equally often."),
    ] = None,
    test: Annotated[float, typer.Option(metavar="SHARE", help="The share of the rows to test on.")] = 0.2,
    validation: Annotated[float, typer.Option(metavar="SHARE", help="The share of the rows to validate on.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same parts.")] = 0,
    rows_alone: Annotated[
        bool,
        typer.Option("--rows-alone", help="Split row by row, though a column looks like it says whose they are."),
    ] = False,
    reading: Reading = READ,
    force: Force = False,
) -> None:
    """Split files of records into parts, before a table is fitted: nobody is in two parts."""
    from ult.cli.console import facts, note, say
    from ult.data.parts.split import split as write

    done = write(
        inputs,
        out,
        group=group,
        label=label,
        test=test,
        validation=validation,
        seed=seed,
        rows_alone=rows_alone,
        reading=reading,
        force=force,
    )
    say(f"{out}: {', '.join(done.rows)}")
    facts(done.facts())
    for remark in done.remarks():
        note(remark)

"""`ult dedupe`: remove repeated records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import (
    Column,
    Force,
    Inputs,
    Keep,
)
from ult.cli.reading import READ, Reading, reads_files


@reads_files()
def dedupe(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file for the rest; its suffix gives the format.")],
    modality: Annotated[str, typer.Option(help="text, image, series or molecule.")] = "text",
    near: Annotated[
        float | None,
        typer.Option(
            help="Texts: also drop those that share this part of their runs of five words with one before, e.g. 0.8."
        ),
    ] = None,
    column: Column = None,
    keep: Keep = None,
    reading: Reading = READ,
    force: Force = False,
) -> None:
    """Drop repeated records before a table is fitted, because a model memorises what is repeated."""
    from ult.cli.console import count, note, say, watch
    from ult.data import open_sink, open_source
    from ult.data.duplicates import Duplicates
    from ult.data.opening import SUFFIXES
    from ult.errors import InvalidConfig
    from ult.owner.inputs import remarks

    if modality not in SUFFIXES:
        raise InvalidConfig(f"modality is {modality!r}; expected one of {', '.join(SUFFIXES)}")
    if near is not None and modality != "text":
        raise InvalidConfig(f"near duplicates are found in texts only; these are {modality}", hint="leave out --near")
    source = open_source(
        inputs,
        modality=modality,
        column=column,
        keep=keep or (),
        reading=reading,
    )
    duplicates, kept = Duplicates(near), 0
    with open_sink(
        out, modality=modality, column=source.column, fields=source.fields, kept_schema=source.kept_schema, force=force
    ) as sink:
        for batch in watch(duplicates.distinct(source.batches()), "comparing"):
            sink.write(batch.records, batch.kept if source.kept_schema.names else None)
            kept += batch.rows
    gone = f"{duplicates.exact:,} repeated" + (
        f" and {duplicates.near_found:,} that resemble another" if near is not None else ""
    )
    say(f"{out}: {count(kept, 'record')}; {gone} left out")
    for remark in remarks(source):
        note(remark)

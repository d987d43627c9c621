"""`ult dedupe`: remove repeated records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ult.cli.options import (
    Column,
    Force,
    Inputs,
    Keep,
    Workers,
)
from ult.cli.reading import READ, Reading, reads_files

if TYPE_CHECKING:
    from ult.data import Source
    from ult.data.columns.schema import Schema
    from ult.data.sink import Sink


@reads_files()
def dedupe(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file for the rest; its suffix gives the format.")],
    modality: Annotated[str, typer.Option(help="text, image, jpeg, series or molecule.")] = "text",
    schema: Annotated[
        Path | None,
        typer.Option(
            help="Records of fields: what is a record, as `ult describe` wrote it; with a unit, all rows of one, which "
            "are compared without its name."
        ),
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(
            help="Texts: also drop those that share this part of their runs of five words with one before, e.g. 0.8."
        ),
    ] = None,
    column: Column = None,
    keep: Keep = None,
    reading: Reading = READ,
    workers: Workers = None,
    force: Force = False,
) -> None:
    """Drop repeated records before a table is fitted, because a model memorises what is repeated."""
    from ult.cli.console import count, note, say, watch
    from ult.data import open_source
    from ult.data.columns.schema import Schema
    from ult.data.duplicates import Duplicates
    from ult.data.opening import SUFFIXES
    from ult.errors import InvalidConfig
    from ult.owner.inputs import remarks
    from ult.owner.pipeline.deduping import distinct

    if modality not in SUFFIXES:
        raise InvalidConfig(f"modality is {modality!r}; expected one of {', '.join(SUFFIXES)}")
    if schema is None and modality == "record":
        raise InvalidConfig(
            "records of fields are compared by a schema", hint="--schema; ult describe FILE -o writes it"
        )
    layout = None if schema is None else Schema.read(schema)
    modality = modality if layout is None else "record"
    named = [] if layout is None or layout.unit in {"", *layout.columns, *(keep or ())} else [layout.unit]
    if near is not None and modality != "text":
        raise InvalidConfig(f"near duplicates are found in texts only; these are {modality}", hint="leave out --near")
    source = open_source(
        inputs,
        modality=modality,
        column=column,
        keep=[*named, *(keep or ())],
        schema=layout,
        reading=reading,
    )
    duplicates, kept = Duplicates(near), 0
    with _sink(out, modality, source, layout, force=force) as sink:
        for batch in watch(distinct(source, duplicates, workers, out), "comparing"):
            sink.write(batch.records, batch.kept if source.kept_schema.names else None)
            kept += batch.rows
    gone = f"{duplicates.exact:,} repeated" + (
        f" and {duplicates.near_found:,} that resemble another" if near is not None else ""
    )
    say(f"{out}: {count(kept, 'record')}; {gone} left out")
    for remark in remarks(source):
        note(remark)


def _sink(out: Path, modality: str, source: Source, layout: Schema | None, *, force: bool) -> Sink:
    from ult.data import open_sink
    from ult.data.composed.nested_sink import open_nested_sink
    from ult.data.composed.record_sink import open_record_sink

    if layout is None:
        told = {"column": source.column, "fields": source.fields, "kept_schema": source.kept_schema}
        return open_sink(out, modality=modality, force=force, **told)
    several = sum(1 for one in layout.fields if one.fields) > 1
    return (open_nested_sink if several else open_record_sink)(out, layout, source.kept_schema, force=force)

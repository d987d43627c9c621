"""Arguments and options that several verbs share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(
        help=".txt (one record per line), .jsonl, .csv, .parquet, .npy, .npz, images or folders of them, FASTA, FASTQ, "
        "SDF, .h5ad, WFDB (.hea), EDF, WAV, hf:org/name; also globs, and s3://, gs:// and hf:// addresses. Of records "
        "of fields: fhir:FOLDER, meds:FOLDER, omop:FOLDER, and labs=labs.csv, labs:PATIENT=labs.csv for further rows "
        "of the unit.",
        show_default=False,
    ),
]
Column = Annotated[str | None, typer.Option("--column", "-c", help="The column (or array) that holds the records.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", "-c", help="The column (or array) that holds the records; of records of fields, one of several."
    ),
]
Keep = Annotated[
    list[str] | None, typer.Option("--keep", "-k", help="A column to keep beside the records, such as a label.")
]
KeepIdentifier = Annotated[
    bool,
    typer.Option("--keep-identifier", help="Allow --keep of a column that looks like it says who somebody is."),
]
Canonical = Annotated[bool, typer.Option(help="Rewrite SMILES in RDKit's canonical form first.")]
Layer = Annotated[str | None, typer.Option(help="Of .h5ad, the matrix: X (the default), raw/X or layers/NAME.")]
Window = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Of a signal, a record is so many seconds; else a whole channel."),
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="AXES", help="Of .npy and .npz, the axes of images: hw, hwc, chw, nhw, nchw; nhw*255 for floats 0 to 1."
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(metavar="CHARACTER", help="What separates the cells of a .csv, as ';' or tab; by default the comma."),
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="The encoding of text files, such as cp1252; by default UTF-8.")
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="Line 1 of a .csv is a record; its columns are called c1, c2 and so on.")
]
Sheet = Annotated[str | None, typer.Option(help="Of a workbook of Excel, the name of the sheet that is read.")]
Query = Annotated[str | None, typer.Option(metavar="SQL", help="Of sqlite:PATH, the select whose rows are read.")]
Force = Annotated[bool, typer.Option(help="Replace an existing output.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `ult train` wrote it.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Processes, or Ray tasks at a time; all by default. The output is the same."
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="local: processes of this machine; ray: a Ray cluster. Same output.")
]
Address = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the Ray cluster; by default RAY_ADDRESS, or a new one on this machine."),
]
Drop = Annotated[list[str] | None, typer.Option("--drop", help="Of records of fields: leave this column out.")]
Unit = Annotated[str, typer.Option(help="Of records of fields: rows with one value here are one record.")]
FieldForm = Annotated[
    list[str] | None,
    typer.Option(
        "--form",
        metavar="COLUMN=FORM",
        help="Of records of fields: how to read a column: number, category, date, text, list or molecule; its decimal "
        "mark, . or ,; or its date form, such as d/m/Y.",
    ),
]


def reading(*, no_header: bool, **given: str | float | None) -> dict[str, str | float]:
    """Return the choices of how files are read that were made."""
    made = {name: value for name, value in given.items() if value is not None}
    return {**made, **({"header": False} if no_header else {})}


def forms_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the answers of `COLUMN=FORM` pairs; raise `InvalidConfig` at anything else."""
    from ult.errors import InvalidConfig

    found: dict[str, str] = {}
    for pair in pairs or ():
        name, mark, form = pair.rpartition("=")
        if not mark or not name or name in found:
            raise InvalidConfig(f"form {pair!r} is not COLUMN=FORM, one for each column", hint="--form visit=d/m/Y")
        found[name] = form
    return found

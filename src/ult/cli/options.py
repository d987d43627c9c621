"""Arguments and options that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.host.remote import scheme_of

_WITH_CELLS = re.compile(r"(.+?)=((?:category|number|date|[Ymd./-]+):.*)", re.DOTALL)  # age=number:0..120

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
Force = Annotated[bool, typer.Option(help="Replace an existing output.")]


def path_or_address(name: str) -> str | Path:
    """Return an address as it is, and any other name as a path."""
    return name if scheme_of(name) else Path(name)


Place = Any  # of an option with this parser: a str or a Path, a union that typer does not take


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
        help="Of records of fields: how to read a column: number, category, date, text, list or molecule; image or "
        "series, if its cells name files; its decimal mark, . or ,; or its date form, such as d/m/Y.",
    ),
]


def cells_of(pairs: Sequence[str] | None) -> dict[str, str | None]:
    """Return the cells of `COLUMN=CELL` pairs; raise `InvalidConfig` at anything else."""
    from ult.errors import InvalidConfig

    found: dict[str, str | None] = {}
    for pair in pairs or ():
        name, mark, cell = pair.partition("=")
        if not mark or not name:
            raise InvalidConfig(f"given is {pair!r:.40}; expected COLUMN=CELL", hint="--given age=70")
        if name in found:
            raise InvalidConfig(f"given names {name!r} twice; expected one cell of a column", hint="--given age=70")
        found[name] = cell
    return found


def forms_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the answers of `COLUMN=FORM` pairs; raise `InvalidConfig` at anything else."""
    from ult.errors import InvalidConfig

    found: dict[str, str] = {}
    for pair in pairs or ():
        told = _WITH_CELLS.fullmatch(pair)  # which may hold a = themselves
        name, mark, form = (told[1], "=", told[2]) if told else pair.rpartition("=")
        if not mark or not name or name in found:
            raise InvalidConfig(f"form {pair!r} is not COLUMN=FORM, one for each column", hint="--form visit=d/m/Y")
        found[name] = form
    return found

"""Arguments and options that several verbs have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inputs = Annotated[
    list[str],
    typer.Argument(
        help=".txt (a record a line), .jsonl, .csv, .parquet, .npy, .npz, images or a folder of them, "
        "hf:org/name; globs, and s3://, gs:// and hf:// addresses of files.",
        show_default=False,
    ),
]
Column = Annotated[str | None, typer.Option("--column", "-c", help="The column (or array) that holds the records.")]
Keep = Annotated[list[str] | None, typer.Option("--keep", "-k", help="A column that is no record, such as a label.")]
Canonical = Annotated[bool, typer.Option(help="Rewrite SMILES in RDKit's canonical form first.")]
Force = Annotated[bool, typer.Option(help="Replace what is there.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `ult train` wrote it.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Processes, or tasks at a time of Ray; all by default. No byte changes."
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="local: processes of this machine; ray: a Ray cluster. No byte changes.")
]
Address = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the Ray cluster; by default RAY_ADDRESS, or one that is started on this machine."),
]

"""`ult average`: one run of several, each of which counts as much as other records say it should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Force


def average(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs of one table, task and context, such as a transformer and n-grams.", metavar="RUN RUN..."
        ),
    ],
    validation: Annotated[
        list[Path],
        typer.Option(help="Shards of the same table, on which no run was trained: they choose the shares; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    force: Force = False,
) -> None:
    """Write one run that averages what several find likely, each as much as other records say."""
    from ult.trainer.average import average as write

    write(runs, out, validation=validation, force=force)

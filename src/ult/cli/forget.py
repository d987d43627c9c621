"""`ult forget`: find records, and take them out of runs, shards and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Force, RunFolder

Rows = Annotated[
    list[Path],
    typer.Option("--rows", metavar="GONE.rows", help="What to forget, as `ult forget find` wrote it; repeatable."),
]
_MORE = "Shards that the run was trained on: "


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

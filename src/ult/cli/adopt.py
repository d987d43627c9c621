"""`ult adopt`: make a run of a model that another trainer wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Force


def adopt(
    model: Annotated[
        Path,
        typer.Argument(help="A Hugging Face folder: config.json and model.safetensors.", show_default=False),
    ],
    shards: Annotated[list[Path], typer.Option("--shards", "-s", help="The shards that it was trained on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    context: Annotated[
        int | None, typer.Option(help="Ids that the run sees at once; by default 128, or what the model has room for.")
    ] = None,
    force: Force = False,
) -> None:
    """Make a run of a causal model that another trainer wrote, to evaluate, audit, release and generate with."""
    from ult.cli.console import note, say
    from ult.trainer.adopt import adopt as write

    metrics = write(model, shards, out, context=context, force=force).metrics
    table = metrics["shards"][0]["table"]
    say(f"{out}: {metrics['parameters']:,} weights, {metrics['context']} ids at once, for shards of table {table}")
    note(f"metrics.json says what is unknown of it: {'; '.join(metrics['adopted']['unknown'])}")
    say(f"next: ult evaluate {out} {shards[0]}")

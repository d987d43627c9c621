"""`ult distil`: one small run from what several runs, or the members of one, find likely together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.options import Force
from ult.cli.train import recipe_of, with_options
from ult.trainer.options import CHECKS

_OF_TEACHER = ("task", "rows_per_table", "document_mask", "modality_token", "pool", "attention")
_WITHOUT = ("epsilon", "delta", "clip", "secure_random", "members", "member_records", "label_smoothing",
            "class_weights", "goldfish", "restrain_ngrams")  # fmt: skip


@with_options("validation", without=(*_OF_TEACHER[:4], *_WITHOUT))
def distil(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs of one table, with members or without: the probabilities of all are averaged.", metavar="RUN..."
        ),
    ],
    shards: Annotated[
        list[Path],
        typer.Option(
            help="Shards of the runs' table to learn on: what the runs were trained on, others, or what ult generate "
            "wrote; repeatable."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Options by name, as ult train --write-config writes them."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with an interrupted training; as --resume auto, also begin one.")
    ] = False,
    resume_auto: Annotated[bool, typer.Option("--resume-auto", hidden=True)] = False,
    force: Force = False,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            rich_help_panel=CHECKS, help="Shards of the same table to evaluate on; the run keeps the best weights."
        ),
    ] = None,
    without: Annotated[
        list[Path] | None,
        typer.Option(metavar="GONE.rows", help="Leave out these records, as `ult forget find` names them; repeatable."),
    ] = None,
    **options: Any,
) -> None:
    """Train one run on the averaged probabilities of others, in place of what the records say."""
    from ult.trainer.distil import known_options, learn

    learn(
        runs,
        shards,
        out,
        recipe_of(config, options, known_options(runs)),
        validation=validation,
        without=without,
        resume="auto" if resume_auto else resume,
        force=force,
    )

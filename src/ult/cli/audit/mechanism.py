"""`ult audit mechanism`: test by many trials whether the code keeps what `--epsilon` promises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Force
from ult.host.free import check_free


def mechanism(
    of: Annotated[
        list[str] | None,
        typer.Option(help="table or bins (ult fit), or training (ult train); repeatable, by default all."),
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="The promise; by default 1 with 4 patches per record, and 8 with 1.")
    ] = None,
    delta: Annotated[float, typer.Option(help="The promise; a smaller one needs more trials.")] = 0.05,
    patches_per_record: Annotated[
        int | None, typer.Option(min=1, help="For tables, with --epsilon; by default 4.")
    ] = None,
    records: Annotated[
        int | None, typer.Option(min=2, help="For tables; by default as few as the threshold allows.")
    ] = None,
    trials: Annotated[
        int, typer.Option(min=2, help="Fits with one record and as many without; half as many trainings.")
    ] = 4000,
    json: Annotated[Path | None, typer.Option("--json", help="A file for all figures.")] = None,
    force: Force = False,
) -> None:
    """Fit and train many times with one record and without, and compute lower bounds on epsilon and delta.

    The exit status is 1 if they refute the promise.
    """
    from ult.audit.mechanism.audit import MECHANISMS
    from ult.audit.on_files import audit_mechanism
    from ult.cli.console import facts, say
    from ult.host.bar import stages

    if json is not None:
        check_free(json, force=force, option="--json")
    with stages("auditing") as progress:
        audit = audit_mechanism(
            of or MECHANISMS,
            epsilon=epsilon,
            delta=delta,
            patches_per_record=patches_per_record,
            records=records,
            trials=trials,
            progress=progress,
        )
    if json is not None:
        audit.save(json, force=force)
    facts(audit.figures)
    if audit.document["refuted"]:
        say("the code does not keep its promise: do not rely on --epsilon, and report this as a bug")
        raise SystemExit(1)

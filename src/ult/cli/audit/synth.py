"""`ult audit synth`: how true synthetic records are, what they are good for, and what they betray of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.options import Drop, FieldForm, Force, forms_of
from ult.cli.reading import READ, Reading, reads_files
from ult.host.free import check_free


@reads_files("layer", "window", "layout", "query", "skip_unreadable")
def synth(
    synthetic: Annotated[
        list[str], typer.Argument(metavar="SYNTHETIC", help="Files of synthetic records, whoever made them.")
    ],
    real: Annotated[list[str], typer.Option(help="Files of the records that they were made from; repeatable.")],
    held_out: Annotated[
        list[str] | None,
        typer.Option(help="Files of real records that their maker never saw; without, little can be told; repeatable."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="A column to predict: trains on synthetic records, and tests on held-out ones.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="Compare only this column; repeatable.")
    ] = None,
    drop: Drop = None,
    form: FieldForm = None,
    unit: Annotated[
        str, typer.Option(help="Rows of real records with one value here are of one person, who is told as a whole.")
    ] = "",
    epsilon: Annotated[
        float | None, typer.Option(help="What the maker claims, where no .synth.json beside SYNTHETIC says it.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="With --epsilon; by default 0.")] = None,
    canaries: Annotated[
        Path | None,
        typer.Option(help="Texts with random digits that were planted among the real records, a line each."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed compares the same records.")] = 0,
    reading: Reading = READ,
    json: Annotated[Path | None, typer.Option("--json", help="A file for all figures.")] = None,
    report: Annotated[Path | None, typer.Option(help="A file for the page: .html.")] = None,
    force: Force = False,
) -> None:
    """Say whether synthetic records copy real ones, beside held-out records, and how true and useful they are.

    The exit status is 0 whatever the verdict, which is in the JSON and on the page.
    """
    from ult.audit.synth.audit import audit_synth
    from ult.cli.console import facts, note, say
    from ult.host.bar import stages

    for option, path in (("--json", json), ("--report", report)):
        if path is not None:
            check_free(path, force=force, option=option)
    with stages("auditing") as progress:
        audit = audit_synth(
            synthetic,
            real,
            held_out=held_out,
            label=label,
            column=column or (),
            drop=drop or (),
            forms=forms_of(form),
            unit=unit,
            epsilon=epsilon,
            delta=delta,
            canaries=canaries,
            seed=seed,
            reading=reading,
            report=report,
            force=force,
            progress=progress,
        )
    if json is not None:
        audit.save(json, force=force)
    facts(audit.figures)
    if report is not None:
        say(f"{report}: open it in a browser")
    for line in audit.notes:
        note(line)

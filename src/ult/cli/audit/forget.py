"""`ult audit forget`: what a run that is said to have forgotten records still knows of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force, RunFolder
from ult.host.free import check_free


def forget(
    run: RunFolder,
    rows: Annotated[list[Path], typer.Option(help="The file of `ult forget find` that names the records; repeatable.")],
    shards: Annotated[list[Path], typer.Option(help="Shards that hold them; repeatable.")],
    nonmembers: Annotated[
        list[Path], typer.Option(help="Shards of the same kind that no run saw, to compare with; repeatable.")
    ],
    retrained: Annotated[
        Path, typer.Option(metavar="RUN", help="A run trained again without them: `ult train --without`.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORGOT:RETRAINED",
            help="A further run that forgot by the same method, and one retrained, of another seed; 7 or more add the "
            "likelihood-ratio test of single records; repeatable.",
        ),
    ] = None,
    before: Annotated[
        Path | None, typer.Option(metavar="RUN", help="The run as it was: adds how far records come back.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table, to find forgotten canaries.")
    ] = None,
    alternatives: Annotated[
        int, typer.Option(min=10, help="Canaries: alternatives among which each is ranked.")
    ] = 1000,
    relearn_steps: Annotated[
        int, typer.Option(min=0, help="Steps of learning again, by which what is only hidden comes back; 0: none.")
    ] = 32,
    most: Annotated[int, typer.Option(min=10, help="Kept records, and nonmembers, to read at most.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Records in a batch.")] = 16,
    json: Annotated[Path | None, typer.Option("--json", help="A file for all figures.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="A file for the attacks' ROC curves, on log axes.")] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Measure what a run that is said to have forgotten still knows, beside one retrained without the records.

    The exit status is 0 whatever the verdict, which is the first line and in --json.
    """
    from ult.audit.forget.on_files import audit_forget
    from ult.cli.console import facts
    from ult.host.bar import stages

    for option, path in (("--json", json), ("--png", png)):
        if path is not None:
            check_free(path, force=force, option=option)
    secret = load_table(table, passphrase_file, identity) if table else None
    with stages("auditing", named=True) as progress:
        audit = audit_forget(
            run,
            rows,
            shards,
            nonmembers,
            retrained,
            pairs=pairs or (),
            before=before,
            table=secret,
            alternatives=alternatives,
            relearn_steps=relearn_steps,
            most=most,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
        )
    facts(audit.figures)
    if json is not None:
        audit.save(json, force=force)
    if png is not None:
        audit.draw(png, force=force)

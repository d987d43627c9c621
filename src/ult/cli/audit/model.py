"""`ult audit model` and `ult audit table`: what a run or a table reveals about the records that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import (
    Column,
    Force,
    RunFolder,
)
from ult.cli.reading import READ, Reading, reads_files
from ult.host.free import check_free

if TYPE_CHECKING:
    from ult.audit.result import Audit

JsonFile = Annotated[Path | None, typer.Option("--json", help="A file for all figures.")]
PngFile = Annotated[Path | None, typer.Option("--png", help="A file for the attacks' ROC curves, on log axes.")]
Delta = Annotated[
    float | None,
    typer.Option(help="The delta of the lower bounds on epsilon; by default that of the promise, else 1e-5."),
]


def model(
    run: RunFolder,
    members: Annotated[list[Path], typer.Option(help="Shards that the run was trained on; repeatable.")],
    nonmembers: Annotated[
        list[Path] | None, typer.Option(help="Shards of the same kind that it never saw; repeatable.")
    ] = None,
    others: Annotated[list[Path] | None, typer.Option(hidden=True)] = None,
    targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards of the members' targets; repeatable.")
    ] = None,
    nonmember_targets: Annotated[
        list[Path] | None, typer.Option(help="seq2seq: shards of the nonmembers' targets; repeatable.")
    ] = None,
    reference_run: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A run on the same table, not trained on members; adds attacks; repeatable."),
    ] = None,
    shadows: Annotated[
        int,
        typer.Option(min=0, help="Runs to train by the same recipe on halves of both sides; adds the attack LiRA."),
    ] = 0,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table; adds an attack, and finds canaries.")
    ] = None,
    canaries: Annotated[
        int | None,
        typer.Option(min=0, help="With --table: how many of the planted canaries to measure; by default all."),
    ] = None,
    alternatives: Annotated[int, typer.Option(help="Canaries: alternatives among which each is ranked.")] = 1000,
    prefix_ids: Annotated[int, typer.Option(help="Extraction: ids of a record that are given.")] = 50,
    suffix_ids: Annotated[int, typer.Option(help="Extraction: ids that the run must continue with.")] = 50,
    samples: Annotated[int, typer.Option(min=0, help="Extraction: continuations to draw; 0: only greedy.")] = 10,
    soft_prompt: Annotated[
        int,
        typer.Option(min=0, help="Extraction: prompt vectors to tune on half of the members; 0: none."),
    ] = 0,
    delta: Delta = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same alternatives and samples.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Records in a batch.")] = 16,
    json: JsonFile = None,
    png: PngFile = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Say what a run betrays of records: membership, extraction, and exposure of planted canaries."""
    from ult.audit.on_files import audit_model
    from ult.cli.console import note
    from ult.errors import InvalidConfig
    from ult.host.bar import stages

    unseen = [*(nonmembers or []), *(others or [])]
    if not unseen:
        raise InvalidConfig("there is nothing to compare the members with", hint="--nonmembers SHARDS")
    if canaries and table is None:
        raise InvalidConfig("canaries can only be found with the owner's table", hint="--table T.ult")
    _check_places(json, png, force=force)
    secret = load_table(table, passphrase_file, identity) if table else None
    with stages("auditing", named=True) as progress:
        audit = audit_model(
            run,
            members,
            unseen,
            targets=targets,
            nonmember_targets=nonmember_targets,
            reference_runs=reference_run or [],
            shadows=shadows,
            table=secret,
            canaries=canaries,
            alternatives=alternatives,
            prefix_ids=prefix_ids,
            suffix_ids=suffix_ids,
            samples=samples,
            soft_prompt=soft_prompt,
            delta=delta,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
            notice=note,
        )
    _tell(audit, json, png, force=force)


@reads_files("query")
def table(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A table, as `ult fit` wrote it.")],
    members: Annotated[list[str], typer.Option(help="Files of records that it was fitted on; repeatable.")],
    nonmembers: Annotated[
        list[str] | None, typer.Option(help="Files of other records of the same kind; repeatable.")
    ] = None,
    others: Annotated[list[str] | None, typer.Option(hidden=True, help="The same, by its older name.")] = None,
    column: Column = None,
    reading: Reading = READ,
    delta: Delta = None,
    json: JsonFile = None,
    png: PngFile = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Measure what a table reveals about the records that it was fitted on: membership inference by its phrases."""
    from ult.audit.on_files import audit_table
    from ult.cli.console import counting

    _check_places(json, png, force=force)
    secret = load_table(table, passphrase_file, identity)
    with counting("auditing"):
        audit = audit_table(
            secret,
            members,
            _nonmembers(nonmembers, others),
            column=column,
            reading=reading,
            delta=delta,
        )
    _tell(audit, json, png, force=force)


def _check_places(json: Path | None, png: Path | None, *, force: bool) -> None:
    for option, path in (("--json", json), ("--png", png)):
        if path is not None:
            check_free(path, force=force, option=option)


def _nonmembers(given: list[Any] | None, older: list[Any] | None) -> list[Any]:
    from ult.errors import InvalidConfig

    if not (given or older):
        raise InvalidConfig("there is nothing to compare members with", hint="--nonmembers with records not used")
    return [*(given or ()), *(older or ())]


def _tell(audit: Audit, json: Path | None, png: Path | None, *, force: bool) -> None:
    """Print the figures and notes of an audit, and write the files that were asked for."""
    from ult.cli.console import facts, note

    facts(audit.figures)
    if json is not None:
        audit.save(json, force=force)
    if png is not None:
        audit.draw(png, force=force)
    for line in audit.notes:
        note(line)

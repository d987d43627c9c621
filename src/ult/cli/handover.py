"""`ult release` and `ult attach`: export a run, with or without its embedding rows, and add rows to it again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, Recipients, key_of, load_table, new_key
from ult.cli.options import Force, RunFolder
from ult.errors import InvalidConfig


def release(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to give away.")],
    audit: Annotated[
        Path | None, typer.Option(help="The audit.json of this run that `ult audit release` wrote.")
    ] = None,
    accept_risk: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Release without an audit, or despite a red or incomplete one; the reason is recorded in the run.",
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The table that scored the audits, to check their seals.")
    ] = None,
    private_embeddings: Annotated[
        bool, typer.Option("--private-embeddings", help="Export the run without its embedding rows.")
    ] = False,
    rows: Annotated[Path | None, typer.Option(help="With --private-embeddings: the secret file for the rows.")] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    recipient: Recipients = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Store the rows in the clear.")] = False,
    force: Force = False,
) -> None:
    """Export a run for others, optionally without its embedding rows."""
    if private_embeddings != (rows is not None):
        raise InvalidConfig(
            "--private-embeddings and --rows, the secret file for the rows, go together",
            hint="--private-embeddings --rows ROWS.age",
        )
    from ult.audit.release.permit import allowed
    from ult.cli.console import count, note, say
    from ult.owner.handover.withhold import publish, withhold

    if table is not None and audit is None:
        raise InvalidConfig("a table was given to check seals, but no audit", hint="--audit AUDIT.json")
    secret = None if table is None else load_table(table, passphrase_file, identity)
    audited = allowed(audit, run, private_embeddings=private_embeddings, accepted=accept_risk, table=secret)
    if rows is None:
        say(f"{out}: {count(publish(run, out, audited=audited, force=force), 'weight')}, rows among them")
    else:
        key = new_key(passphrase_file, recipient, no_encryption)
        told = withhold(run, out, rows, audited=audited, force=force, **key)
        say(f"{out}: a body of {count(told['body'], 'weight')}, no rows")
        say(f"{rows}: rows of {count(told['rows'], 'weight')}, {'NOT encrypted' if no_encryption else 'encrypted'}")
        note("this is no guarantee: docs/threats.md says what receivers of such bodies could read")
    if accept_risk is not None:
        note(f"{out} says that it was released at your risk, and why")


def attach(
    body: Annotated[Path, typer.Argument(metavar="BODY", help="A run without rows, as `ult release` wrote it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    rows: Annotated[Path | None, typer.Option(help="For the owner: the secret file with its rows.")] = None,
    learn: Annotated[
        list[Path] | None,
        typer.Option(help="For a receiver: shards to learn new rows from, while the body stays as it is."),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(help="Of a run with rows per table: shards of the table whose rows to take, and no others."),
    ] = None,
    steps: Annotated[int, typer.Option(help="With --learn: optimizer steps.")] = 400,
    batch_size: Annotated[int, typer.Option(help="With --learn: blocks per step.")] = 16,
    context: Annotated[int, typer.Option(help="With --learn: ids that the model sees at once.")] = 128,
    seed: Annotated[int, typer.Option(help="With --learn: the seed of rows, order and everything else.")] = 0,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Add embedding rows to a body: its own, from the secret file, new ones, learned from shards, or one table's."""
    if sum(map(bool, (rows, learn, shards))) != 1:
        raise InvalidConfig(
            "expected either rows to put back or shards to learn them from, or shards of a table that it has rows of",
            hint="--rows, --learn or --shards",
        )
    if rows is not None:
        from ult.cli.console import say
        from ult.owner.handover.withhold import attach as put_back

        put_back(body, out, rows, force=force, **key_of(rows, passphrase_file, identity))
        say(f"{out}: {body} with its rows")
    elif shards is not None:
        from ult.cli.console import say
        from ult.trainer.take import take

        table = take(body, shards, out, force=force)
        say(f"{out}: {body} with the rows of table {table} alone")
    elif learn:
        from ult.trainer.recipe import Recipe
        from ult.trainer.train import train

        recipe = Recipe(from_run=body, embeddings="fresh", freeze_body=steps, steps=steps, batch_size=batch_size,
                        context=context, seed=seed)  # fmt: skip
        train(learn, out, recipe, force=force)

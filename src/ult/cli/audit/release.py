"""`ult audit release`: the report on what a receiver could learn, and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force
from ult.host.free import check_free

JsonFile = typer.Option(help="The JSON file of that audit.")


def release(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for audit.json and audit.html.")],
    shards: Annotated[list[Path] | None, typer.Option(help="Shards that the receiver will hold; repeatable.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run that the receiver will hold.")] = None,
    private_embeddings: Annotated[
        bool, typer.Option("--private-embeddings", help="The run is released without its embedding rows.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The table, if the receiver will hold that too.")
    ] = None,
    code_audit: Annotated[Path | None, JsonFile] = None,
    model_audit: Annotated[Path | None, JsonFile] = None,
    table_audit: Annotated[Path | None, JsonFile] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="The file of `ult audit code --pairs`; adds OUT-owner.html, with records.")
    ] = None,
    giver: Annotated[str | None, typer.Option(metavar="WHO", help="Who gives, to state on the page.")] = None,
    receiver: Annotated[str | None, typer.Option(metavar="WHO", help="Who receives, to state on the page.")] = None,
    purpose: Annotated[str | None, typer.Option(metavar="WHAT", help="For what purpose, to state on the page.")] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Report what a receiver could learn from what it will hold, by the other audits: a page and a verdict.

    The exit status is 0 whatever the verdict, which is in audit.json and which `ult release` checks.
    """
    from ult.audit.release.folder import AUDIT, NEXT, audit_release, owners_copy
    from ult.cli.console import counting, facts, note, say

    check_free(out, AUDIT, force=force)
    if pairs is not None:
        check_free(owners_copy(out), force=force)
    secret = None if table is None else load_table(table, passphrase_file, identity)
    with counting("reading what is given away"):
        audit = audit_release(
            out,
            shards=shards or (),
            run=run,
            private_embeddings=private_embeddings,
            table=secret,
            code_audit=code_audit,
            model_audit=model_audit,
            table_audit=table_audit,
            pairs=pairs,
            giver=giver,
            receiver=receiver,
            purpose=purpose,
            force=force,
        )
    facts(audit.figures)
    say(f"{out / 'audit.html'}: open it in a browser; {out / 'audit.json'} has every figure")
    for line in audit.notes:
        note(line)
    say(f"next: {NEXT[str(audit.document['verdict'])]}")

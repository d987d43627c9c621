"""`ult audit release`: the page that says what a receiver could learn, and the verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.keys import Identities, PassphraseFile, load_table
from ult.cli.options import Force
from ult.errors import writing
from ult.host.atomic import Claim, publish_together
from ult.host.free import Kind, check_free

AUDIT = Kind(
    "an audit",
    lambda folder: (folder / "audit.json").is_file(),
    lambda folder: sorted({path.name for path in folder.iterdir()} - {"audit.html", "audit.json"}),
)
NEXT = {
    "red": "do what stands under each red finding, and audit again",
    "amber": "measure what was not, by the commands above, and decide on the rest with whoever answers for the records",
    "green": "show the page to whoever answers for the records; it says what was not looked at",
}
JsonFile = typer.Option(help="What the audit of that wrote.")


def release(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for audit.json and audit.html.")],
    shards: Annotated[list[Path] | None, typer.Option(help="Shards that the receiver will hold; repeatable.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run that the receiver will hold.")] = None,
    private_embeddings: Annotated[
        bool, typer.Option("--private-embeddings", help="Of the run the body alone; its rows stay with you.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The table, if the receiver will hold that too.")
    ] = None,
    code_audit: Annotated[Path | None, JsonFile] = None,
    model_audit: Annotated[Path | None, JsonFile] = None,
    table_audit: Annotated[Path | None, JsonFile] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="What `ult audit code --pairs` wrote: adds OUT-owner.html, which holds records.")
    ] = None,
    giver: Annotated[str | None, typer.Option(metavar="WHO", help="Who gives, for the page.")] = None,
    receiver: Annotated[str | None, typer.Option(metavar="WHO", help="Who receives, for the page.")] = None,
    purpose: Annotated[str | None, typer.Option(metavar="WHAT", help="What for, for the page.")] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Say what a receiver could learn from what it will hold, by what the audits found: a page and a verdict.

    The exit status is 0 whatever the verdict: audit.json has it, and `ult release` goes by it.
    """
    from ult.audit.release.beside import beside
    from ult.audit.release.candidate import assemble
    from ult.audit.release.page import render
    from ult.cli.console import counting, facts, note, say

    owner = out.absolute().with_name(f"{out.absolute().name}-owner.html")
    check_free(out, AUDIT, force=force)
    if pairs is not None:
        check_free(owner, force=force)
    secret = None if table is None else load_table(table, passphrase_file, identity)
    with counting("reading what is given away"):
        audit = assemble(
            shards=shards or (),
            run=run,
            private_embeddings=private_embeddings,
            table=secret,
            code_audit=code_audit,
            model_audit=model_audit,
            table_audit=table_audit,
            giver=giver,
            receiver=receiver,
            purpose=purpose,
        )
    private = None if pairs is None else render(audit, beside(pairs, audit))
    _write(out, {"audit.html": render(audit), "audit.json": json.dumps(audit, indent=1) + "\n"}, owner, private)
    facts(_told(audit))
    say(f"{out / 'audit.html'}: open it in a browser; {out / 'audit.json'} has every figure")
    if private is not None:
        note(f"{owner.name}, beside {out}, contains records: it is for you alone, never give it away")
    elif os.path.lexists(owner):
        note(f"{owner.name} is of an earlier audit, and contains records")
    say(f"next: {NEXT[audit['verdict']]}")


def _write(out: Path, texts: dict[str, str], owner: Path, private: str | None) -> None:
    """Write the folder and, with what it says, the owner's copy, of mode 0600 and not in the folder: all or none."""
    with ExitStack() as claims, writing(out):
        folder = claims.enter_context(Claim(out))
        new = folder.folder / "new"
        new.mkdir()
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8", errors="replace")  # names of files may be no text
        outputs = [(folder, new, False)]
        if private is not None:
            copy = claims.enter_context(Claim(owner))
            (copy.folder / "new").write_text(private, encoding="utf-8", errors="replace")
            outputs.insert(0, (copy, copy.folder / "new", True))
        publish_together(*outputs)


def _told(audit: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give what the terminal shows: the verdict, the three sentences, then the findings, the worst first."""
    from ult.audit.release.page import SO
    from ult.audit.release.plain import sentences
    from ult.audit.release.verdict import LEVELS

    yield "verdict", f"{audit['verdict']}: {SO[audit['verdict']]}"
    yield from (("", sentence) for sentence in sentences(audit))
    for level in reversed(LEVELS):
        for one in (one for one in audit["findings"] if one["level"] == level):
            yield level, one["found"]
            if one["change"]:
                yield "", f"to do: {one['change']}"

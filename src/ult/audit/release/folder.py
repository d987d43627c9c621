"""`ult.audit.audit_release`: the folder with the report on what a receiver could learn, and the verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ult.audit.release.beside import beside
from ult.audit.release.candidate import assemble
from ult.audit.release.finding import mark, worst_first
from ult.audit.release.page import SO, render
from ult.audit.release.plain import sentences
from ult.audit.result import Audit
from ult.errors import writing
from ult.host import arguments
from ult.host.arguments import KEYS, checked, path, switch
from ult.host.atomic import Claim, publish_together
from ult.host.free import Kind, check_free
from ult.owner.inputs import Secret, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run

AUDIT = Kind(
    "an audit",
    lambda folder: (folder / "audit.json").is_file(),
    lambda folder: sorted({path.name for path in folder.iterdir()} - {"audit.html", "audit.json"}),
)
NEXT = {
    "red": "do what each red finding asks for, and audit again",
    "amber": "measure what was not, by the commands above; decide on the rest with whoever is in charge of the records",
    "green": "show the page to whoever is in charge of the records; it says what was not measured",
}


@checked(
    out=path,
    shards=folders.folders_or_none,
    run=folders.run_argument,
    private_embeddings=switch,
    table=table_argument,
    code_audit=path,
    model_audit=path,
    table_audit=path,
    pairs=path,
    giver=arguments.text(),
    receiver=arguments.text(),
    purpose=arguments.text(),
    **KEYS,
    force=switch,
)
def audit_release(
    out: str | Path,
    *,
    shards: Folders = (),
    run: Run | str | Path | None = None,
    private_embeddings: bool = False,
    table: Secret | None = None,
    code_audit: str | Path | None = None,
    model_audit: str | Path | None = None,
    table_audit: str | Path | None = None,
    pairs: str | Path | None = None,
    giver: str | None = None,
    receiver: str | None = None,
    purpose: str | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
) -> Audit:
    """Report what a receiver could learn from what it will hold, by the other audits: a page and a verdict.

    The arguments are those of `ult audit release`. `out` is the folder for `audit.html` and `audit.json`. With `pairs`,
    the file that `audit_code` wrote, there is also `OUT-owner.html` beside the folder, which contains records. The
    `*_audit` are files of `Audit.save`. Raises `InvalidConfig`, `MissingSource`, `FormatError`, `OutputExists` or
    `OutputError`.

    For example:

        ult.audit.audit_release("audit", shards="notes.shards", code_audit="code.json")
    """
    out = Path(out)
    owner = owners_copy(out)
    check_free(out, AUDIT, force=force)
    if pairs is not None:
        check_free(owner, force=force)
    key = None if table is None else secret(table, passphrase, identities)
    audit = assemble(
        shards=folders.paths(shards),
        run=None if run is None else folders.run_path(run),
        private_embeddings=private_embeddings,
        table=key,
        code_audit=code_audit,
        model_audit=model_audit,
        table_audit=table_audit,
        giver=giver,
        receiver=receiver,
        purpose=purpose,
    )
    private = None if pairs is None else render(audit, beside(pairs, audit))
    found = Audit.made("release", audit, list(_figures(audit)), notes=_notes(out, owner, private))
    write_audit(out, {"audit.html": render(audit), "audit.json": found.to_json()}, owner, private)
    return found


def owners_copy(out: Path) -> Path:
    """Return where the owner's copy of the page is: beside the folder, not in it."""
    return out.absolute().with_name(f"{out.absolute().name}-owner.html")


def _notes(out: Path, owner: Path, private: str | None) -> list[str]:
    if private is not None:
        return [f"{owner.name}, beside {out}, contains records: it is for you only, never give it away"]
    return [f"{owner.name} is from an earlier audit, and contains records"] if os.path.lexists(owner) else []


def write_audit(out: Path, texts: dict[str, str], owner: Path, private: str | None) -> None:
    """Write the folder, and the owner's copy with mode 0600 outside the folder: all or nothing."""
    with ExitStack() as claims, writing(out):
        folder = claims.enter_context(Claim(out))
        new = folder.folder / "new"
        new.mkdir()
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8", errors="replace")  # file names may not be valid text
        outputs = [(folder, new, False)]
        if private is not None:
            copy = claims.enter_context(Claim(owner))
            (copy.folder / "new").write_text(private, encoding="utf-8", errors="replace")
            outputs.insert(0, (copy, copy.folder / "new", True))
        publish_together(*outputs)


def _figures(audit: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the lines for the terminal: the verdict, the three sentences, then the findings, worst first."""
    yield "verdict", f"{audit['verdict']}: {SO[audit['verdict']]}"
    yield from (("", sentence) for sentence in sentences(audit))
    for finding in worst_first(audit["findings"]):
        yield mark(finding), finding["found"]
        if finding["change"]:
            yield "", f"to do: {finding['change']}"

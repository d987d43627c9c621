"""Audit a run that is said to have forgotten, as `ult audit forget` does: paths in, an `Audit` out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ult.audit import words
from ult.audit.result import Audit
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import KEYS, checked, integer, one_or_more
from ult.host.bar import shown
from ult.host.progress import Progress, on_stderr
from ult.owner.inputs import Secret, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.gone import Gone, as_gones, gone_argument
from ult.public.run import Run


@checked(
    run=folders.run_argument,
    rows=gone_argument,
    shards=folders.folders_argument,
    nonmembers=folders.folders_argument,
    retrained=folders.run_argument,
    pairs=one_or_more(arguments.text("FORGOT:RETRAINED, two runs"), "pairs of runs, FORGOT:RETRAINED", none=True),
    before=folders.run_argument,
    table=table_argument,
    alternatives=integer(10),
    relearn_steps=integer(0),
    most=integer(10),
    seed=integer(),
    batch_size=integer(1),
    **KEYS,
    progress=arguments.call,
)
@shown("auditing")
def audit_forget(
    run: Run | str | Path,
    rows: Gone | str | Path | Sequence[Gone | str | Path],
    shards: Folders,
    nonmembers: Folders,
    retrained: Run | str | Path,
    *,
    pairs: str | Sequence[str] = (),
    before: Run | str | Path | None = None,
    table: Secret | None = None,
    alternatives: int = 1000,
    relearn_steps: int = 32,
    most: int = 500,
    seed: int = 0,
    batch_size: int = 16,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    progress: Progress = on_stderr,
) -> Audit:
    """Measure what a run that is said to have forgotten records still knows of them, beside a run retrained without.

    The arguments are those of `ult audit forget`. `rows` names the records of `shards`, as `ult forget find` wrote it;
    `nonmembers` are shards of the same kind that no run saw. The owner's `table` adds the canaries, and seals the
    document. The first figure is the `verdict`. Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary` or
    `TrainingError`.

    For example, after `ult forget run` wrote "run2" and `ult train --without gone.rows` "again":

        audit = ult.audit.audit_forget("run2", "gone.rows", "notes.shards", "others.shards", "again", before="run")
    """
    from ult.audit.forget.audit import audit_forget as measure

    key = None if table is None else secret(table, passphrase, identities)
    found, curves = measure(
        folders.run_path(run),
        folders.paths(shards),
        as_gones(rows),
        folders.paths(nonmembers),
        folders.run_path(retrained),
        pairs=[_pair(one) for one in ([pairs] if isinstance(pairs, str) else pairs)],
        before=None if before is None else folders.run_path(before),
        table=key,
        alternatives=alternatives,
        steps=relearn_steps,
        most=most,
        seed=seed,
        batch_size=batch_size,
        tell=progress,
    )
    return Audit.made("forget", found, words.of_forget(found), table=key, curves=curves)


def _pair(text: str) -> tuple[Path, Path]:
    forgot, colon, retrained = text.partition(":")
    if not (colon and forgot and retrained) or ":" in retrained:
        raise InvalidConfig(f"pair is {text!r:.80}; expected FORGOT:RETRAINED, two runs", hint="--pairs run2:again2")
    return Path(forgot), Path(retrained)

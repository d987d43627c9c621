"""Audit a model, a table or the mechanisms, as `ult audit` does: paths in, an `Audit` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.audit import words
from ult.audit.mechanism.audit import DELTA, MECHANISMS, SETTINGS, TRIALS
from ult.audit.mechanism.audit import audit_mechanism as try_mechanism
from ult.audit.result import Audit
from ult.audit.table import audit_table as attack_table
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import KEYS, checked, integer, number
from ult.host.bar import shown
from ult.host.progress import Notice, Progress, on_stderr, unheard
from ult.owner.inputs import Inputs, Secret, opened, schema_of, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run


@checked(
    run=folders.run_argument,
    members=folders.folders_argument,
    nonmembers=folders.folders_argument,
    targets=folders.folders_argument,
    nonmember_targets=folders.folders_argument,
    reference_runs=folders.runs_argument,
    shadows=integer(0),
    table=table_argument,
    canaries=integer(0),
    alternatives=integer(1),
    prefix_ids=integer(1),
    suffix_ids=integer(1),
    samples=integer(0),
    soft_prompt=integer(0),
    delta=number,
    seed=integer(),
    batch_size=integer(1),
    **KEYS,
    progress=arguments.call,
    notice=arguments.call,
)
@shown("auditing")
def audit_model(
    run: Run | str | Path,
    members: Folders,
    nonmembers: Folders,
    *,
    targets: Folders | None = None,
    nonmember_targets: Folders | None = None,
    reference_runs: Sequence[Run | str | Path] = (),
    shadows: int = 0,
    table: Secret | None = None,
    canaries: int | None = None,
    alternatives: int = 1000,
    prefix_ids: int = 50,
    suffix_ids: int = 50,
    samples: int = 10,
    soft_prompt: int = 0,
    delta: float | None = None,
    seed: int = 0,
    batch_size: int = 16,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    progress: Progress = on_stderr,
    notice: Notice = unheard,
) -> Audit:
    """Measure what a run reveals about its records: membership inference, extraction, and planted canaries.

    The arguments are those of `ult audit model`. The run was trained on the shards `members`, and not on the shards
    `nonmembers`, which hold records of the same kind. The owner's `table` adds an attack and the canaries, and seals
    the document. `notice` is called with a sentence on what `shadows` will cost. Raises `InvalidConfig`, `WrongTable`,
    `WrongVocabulary` or `TrainingError`.

    For example, after `ult.train` on "in.shards":

        audit = ult.audit.audit_model("run", "in.shards", "out.shards", table="notes.ult", passphrase=getpass)
        audit.save("model.json")
    """
    from ult.audit.model.audit import audit_model as attack_model

    path = folders.run_path(run)
    if canaries and table is None:
        raise InvalidConfig("canaries can only be found with the owner's table", hint="--table T.ult")
    key = None if table is None else secret(table, passphrase, identities)
    if shadows:
        from ult.audit.model.shadows import cost

        notice(cost(Run.open(path), shadows))
    found, curves = attack_model(
        path,
        folders.paths(members),
        folders.paths(nonmembers),
        targets=None if targets is None else folders.paths(targets),
        nonmember_targets=None if nonmember_targets is None else folders.paths(nonmember_targets),
        reference_runs=list(map(folders.run_path, reference_runs)),
        shadows=shadows,
        table=key,
        canaries=canaries,
        alternatives=alternatives,
        prefix=prefix_ids,
        suffix=suffix_ids,
        samples=samples,
        soft_prompt=soft_prompt,
        delta=delta,
        seed=seed,
        batch_size=batch_size,
        tell=progress,
    )
    return Audit.made("model", found, words.of_model(found), table=key, notes=found["notes"], curves=curves)


@checked(
    table=table_argument,
    members=arguments.inputs,
    nonmembers=arguments.inputs,
    column=arguments.COLUMNS["column"],
    reading=arguments.COLUMNS["reading"],
    delta=number,
    **KEYS,
)
def audit_table(
    table: Secret,
    members: Inputs,
    nonmembers: Inputs,
    *,
    column: str | None = None,
    reading: Mapping[str, str | float] | None = None,
    delta: float | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
) -> Audit:
    """Measure what a table reveals about the records that it was fitted on: membership inference by its phrases.

    The arguments are those of `ult audit table`. The files `members` hold records that the table was fitted on, the
    files `nonmembers` other records of the same kind; `reading` is that of `ult.fit`. Raises `InvalidConfig`,
    `WrongKey`, `SourceError` or `InvalidRecord`.

    For example:

        ult.audit.audit_table("notes.ult", "notes.txt", "others.txt", passphrase=getpass)
    """
    key = secret(table, passphrase, identities)
    of: dict[str, Any] = {
        "modality": key.codec.modality,
        "column": column,
        "schema": schema_of(key),
        "reading": reading,
    }
    groups = [opened(files, **of).records(key.codec) for files in (members, nonmembers)]
    found, curves = attack_table(key, *groups, delta=delta)
    why, taken = found["shown"]["why"], found["shown"]["taken_out"]
    notes = [f"nothing shows that members were in the fit and nonmembers were not: {why}"] if why else []
    notes += [f"{taken} nonmembers are in the fit and were taken out"] if taken else []
    return Audit.made("table", found, words.of_membership(found), table=key, notes=notes, curves=curves)


@checked(
    of=arguments.texts("the name of a mechanism"),
    epsilon=number,
    delta=number,
    patches_per_record=integer(1),
    records=integer(2),
    trials=integer(2),
    progress=arguments.call,
)
@shown("auditing")
def audit_mechanism(
    of: str | Sequence[str] = MECHANISMS,
    *,
    epsilon: float | None = None,
    delta: float = DELTA,
    patches_per_record: int | None = None,
    records: int | None = None,
    trials: int = TRIALS,
    progress: Progress = on_stderr,
) -> Audit:
    """Fit and train many times with and without one record, and compute lower bounds on epsilon and delta.

    The arguments are those of `ult audit mechanism`. The first figure is the `verdict`: "REFUTED" if the code does not
    keep what `epsilon` promises. Raises `InvalidConfig` or `MissingExtra`.

    For example, which takes some seconds:

        ult.audit.audit_mechanism(["table"], trials=200)
    """
    if patches_per_record is not None and epsilon is None:
        raise InvalidConfig("patches_per_record was given without an epsilon", hint="--epsilon 1")
    settings = SETTINGS if epsilon is None else ((epsilon, patches_per_record or 4),)
    found = try_mechanism(
        [of] if isinstance(of, str) else of,
        settings=settings,
        delta=delta,
        records=records,
        trials=trials,
        advance=lambda more: progress("auditing", more),
    )
    return Audit.made("mechanism", found, words.of_mechanism(found))

"""`ult.audit.audit_update`: compare a run with its successor, as `ult audit update` does."""

from __future__ import annotations

from pathlib import Path

from ult.audit.result import Audit
from ult.host.arguments import checked, integer
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run


@checked(
    old=folders.run_argument,
    new=folders.run_argument,
    shards=folders.folders_argument,
    old_shards=folders.folders_or_none,
    batch_size=integer(1),
    seed=integer(),
)
def audit_update(
    old: Run | str | Path,
    new: Run | str | Path,
    shards: Folders,
    *,
    old_shards: Folders | None = None,
    batch_size: int = 16,
    seed: int = 0,
) -> Audit:
    """Say what run `new` has wrong on shards that run `old` has right, the negative flips, and the reverse.

    The runs are for "classify", or both for "lm", whose predictions are ids. Both are of the table of `shards`; an
    earlier run of another table is first moved by `ult align`. Or, for classifiers, `old_shards` are the same records
    as the table of `old` encodes them. Raises `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `MissingColumn` or
    `TrainingError`.

    For example, after `ult.train` of both:

        audit = ult.audit.audit_update("january", "february", "test.shards")
        audit.document["negative"]["share"]
    """
    from ult.audit.model.update import audit_update as compare
    from ult.audit.model.update import notes, words

    found = compare(
        folders.run_path(old),
        folders.run_path(new),
        folders.paths(shards),
        old_shards=None if old_shards is None else folders.paths(old_shards),
        batch_size=batch_size,
        seed=seed,
    )
    return Audit.made("update", found, words(found), notes=notes(found))

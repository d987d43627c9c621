"""`ult.audit.audit_update`: compare a run with its successor, as `ult audit update` does."""

from __future__ import annotations

from pathlib import Path

from ult.audit.result import Audit
from ult.errors import InvalidConfig
from ult.host.arguments import KEYS, checked, integer
from ult.owner.inputs import Secret, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.public import folders
from ult.public.folders import Folders
from ult.public.run import Run


@checked(
    old=folders.run_argument,
    new=folders.run_argument,
    shards=folders.folders_argument,
    old_shards=folders.folders_or_none,
    table=table_argument,
    old_table=table_argument,
    batch_size=integer(1),
    seed=integer(),
    **KEYS,
)
def audit_update(
    old: Run | str | Path,
    new: Run | str | Path,
    shards: Folders,
    *,
    old_shards: Folders | None = None,
    table: Secret | None = None,
    old_table: Secret | None = None,
    batch_size: int = 16,
    seed: int = 0,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
) -> Audit:
    """Say what run `new` has wrong on shards that run `old` has right, the negative flips, and whether that is well.

    The runs are for "classify", or both for "lm", whose predictions are ids. Both are of the table of `shards`; an
    earlier run of another table is first moved by `ult align`. Or, for classifiers, `old_shards` are the same records
    as the table of `old` encodes them. With `old_table` and `table`, which updates it, it is told
    whether what both hold has kept its ids. The first figure is the `verdict`: green, amber or red. Raises
    `InvalidConfig`, `WrongTable`, `WrongVocabulary`, `MissingColumn` or `TrainingError`.

    For example, after `ult.train` of both:

        audit = ult.audit.audit_update("january", "february", "test.shards")
        audit.document["negative"]["share"]
    """
    from ult.audit.model.update import audit_update as compare
    from ult.audit.model.update_verdict import words

    if (table is None) != (old_table is None):
        raise InvalidConfig("one table was given; expected both, or none", hint="-t NEW.ult --old-table OLD.ult")
    both = None
    if table is not None and old_table is not None:
        both = (secret(old_table, passphrase, identities), secret(table, passphrase, identities))
    found = compare(
        folders.run_path(old),
        folders.run_path(new),
        folders.paths(shards),
        old_shards=None if old_shards is None else folders.paths(old_shards),
        tables=both,
        batch_size=batch_size,
        seed=seed,
    )
    return Audit.made("update", found, words(found), table=None if both is None else both[1])

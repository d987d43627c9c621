"""`ult.update_table`: update a table with the records of files and store it, as `ult table update` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, InvalidRecord
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked, integer, number, path, switch
from ult.host.bar import shown
from ult.host.progress import Progress, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.owner import keyfile
from ult.owner.inputs import (
    Inputs,
    Secret,
    count_clipped,
    of_clipped,
    of_metadata,
    opened,
    remarks,
    schema_of,
    secret,
    table_argument,
    texts,
)
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.pipeline import pieces
from ult.owner.pipeline.choose import choose
from ult.owner.pipeline.summing import beside
from ult.owner.table import Table
from ult.owner.updated import Changes, check_updatable, document, least_holders, update


@dataclass(frozen=True, slots=True, repr=False)
class TableUpdate(Shown):
    """A table that was updated and stored: the `table` now, the table `before`, and what `changes` between them.

    `records` new ones were counted.
    """

    path: Path
    table: Table
    before: Table
    changes: Changes
    records: int
    encrypted: bool
    told: tuple[str, ...] = ()  # remarks on the inputs

    def facts(self) -> Facts:
        """Return how many phrases kept their ids, and how many went and came; never which."""
        changes = self.changes
        unused = self.table.vocabulary.size - self.table.size
        return [
            ("file", str(self.path)),
            ("encrypted", "yes (age)" if self.encrypted else "NO"),
            ("updates", f"table {self.before.fingerprint}"),
            ("fingerprint", self.table.fingerprint),
            ("new records", f"{self.records:,}"),
            ("phrases that kept their ids", f"{changes.kept:,} of {self.before.phrases:,}"),
            ("phrases added", f"{len(changes.added):,}"),
            ("phrases freed", f"{len(changes.freed):,}"),
            ("ids left unused", f"{unused:,}"),
        ]

    def __repr__(self) -> str:
        changes = self.changes
        return (
            f"<TableUpdate {self.path}: {count(changes.kept, 'phrase')} kept, {len(changes.added):,} added, "
            f"{len(changes.freed):,} freed>"
        )

    def to_json(self) -> str:
        """Return the changes as `--json` prints them, with all phrases, which are the secret itself."""
        return json.dumps(document(self.changes, self.before, self.table), indent=1)

    def remarks(self) -> list[str]:
        """Return what the owner should know besides, in one sentence each."""
        found = list(self.told)
        if self.changes.added:
            found.append(
                f"ids of shards that the old table made mean the old phrases: encode records with {self.path}, and "
                f"move runs to it by ult align RUN -t OLD --to {self.path}"
            )
        if not self.encrypted:
            found.append(f"{self.path} is not encrypted: whoever reads it can read your shards")
        return found


@checked(
    table=table_argument,
    inputs=arguments.inputs,
    out=path,
    column=COLUMNS["column"],
    drop=arguments.texts("the name of a column"),
    canonical=switch,
    reading=COLUMNS["reading"],
    min_records=integer(1),
    decay=number,
    public=switch,
    **KEYS,
    new_passphrase=arguments.secret,
    recipients=arguments.texts("an age public key (age1...)"),
    encrypt=switch,
    workers=integer(1),
    engine=arguments.text(),
    address=arguments.text(),
    force=switch,
    progress=arguments.call,
)
@shown("updating")
def update_table(
    table: Secret,
    inputs: Inputs,
    out: str | Path,
    *,
    column: str | None = None,
    drop: Sequence[str] = (),
    canonical: bool = False,
    reading: Mapping[str, str | float] | None = None,
    min_records: int | None = None,
    decay: float = 1.0,
    public: bool = False,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    new_passphrase: Passphrase | None = None,
    recipients: Sequence[str] = (),
    encrypt: bool = True,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    force: bool = False,
    progress: Progress = on_stderr,
) -> TableUpdate:
    """Update a table with the records of files, and store the new one as `out`; the old one stays as it is.

    A phrase that both tables have has the same id in both. Phrases that the new records use take unused ids, and those
    of phrases that old and new records together use least. `decay`, from 0 to 1, is how much the occurrences that the
    old table counted weigh beside new ones; with 0 the records given are all that counts. A new phrase must be held by
    `min_records` of the new records: by default 5, or more if the table asks for more. The codec, with its columns and
    ranges, is that of the table, and the alphabet never moves, so records are read as `ult.encode` reads them.

    `passphrase` and `identities` open the table; the new one is encrypted by `new_passphrase`, by default
    `passphrase`, or to `recipients`. A table with a promise of privacy is refused, and a `public` one can be updated
    with public records only.

    Raises `InvalidConfig`, `WrongKey`, `SourceError`, `InvalidRecord`, `OutputExists`, `OutputError` or `EngineError`.

    For example, after `ult.fit` on the first month:

        updated = ult.update_table("notes.ult", "february.csv", "february.ult", column="text", passphrase=getpass)
        updated.changes.freed
    """
    chosen, out = choose(engine, address, workers), Path(out)
    keyfile.check_place(out, force=force)
    _check_apart(out, table)
    phrase = keyfile.told(passphrase)
    key = secret(table, phrase, identities)
    plain = recipients or not encrypt
    given = keyfile.told(new_passphrase) if new_passphrase is not None or plain else phrase
    storage: dict[str, Any] = {"passphrase": given, "recipients": recipients, "encrypt": encrypt}
    keyfile.encryptor(**storage)  # refuses bad arguments before any work is done
    check_updatable(key, public=public)
    layout = schema_of(key, texts(drop))
    of: dict[str, Any] = {"column": column, "canonical": canonical, "reading": reading, "engine": chosen}
    source = opened(inputs, modality=key.codec.modality, schema=layout, **of)
    if layout is None and source.fields != key.fields:
        raise InvalidRecord(
            f"the input has {len(source.fields)} value columns that are not the table's {len(key.fields)}, in order",
            hint="the columns that the table was fitted on",
        )
    source.check_apart(out)
    with beside(out, chosen) as aside:
        counts = pieces.count(
            lambda: source.pieces(pieces.PIECE_BYTES),
            key.codec,
            min_records=least_holders(key, min_records),
            engine=chosen,
            aside=aside,
            advance=lambda more: progress("updating", more),
        )
    source.check_unchanged()
    new, changes = update(key, counts, decay=decay)
    new.save(out, **storage, force=force)
    clipped, values, _ = count_clipped(key.codec, source)
    told = (*remarks(source), *of_metadata(key.codec, source), *([of_clipped(clipped, values)] if clipped else []))
    return TableUpdate(out, new, key, changes, counts.records, encrypt, told)


def _check_apart(out: Path, table: Secret) -> None:
    """Raise `InvalidConfig` if the new table would replace the old one, which runs and shards still need."""
    old = Path(table) if isinstance(table, str | Path) else None if isinstance(table, Table) else table.path
    if old is not None and out.exists() and old.exists() and out.samefile(old):
        raise InvalidConfig(
            f"{out} is the table that is updated; ult align and the old shards need it as it is",
            hint="another -o",
        )

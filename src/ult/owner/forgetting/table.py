"""`ult.forget.table`: fit a table again without records, with its own settings, and say what of the code changes.

A table depends on every record that it was fitted on: a phrase of few, a rank, a count are traces. What is fitted again
on the rest has none of them. A table with a promise of privacy needs no refit: the promise covers every record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.data import Batch, Source
from ult.data.duplicates import digest_of
from ult.errors import InvalidConfig, InvalidRecord
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked, integer, path, switch
from ult.host.bar import shown
from ult.host.progress import Progress, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.owner import keyfile
from ult.owner.inputs import Inputs, Secret, opened, remarks, schema_of, secret, table_argument, texts
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.pipeline import pieces
from ult.owner.pipeline.choose import choose
from ult.owner.table import Table


@dataclass(frozen=True, slots=True, repr=False)
class Refitted(Shown):
    """A table that was fitted again without some records, beside the one of before."""

    path: Path
    table: Table
    before: Table
    left_out: int  # records of the inputs that were not counted
    moved: int  # ids that mean another phrase now
    gone: int  # phrases that the new table lacks
    new: int  # phrases that the old one lacked
    encrypted: bool
    told: tuple[str, ...] = ()

    @property
    def same_code(self) -> bool:
        """Whether every record has the ids that it had."""
        return not (self.moved or self.gone or self.new)

    def facts(self) -> Facts:
        """Return how many ids mean something else, and how many phrases went and came; never which."""
        return [
            ("file", str(self.path)),
            ("encrypted", "yes (age)" if self.encrypted else "NO"),
            ("records counted", f"{self.table.records:,}"),
            ("records left out", f"{self.left_out:,}"),
            ("the code", "no byte of it changes" if self.same_code else f"{self.moved:,} ids mean another phrase"),
            ("phrases that went", f"{self.gone:,}"),
            ("phrases that came", f"{self.new:,}"),
            ("fingerprint", self.table.fingerprint),
        ]

    def remarks(self) -> list[str]:
        """Return what the owner should do and know, in one sentence each."""
        found = list(self.told)
        if self.table.fingerprint == self.before.fingerprint:
            found.append("the table is the same: it tells nothing of these records, and nothing need change")
        elif self.same_code:
            found.append(
                "phrases and ranks are the same, so shards and runs need no change; counts differ: keep this file"
            )
        else:
            found.append(
                f"move runs that forgot to it by ult align RUN -t OLD --to {self.path} -o ALIGNED, and encode again"
            )
        if not self.encrypted:
            found.append(f"{self.path} is not encrypted: whoever reads it can read your shards")
        return found


@checked(
    table=table_argument,
    records=arguments.inputs,
    out=path,
    without=arguments.inputs,
    column=COLUMNS["column"],
    drop=arguments.texts("the name of a column"),
    canonical=switch,
    reading=COLUMNS["reading"],
    **KEYS,
    new_passphrase=arguments.secret,
    recipients=arguments.texts("an age public key (age1...)"),
    encrypt=switch,
    workers=integer(1),
    force=switch,
    progress=arguments.call,
)
@shown("refitting")
def refit(
    table: Secret,
    records: Inputs,
    out: str | Path,
    *,
    without: Inputs | None = None,
    column: str | None = None,
    drop: Sequence[str] = (),
    canonical: bool = False,
    reading: Mapping[str, str | float] | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    new_passphrase: Passphrase | None = None,
    recipients: Sequence[str] = (),
    encrypt: bool = True,
    workers: int | None = None,
    force: bool = False,
    progress: Progress = on_stderr,
) -> Refitted:
    """Fit a table again on `records`, the rest, with the settings that it has, and store the new one as `out`.

    With `without`, records equal to one of these are left out of `records`. The codec with its columns and ranges, the
    vocabulary, how many records must hold a phrase, and a public base are those of the table. `passphrase` and
    `identities` open it; the new one is encrypted by `new_passphrase`, by default `passphrase`, or to `recipients`.

    Raises `InvalidConfig`, also for a table with a promise of privacy, which covers every record already, `WrongKey`,
    `SourceError`, `InvalidRecord`, `OutputExists`, `OutputError` or `EngineError`.

    For example, after `ult.fit`:

        ult.forget.table("notes.ult", "rest.csv", "notes2.ult", column="text", passphrase=getpass)
    """
    out = Path(out)
    keyfile.check_place(out, force=force)
    phrase = keyfile.told(passphrase)
    key = secret(table, phrase, identities)
    _check(key, out, table)
    plain = recipients or not encrypt
    given = keyfile.told(new_passphrase) if new_passphrase is not None or plain else phrase
    storage: dict[str, Any] = {"passphrase": given, "recipients": recipients, "encrypt": encrypt}
    keyfile.encryptor(**storage)  # refuses bad arguments before any work is done
    chosen = choose("local", None, workers)
    of: dict[str, Any] = {"column": column, "canonical": canonical, "reading": reading, "drop": texts(drop)}
    of["engine"] = chosen
    source = _opened(records, key, of)
    source.check_apart(out)
    rest = _Rest(source, _digests(_opened(without, key, of)) if without is not None else {})
    counts = pieces.count(
        rest.pieces if rest.gone else lambda: source.pieces(pieces.PIECE_BYTES),
        key.codec,
        min_records=key.min_records,
        engine=chosen,
        advance=lambda more: progress("refitting", more),
    )
    source.check_unchanged()
    if lacking := [place for digest, place in rest.gone.items() if digest not in rest.met]:
        raise InvalidConfig(
            f"{count(len(lacking), 'record')} to leave out is not in the records, {lacking[0]} for one",
            hint="--records with what the table was fitted on, or with the rest and no --without",
        )
    about: dict[str, Any] = {"public": key.public, "secret_ids": key.secret_ids, "base": key.base}
    new = Table.from_counts(counts, codec=key.codec, vocabulary=key.vocabulary, fields=key.fields, **about)
    new.save(out, **storage, force=force)
    moved, went, came = compared(key, new)
    told = (*remarks(source), *_kept(key))
    return Refitted(out, new, key, rest.left_out, moved, went, came, encrypt, told)


def compared(old: Table, new: Table) -> tuple[int, int, int]:
    """Return how many ids mean another phrase in `new`, and how many phrases it lacks and adds."""
    before, after = ([phrase.tobytes() for phrase in one.spellings()] for one in (old, new))
    moved = sum(one != other for one, other in zip(before, after, strict=False)) + abs(len(before) - len(after))
    return moved, len(set(before) - set(after)), len(set(after) - set(before))


def _check(table: Table, out: Path, named: Secret) -> None:
    if promise := table.privacy:
        raise InvalidConfig(
            f"table {table.fingerprint} promises epsilon {promise.epsilon:g} at delta {promise.delta:.2g} to each "
            "record: the promise covers those that are to be forgotten already",
            hint="keep the table; ult forget run for what was trained on its shards",
        )
    old = Path(named) if isinstance(named, str | Path) else None if isinstance(named, Table) else named.path
    if old is not None and out.exists() and old.exists() and out.samefile(old):
        raise InvalidConfig(f"{out} is the table itself; ult align needs it as it is", hint="another -o")


def _opened(inputs: Inputs, table: Table, of: Mapping[str, Any]) -> Source:
    layout = schema_of(table, of["drop"])
    asked = {name: value for name, value in of.items() if name != "drop"}
    source = opened(inputs, modality=table.codec.modality, schema=layout, **asked)
    if layout is None and source.fields != table.fields:
        raise InvalidRecord(
            f"the input has {len(source.fields)} value columns that are not the table's {len(table.fields)}, in order",
            hint="the columns that the table was fitted on",
        )
    return source


def _digests(source: Source) -> dict[bytes, str]:
    """Return the place of a record by its digest."""
    return {
        digest_of(record): batch.where.place(i) for batch in source.batches() for i, record in enumerate(batch.records)
    }


class _Rest:
    """The records of a source but for those that are to be forgotten."""

    def __init__(self, source: Source, gone: dict[bytes, str]) -> None:
        self.source, self.gone = source, gone
        self.met: set[bytes] = set()
        self.left_out = 0

    def pieces(self) -> Iterator[Batch]:
        """Yield the rest, batch by batch."""
        self.left_out = 0
        for batch in self.source.batches():
            digests = [digest_of(record) for record in batch.records]
            stay = [i for i, digest in enumerate(digests) if digest not in self.gone]
            self.met |= self.gone.keys() & set(digests)
            self.left_out += len(digests) - len(stay)
            records = list(batch.records)
            yield replace(
                batch,
                records=[records[i] for i in stay],
                kept=batch.kept.take(stay),
                where=batch.where.taken(stay),
            )


def _kept(table: Table) -> Iterator[str]:
    """Yield a sentence on what of the table was not learnt again."""
    if type(table.codec).calibrates:
        yield f"the ranges or levels of {table.codec.id} are the table's: ult fit on the rest learns them without"
    if table.codec.id == "record/columns":
        yield (
            "kinds, values and bins of the fields are the table's; where they were inferred from records, ult describe "
            "and ult fit --schema on the rest learn them without"
        )
    if table.updated_from:
        yield "the table was updated from another, whose records count here only if they are among these"

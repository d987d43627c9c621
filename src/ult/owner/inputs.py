"""Open the arguments of the owner's functions in whatever form a caller has them: inputs, a table, keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ult.codecs.base import Codec
from ult.codecs.clipped import clipped, has_range
from ult.codecs.jpeg import ImageJpeg
from ult.codecs.record.field import Field
from ult.data import Source, open_source
from ult.data.columns.kept import check_kept
from ult.data.columns.schema import Schema
from ult.data.composed.records import MODALITY as RECORD
from ult.data.composed.records import paths
from ult.data.molecules.molecule import rewritten
from ult.data.reading import remembered
from ult.data.rows import listed
from ult.errors import InvalidConfig, InvalidRecord, SourceError, WrongTable
from ult.host import arguments
from ult.host.progress import Progress, counted
from ult.host.shown import count
from ult.owner import keyfile
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.pipeline.canonical import rewriting
from ult.owner.pipeline.engine import Engine
from ult.owner.table import Table
from ult.public.manifest import may_be_same
from ult.public.shards import Shards

Inputs = str | Path | Sequence[str | Path]  # files, folders of images, globs, addresses; one or several of one kind


class Stored(Protocol):
    """What stored a table, such as the result of `ult.fit`."""

    @property
    def path(self) -> Path:
        """The path of the table's file."""

    @property
    def table(self) -> Table:
        """The table, open."""


_NAMES, _NAME = 8, 40  # columns that a remark names, and the characters of each

Secret = Table | Stored | str | Path  # a table, as callers give it
table_argument = arguments.path_or(
    "a table: its file's path, ult.Table, or what ult.fit returned",
    lambda value: isinstance(value, Table) or isinstance(getattr(value, "table", None), Table),
)


def opened(
    inputs: Inputs,
    *,
    modality: str,
    column: str | None = None,
    keep: Sequence[str] = (),
    canonical: bool = False,
    side: str | None = None,
    reading: Mapping[str, str | float] | None = None,
    schema: Schema | None = None,
    keep_identifier: bool = False,
    engine: Engine | None = None,
) -> Source:
    """Return the source of the records in `inputs`. Raises `SourceError` or `InvalidConfig`.

    SMILES are made `canonical` by the processes of `engine`, by default in this one. A kept column that looks like it
    says who somebody is is refused without `keep_identifier`.
    """
    names, keep = named(inputs), texts(keep)
    source = open_source(
        names,
        modality=modality,
        column=column,
        keep=keep,
        canonical=canonical,
        side=side,
        reading=reading,
        schema=schema,
        rewritten=rewritten if engine is None else rewriting(engine),
    )
    if keep and not keep_identifier:
        chosen = reading if schema is None else remembered(schema.reading, reading, paths(names))
        check_kept(names, modality, keep, chosen)
    return source


def named(inputs: Inputs) -> list[str]:
    """Return the names of the inputs."""
    names = [inputs] if isinstance(inputs, str | Path) else inputs
    return [str(name) for name in names]


def texts(names: str | Sequence[str]) -> list[str]:
    """Return names of columns as a list; a single text, else, would count as a column for each letter."""
    return [names] if isinstance(names, str) else list(names)


def secret(table: Secret, passphrase: Passphrase | None, identities: Identities) -> Table:
    """Return the table, loaded with the keys if it is a path. Raises what `Table.load` raises."""
    if isinstance(table, Table):
        return table
    if not isinstance(table, str | Path):
        return table.table
    return Table.load(table, passphrase=passphrase, identities=keyfile.secret_keys(identities))


def check_encoded(shards: Shards, table: Table, named: str | Path | None = None) -> None:
    """Raise `WrongTable` if shards name another table than this one, which the error calls `named`."""
    check_made(shards.path, shards.manifest.table, table, named)


def check_made(what: object, by: str, table: Table, named: str | Path | None = None) -> None:
    """Raise `WrongTable` if ids, which the error calls `what`, were made by a table of another fingerprint."""
    if not may_be_same(by, table.fingerprint):
        raise WrongTable(
            f"{what} was encoded with table {by}; {named or 'the table given'} is {table.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )


def schema_of(table: Table, drop: Sequence[str] = ()) -> Schema | None:
    """Return the schema of a table of records of fields, None for another; `drop` names columns that it has not.

    A column of a joined table is named by itself, or after that of its table, as `labs.value`.
    Raises `InvalidConfig` if the table has one of them.
    """
    if table.codec.modality != RECORD:
        if drop:
            raise InvalidConfig(f"drop is for tables of records of fields; this one is of {table.codec.id}")
        return None
    fields = [Field.read(one) for one in table.codec.config()["fields"]]
    found = Schema.of_roles(fields, table.fields)
    inner = {f"{one.name}.{each.name}" for one in found.fields for each in one.fields}
    if both := [name for name in drop if name in found.columns or name in inner]:
        raise InvalidConfig(f"column {both[0]!r} is a field of the table, so it cannot be dropped; fit one without it")
    return replace(found, dropped=tuple(dict.fromkeys((*found.dropped, *drop))))


class Watched:
    """The records of a source; each iteration tells `progress` how far it is, as a stage."""

    def __init__(self, source: Source, progress: Progress, stage: str) -> None:
        self.source, self.progress, self.stage = source, progress, stage

    def __iter__(self) -> Iterator[Any]:
        for batch in counted(self.source.batches(), self.progress, self.stage, lambda batch: batch.rows):
            yield from batch.records


def remarks(source: Source) -> list[str]:
    """Return sentences on invalid SMILES, inputs without a record, columns that are left out, and what was not read."""
    found = [f"{source.invalid} and were encoded as they are"] if source.invalid else []
    if source.empty:
        more = ", ..." if len(source.empty) > 5 else ""
        found.append(f"without a record: {', '.join(source.empty[:5])}{more}")
    if left := source.left_out:
        verb = "is" if len(left) == 1 else "are"
        names = listed([name if len(name) <= _NAME else f"{name[:_NAME]}..." for name in left], _NAMES)
        found.append(f"{count(len(left), 'column')} {verb} left out: {names}")
    return [*found, *source.told]


def count_clipped(codec: Codec[Any], source: Source) -> tuple[int, int, str]:
    """Return how many values fall outside the codec's range, the number of all values, and why these are unknown.

    Both numbers are 0 if the codec has no range or the source cannot be read. The source is read again, after the
    shards were published, so an error here does not lose them.
    """
    if not has_range(codec):
        return 0, 0, ""
    values = outside = 0
    try:
        for batch in source.batches():
            found = clipped(codec, batch.records)
            outside, values = outside + found[0], values + found[1]
    except SourceError as error:
        return 0, 0, error.what
    return outside, values, ""


def of_metadata(codec: Codec[Any], source: Source) -> list[str]:
    """Return a sentence on how many JPEG files hold what is not encoded, or on why that is unknown; none of others.

    Like `count_clipped` it reads the source again, and an error does not lose what was written.
    """
    if not isinstance(codec, ImageJpeg):
        return []
    files = some = 0
    try:
        for batch in source.batches():
            files, some = files + batch.rows, some + sum(map(codec.has_more, batch.records))
    except (SourceError, InvalidRecord) as error:
        return [f"how many files have metadata cannot be told: {error.what}"]
    what = "metadata, a colour profile, a comment or a thumbnail, which are not encoded"
    return [f"{some:,} of {count(files, 'file')}: {what}"] * (some > 0)


def of_clipped(outside: int, values: int) -> str:
    """Return a sentence on how many values are clipped."""
    return f"{outside:,} of {values:,} values ({outside / values:.2%}) lie outside the range and are clipped to it"

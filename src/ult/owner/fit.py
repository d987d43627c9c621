"""`ult.fit`: fit a table on files and store it, as `ult fit` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.codecs import codec_class
from ult.codecs.base import Codec
from ult.codecs.columns import Columns, WithLevels
from ult.codecs.levels import SeriesLevels
from ult.codecs.options import by_column, check_options, of_config
from ult.data import Source
from ult.data.columns.bins import BINS
from ult.data.columns.schema import Schema
from ult.data.reading import ONCE, typed
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import COLUMNS, checked, integer, number, path, switch
from ult.host.bar import shown
from ult.host.progress import Progress, counted, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.owner import fields, keyfile, private_bins, private_levels
from ult.owner.bpe.private_counts import check_asked, promise, without_records
from ult.owner.inputs import (
    Inputs,
    Secret,
    Watched,
    count_clipped,
    named,
    of_clipped,
    of_metadata,
    opened,
    remarks,
    table_argument,
    texts,
)
from ult.owner.keyfile import Passphrase
from ult.owner.pipeline import pieces
from ult.owner.pipeline.choose import choose
from ult.owner.pipeline.summing import beside
from ult.owner.shared import shared_phrases
from ult.owner.table import Table, check_room, held_by
from ult.public.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True, repr=False)
class Fitted(Shown):
    """A table that was fitted and stored, with facts on the records that it was fitted on.

    `column` names the column of the records, or is what the first line of a CSV file has in its place. Of a codec with
    a range, `clipped` of the `values` lie outside it; of a series, `worst` says which column loses most. If
    there were too many distinct patches to count, some of those that occur fewer than `exact_from` times are left out;
    else `exact_from` is 0. `empty_records` are counted only for a table with a promise of privacy.
    """

    path: Path
    table: Table
    encrypted: bool
    column: str
    clipped: int = 0  # values
    values: int = 0
    worst: str = ""
    exact_from: int = 0  # occurrences
    empty_records: int = 0
    told: tuple[str, ...] = ()  # remarks on the inputs
    private_bins: tuple[str, ...] = ()  # columns whose bins were learnt at a part of epsilon

    def facts(self) -> Facts:
        """Return the path of the table, whether it is encrypted, and what `Table` shows of itself."""
        stored = ("encrypted", "yes (age)" if self.encrypted else "NO")
        return [("file", str(self.path)), stored, *self.table.facts()]

    def __repr__(self) -> str:
        table = self.table
        phrases, records = count(table.phrases, "phrase"), count(table.records, "record")
        return f"<Fitted {self.path}: {table.codec.id}, {table.size:,} ids ({phrases}) from {records}>"

    def remarks(self) -> list[str]:
        """Return what the owner should know about the table, in one sentence each."""
        found, table = list(self.told), self.table
        if self.clipped:
            found.append(of_clipped(self.clipped, self.values))
        if table.size < table.vocabulary.size:
            found.append(
                f"{count(table.vocabulary.size - table.size, 'id')} of the vocabulary unused: {self._unused()}"
            )
        if self.exact_from:
            rare = f"those that occur under {self.exact_from:,} times"
            found.append(f"there are too many distinct patches: some of {rare} are left out")
        if not self.encrypted:
            found.append(f"{self.path} is not encrypted: whoever reads it can read your shards")
        return found

    def _unused(self) -> str:
        least = self.table.min_records
        why = f"no further phrase is held by {least} records" if least > 1 else "there are no more phrases"
        if self.table.privacy is None:
            return f"{why} (--min-records {least})"
        return f"{why} in patches that passed the threshold"


@checked(
    inputs=arguments.inputs,
    out=path,
    codec=arguments.text(),
    options=arguments.by_name("numbers by name, such as {'quality': 60}"),
    vocabulary_size=integer(),
    **COLUMNS | {"column": arguments.texts("the name of a column")},
    keep_identifier=switch,
    schema=arguments.path_or(
        "a schema: its file's path, or what ult.describe found", lambda one: isinstance(one, Schema)
    ),
    unit=arguments.text("the name of one column"),
    drop=arguments.texts("the name of a column"),
    forms=arguments.by_name("kinds or forms by column, such as {'zip': 'text'}"),
    encode_identifier=arguments.texts("the name of a column"),
    canonical=switch,
    merges=path,
    base=table_argument,
    min_records=integer(),
    epsilon=number,
    delta=number,
    patches_per_record=integer(),
    bins=integer(),
    public=switch,
    secret_ids=switch,
    passphrase=arguments.secret,
    recipients=arguments.texts("an age public key (age1...)"),
    encrypt=switch,
    workers=integer(1),
    engine=arguments.text(),
    address=arguments.text(),
    force=switch,
    progress=arguments.call,
)
@shown("fitting")
def fit(
    inputs: Inputs,
    out: str | Path,
    *,
    codec: str = "text/bytes",
    options: Mapping[str, float] | None = None,
    vocabulary_size: int = 8192,
    column: str | Sequence[str] | None = None,
    keep: Sequence[str] = (),
    keep_identifier: bool = False,
    schema: Schema | str | Path | None = None,
    unit: str = "",
    drop: Sequence[str] = (),
    forms: Mapping[str, str] | None = None,
    encode_identifier: Sequence[str] = (),
    canonical: bool = False,
    reading: Mapping[str, str | float] | None = None,
    merges: str | Path | None = None,
    base: Secret | None = None,
    min_records: int | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    patches_per_record: int | None = None,
    bins: int | None = None,
    public: bool = False,
    secret_ids: bool = False,
    passphrase: Passphrase | None = None,
    recipients: Sequence[str] = (),
    encrypt: bool = True,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    force: bool = False,
    progress: Progress = on_stderr,
) -> Fitted:
    """Fit a table on the records of files and store it at `out`, encrypted: the table is the secret.

    The arguments are those of `ult fit`, and the table is the same, byte for byte. `inputs` are one or several .txt,
    .jsonl, .csv, .parquet, .npy and .npz files, laboratory files such as .h5ad, images, folders of images or
    `hf:org/name`. `options` are those of the codec, such as `{"quality": 60}`. `reading` says what of a file is read,
    such as `{"layer": "raw/X"}` of .h5ad, or `{"window": 10}`, seconds of a signal. `min_records` is 5 by default, or 1
    with `epsilon`; see `Table.fit`. `merges` is the tokenizer.json of a public byte-level BPE, for text/bytes: its
    phrases are taken in place of learned ones, in its order, and only which id each has is of the records. `base` is a
    table of public records, whose phrases keep their ids; those of the records come after them.

    For `record/columns` a record has a field for each column, as a `schema` says, or as `describe` infers with `unit`,
    `drop` and `forms`. A column that looks like an identifier has to be in `drop` or in `encode_identifier`, and is
    kept only with `keep_identifier`. A number has `bins` bins, by default 16, unless a schema gives
    their edges. Under `epsilon`, a tenth of it pays for edges that no schema gives (`ult.owner.private_bins`).

    The file is encrypted to a `passphrase`, which may be a function that asks for it, such as `getpass.getpass`, or to
    the age public keys `recipients`. It is in the clear only if `encrypt` is False. `workers` is the number of
    processes, by default that of all cores; no byte depends on it. `progress` is called with a stage and how many more
    records are done; by default it draws a bar on a terminal or in a notebook, and elsewhere writes a line to stderr
    now and then.

    Raises `InvalidConfig`, `UnknownCodec`, `SourceError`, `InvalidRecord`, `OutputExists`, `OutputError` or
    `EngineError`; then nothing was written.

    For example, in a notebook, with a `notes.csv` whose columns are `label` and `text`:

        fitted = ult.fit("notes.csv", "notes.ult", column="text", keep=["label"], passphrase=getpass)
        fitted.table.encode("no fever")
    """
    out = Path(out)
    most = check_asked(epsilon, delta, patches_per_record, min_records, public=public)
    phrases = shared_phrases(merges, base, codec, options, min_records, secret_ids=secret_ids)
    min_records = held_by(1 if merges is not None else min_records, most)
    chosen, kind = choose(engine, address, workers), codec_class(codec)
    keyfile.check_place(out, force=force)
    vocabulary = Vocabulary(vocabulary_size)
    storage: dict[str, Any] = {"passphrase": keyfile.told(passphrase), "recipients": recipients, "encrypt": encrypt}
    keyfile.encryptor(**storage)  # refuses bad arguments before any work is done
    asked: dict[str, Any] = {"schema": schema, "unit": unit, "drop": texts(drop), "forms": forms, "bins": bins}
    told: list[str] = []
    layout = _layout(
        codec,
        inputs,
        column,
        texts(keep),
        asked,
        encode_identifier,
        private=most is not None,
        reading=reading,
        told=told,
    )
    source = opened(
        inputs,
        modality=kind.modality,
        column=None if layout else _one(column),
        keep=keep,
        canonical=canonical,
        reading=reading,
        schema=layout,
        keep_identifier=keep_identifier,
        engine=chosen,
    )
    source.check_apart(out)
    given = check_options(kind, options or {}, calibrate=most is None or kind is SeriesLevels)
    learnt = None
    if layout and epsilon:
        read = (batch.records for batch in counted(source.batches(), progress, "calibrating", lambda batch: batch.rows))
        learnt = private_bins.learnt(layout.fields, read, bins=bins or BINS, epsilon=epsilon, delta=delta)
        layout = replace(layout, fields=learnt.fields)
    elif epsilon and kind is SeriesLevels and "columns" not in given:
        read = (batch.records for batch in counted(source.batches(), progress, "calibrating", lambda batch: batch.rows))
        given, learnt = private_levels.learnt(read, source.fields, given, epsilon=epsilon, delta=delta)
    of_fields = {"fields": [one.document() for one in layout.fields]} if layout else {}
    made = phrases.codec or _codec(kind, {**given, **of_fields}, source, most, progress)
    check_room(vocabulary, made, phrases.base)
    columns = _columns(made, source, progress)
    with beside(out, chosen) as aside:
        counts = pieces.count(
            lambda: source.pieces(pieces.PIECE_BYTES),
            made,
            min_records=min_records,
            engine=chosen,
            most=most,
            aside=aside,
            advance=lambda more: progress("fitting", more),
        )
    source.check_unchanged()
    privacy = None
    if epsilon and most:
        edges = learnt.spent if learnt else None
        privacy = promise(epsilon, delta, patches=most, records=counts.records, edges=edges)
    of: dict[str, Any] = {
        "fields": layout.roles if layout else source.fields,
        "privacy": privacy,
        "public": public,
        "secret_ids": secret_ids,
        "merges": phrases.merges,
        "base": phrases.base,
    }
    table = Table.from_counts(counts, codec=made, vocabulary=vocabulary, **of)
    table.save(out, **storage, force=force)
    outside, values = (columns.clipped, columns.values) if columns else count_clipped(made, source)[:2]
    empty = privacy is not None and kind.modality in ("text", "molecule")
    return Fitted(
        out,
        table,
        encrypted=encrypt,
        column=source.column,
        clipped=outside,
        values=values,
        worst=columns.worst() if columns else "",
        exact_from=counts.exact_from,
        empty_records=sum(not record for record in source) if empty else 0,
        told=(
            *told,
            *phrases.told(table),
            *remarks(source),
            *of_metadata(made, source),
            *_unremembered(codec, reading),
            *(learnt.remarks() if learnt else []),
        ),
        private_bins=learnt.names if learnt else (),
    )


def _unremembered(codec: str, reading: Mapping[str, str | float] | None) -> list[str]:
    """Return a sentence on what has to be said again when files are encoded; records of fields remember it."""
    asked = {name: value for name, value in (reading or {}).items() if name not in ONCE}
    return [f"ult encode needs {typed(asked)} too: only tables of {fields.CODEC} remember it"] * bool(
        asked and codec != fields.CODEC
    )


def _layout(
    codec: str,
    inputs: Inputs,
    column: str | Sequence[str] | None,
    keep: Sequence[str],
    asked: dict[str, Any],
    encode_identifier: Sequence[str],
    *,
    private: bool,
    reading: Mapping[str, str | float] | None,
    told: list[str],
) -> Schema | None:
    """Return the schema of records of fields, None for other codecs; add remarks on it to `told`.

    Raises `InvalidConfig` for the options of another codec.
    """
    if codec == fields.CODEC:
        columns = texts(column) if column is not None else []
        more: dict[str, Any] = {
            "column": columns,
            "keep": keep,
            "encode_identifier": texts(encode_identifier),
            "private": private,
            "reading": reading,
            "notice": told.append,
        }
        return fields.decided(named(inputs), **asked, **more)
    if given := [name for name, value in {**asked, "encode_identifier": encode_identifier}.items() if value]:
        raise InvalidConfig(
            f"{given[0]} is for records of fields, which {codec} does not take", hint=f"--codec {fields.CODEC}"
        )
    return None


def _one(column: str | Sequence[str] | None) -> str | None:
    """Return the only column; raise `InvalidConfig` for several."""
    names = texts(column) if column is not None else []
    if len(names) > 1:
        raise InvalidConfig(
            f"{len(names)} columns are given; expected one, which holds the records",
            hint=f"--codec {fields.CODEC} for records of several columns",
        )
    return names[0] if names else None


def _codec(
    kind: type[Codec[Any]], options: dict[str, Any], source: Source, most: int | None, progress: Progress
) -> Codec[Any]:
    """Return the codec calibrated on the records, or, for a table with a promise, one that depends on no record."""
    if most is not None:
        return without_records(kind, options)
    with source.naming(kind(**of_config(kind, options))):
        return kind.calibrated(Watched(source, progress, "calibrating"), **by_column(kind, source.fields, options))


def _columns(codec: Codec[Any], source: Source, progress: Progress) -> Columns | None:
    """Return how well columns are kept, or None if the codec has no range; raise `InvalidConfig` if one is lost."""
    if not isinstance(codec, WithLevels):
        return None
    columns = Columns(codec, source.fields)
    with source.naming(codec):
        for record in Watched(source, progress, "checking"):
            columns.add(record)
        columns.check()
    return columns

"""The owner's verbs: keygen, fit, encode, decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ult.cli.engine import Address, EngineName, Workers, choose
from ult.cli.keys import Identities, PassphraseFile, Recipients, TableFile, load_table, new_key
from ult.owner.pipeline.memory import return_freed_memory

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ult.data import Batch, Sink, Source
    from ult.owner.table import Table
    from ult.public.shards import Shards

Inputs = Annotated[
    list[str],
    typer.Argument(
        help=".txt (a record a line), .jsonl, .csv, .parquet, .npy, .npz, images or a folder of them, "
        "hf:org/name; globs, and s3://, gs:// and hf:// addresses of files.",
        show_default=False,
    ),
]
Column = Annotated[str | None, typer.Option("--column", "-c", help="The column (or array) that holds the records.")]
Keep = Annotated[list[str] | None, typer.Option("--keep", "-k", help="A column that is no record, such as a label.")]
Canonical = Annotated[bool, typer.Option(help="Rewrite SMILES in RDKit's canonical form first.")]
Force = Annotated[bool, typer.Option(help="Replace what is there.")]


def keygen(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the secret key goes, mode 0600.")],
    force: Force = False,
) -> None:
    """Make an age key pair: the secret key to a file, the public one to stdout."""
    from ult.owner import keyfile

    text, public = keyfile.keygen()
    keyfile.write(out, text.encode("ascii"), force=force)
    print(public)


def fit(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="The table file to write.")],
    codec: Annotated[
        str, typer.Option(help="text/bytes, text/bwt, image/dct, series/mulaw or molecule/smiles.")
    ] = "text/bytes",
    vocabulary_size: Annotated[int, typer.Option(help="Ids; the same for all tables of one model.")] = 8192,
    option: Annotated[list[str] | None, typer.Option(help="An option of the codec, such as quality=60.")] = None,
    column: Column = None,
    keep: Keep = None,
    min_records: Annotated[
        int | None,
        typer.Option(help="A phrase enters only if so many distinct records (lines of a .txt) hold it; by default 5."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(help="Differential privacy for each record: what it changes at most, as a factor e^epsilon."),
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="With --epsilon: how likely that fails; by default records^-1.1.")
    ] = None,
    patches_per_record: Annotated[
        int | None, typer.Option(help="With --epsilon: distinct patches that a record counts in; by default 64.")
    ] = None,
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Declare that everyone may read these records: a table of them costs no privacy."
        ),
    ] = False,
    secret_ids: Annotated[
        bool,
        typer.Option(
            "--secret-ids", help="Draw which phrase has which id, so that an id does not tell how common its phrase is."
        ),
    ] = False,
    canonical: Canonical = False,
    passphrase_file: PassphraseFile = None,
    recipient: Recipients = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Store the table in the clear.")] = False,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    force: Force = False,
) -> None:
    """Fit a table on records and store it, encrypted. The table is the secret: who has it reads your shards.

    Canaries follow from the table, so they are not in its fit: `ult encode --canaries` plants them.
    """
    return_freed_memory()  # before Arrow is loaded
    from ult.cli.columns import kept_columns, report_columns
    from ult.cli.console import Watched, count, counting, note, say
    from ult.cli.option import codec_options
    from ult.cli.unit import tell_unit
    from ult.codecs import codec_class
    from ult.owner import keyfile
    from ult.owner.bpe.private_counts import check_asked, promise, without_records
    from ult.owner.pipeline import pieces
    from ult.owner.table import Table
    from ult.public.vocabulary import N_SPECIAL, Vocabulary

    most = check_asked(epsilon, delta, patches_per_record, min_records, public=public)
    if min_records is None:
        min_records = 5 if most is None else 1
    chosen = choose(engine, address, workers)
    kind = codec_class(codec)
    keyfile.check_free(out, force=force)
    vocabulary = Vocabulary(vocabulary_size)
    storage = new_key(passphrase_file, recipient, no_encryption)
    source = _open(inputs, kind.modality, column, keep, canonical)
    source.check_apart(out)
    options = codec_options(option, kind, calibrate=most is None)
    if most is None:
        probe = kind(**{name: value for name, value in options.items() if name != "clip"})
        with source.naming(probe):
            made = kind.calibrated(Watched(source, "calibrating"), **options)
    else:
        made = without_records(kind, options)
    columns = kept_columns(made, source)
    with counting("fitting") as advance:
        counts = pieces.count(
            lambda: source.pieces(pieces.PIECE_BYTES),
            made,
            min_records=min_records,
            engine=chosen,
            most=most,
            advance=advance,
        )
    source.check_unchanged()
    privacy = promise(epsilon, delta, patches=most, records=counts.records) if epsilon and most else None
    of: dict[str, Any] = {"fields": source.fields, "privacy": privacy, "public": public, "secret_ids": secret_ids}
    table = Table.from_counts(counts, codec=made, vocabulary=vocabulary, **of)
    table.save(out, **storage, force=force)
    phrases = table.size - N_SPECIAL - made.alphabet
    say(f"{out}: {codec}, {table.size:,} ids ({count(phrases, 'phrase')}) from {count(table.records, 'record')}")
    if privacy:
        about = f"noise {privacy.noise:.3g}, threshold {privacy.threshold:.4g} records"
        say(f"{out}: epsilon {privacy.epsilon:g} at delta {privacy.delta:.2g} for each record; {about}")
        tell_unit(out, inputs, source, kind.modality)
    report_inputs(source)
    if column is None and not source.fields and any(name.lower().endswith(".csv") for name in inputs):
        note(f"the records are the column that line 1 calls {source.column[:40]!r}")
    if columns:
        report_columns(columns, out)
    if table.size < vocabulary.size:
        spare = count(vocabulary.size - table.size, "id")
        why = f"no further phrase is held by {min_records} records" if min_records > 1 else "there are no more phrases"
        why += f" (--min-records {min_records})" if privacy is None else " in patches that passed the threshold"
        note(f"{spare} of the vocabulary unused: {why}")
    if counts.exact_from:
        rare = f"those that occur under {counts.exact_from:,} times"
        note(f"there are too many distinct patches: some of {rare} are left out")
    if no_encryption:
        note(f"{out} is not encrypted: whoever reads it can read your shards")


def encode(
    inputs: Inputs,
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The shards folder to write.")],
    column: Column = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", "-k", help="A column that goes along, in the clear; repeatable.")
    ] = None,
    canonical: Canonical = False,
    side: Annotated[
        str | None,
        typer.Option(
            help="Of reactions, left (reactants>reagents>) or right (products): sources and targets of a model."
        ),
    ] = None,
    canaries: Annotated[
        int, typer.Option(min=0, help="Plant so many texts of random digits that `ult audit model` looks for.")
    ] = 0,
    repeats: Annotated[int, typer.Option(min=1, help="With --canaries: how often each occurs.")] = 10,
    coin_split: Annotated[
        Path | None,
        typer.Option(
            metavar="NONMEMBERS",
            help="For `ult audit model`: a fair coin decides of each record whether it is in OUT, to train on, or here",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    part_bytes: Annotated[int, typer.Option(min=1, help="A part is of about so many bytes of input.")] = 2**24,
    workers: Workers = None,
    engine: EngineName = "local",
    address: Address = None,
    force: Force = False,
) -> None:
    """Encode records to shards of ids, for whoever trains the model.

    If it is interrupted or killed, the same command goes on where it stood.
    """
    return_freed_memory()  # before Arrow is loaded
    import pyarrow

    from ult import __version__
    from ult.cli.columns import report_clipped
    from ult.cli.console import count, counting, note, say, size
    from ult.cli.halves import encode_halves
    from ult.errors import InvalidRecord
    from ult.owner.canaries import plant
    from ult.owner.pipeline import pieces
    from ult.owner.pipeline.resume import Partial
    from ult.public.manifest import Canaries
    from ult.public.shards import check_kept

    chosen = choose(engine, address, workers)
    secret = load_table(table, passphrase_file, identity)
    source = _open(inputs, secret.codec.modality, column, keep, canonical, side)
    if source.fields != secret.fields:
        raise InvalidRecord(
            f"the input has {len(source.fields)} value columns that are not the table's {len(secret.fields)}, in order",
            hint="encode the columns that the table was fitted on",
        )
    check_kept(source.kept_schema)
    command = {
        "table": secret.fingerprint,
        "inputs": source.stamp,
        "column": source.column,
        "kept": [[field.name, str(field.type)] for field in source.kept_schema],
        "canonical": canonical,
        "side": side,
        "canaries": [canaries, repeats],
        "part_bytes": part_bytes,
        "versions": {"ult": __version__, "pyarrow": pyarrow.__version__},  # which decide the bytes of Parquet
    }
    if coin_split is not None:
        planted_too = Canaries(canaries, repeats) if canaries else None
        encode_halves(source, secret, (out, coin_split), command, engine=chosen, canaries=planted_too, force=force)
        report_inputs(source)
        report_clipped(secret.codec, source)
        return
    with Partial(out, command, force=force) as partial:
        if partial.parts:
            note(f"going on: {count(len(partial.parts), 'part')} of {out} finished already")
        if partial.lost:
            note(f"{', '.join(partial.lost)} of {out} was deleted or altered since and is written again")
        if not partial.published:
            about = {
                "column": source.column,
                "kept": source.kept_schema,
                "engine": chosen,
                "check": source.check_unchanged,
            }
            with counting("encoding") as advance:
                whole = source.pieces(part_bytes)
                planted = plant(lambda: source.pieces(part_bytes), secret, canaries, repeats) if canaries else whole
                told = Canaries(canaries, repeats) if canaries else None
                pieces.encode(planted, secret, partial, **about, canaries=told, advance=advance)
    done = partial.manifest
    rate = f"{done.ids / done.bytes:.4f} ids a byte" if done.bytes else "no bytes"
    say(f"{out}: {count(done.rows, 'record')}, {size(done.bytes)} of data, {done.ids:,} ids, {rate}")
    report_inputs(source)
    report_clipped(secret.codec, source)
    if canaries:
        note(f"{canaries} canaries planted, each {repeats} times: ult audit model RUN --canaries {canaries} -t {table}")
    if done.kept:
        note(f"{out} holds {', '.join(done.kept)} in the clear, for whoever has it")


def decode(
    shards: Annotated[Path, typer.Argument(help="A shards folder.", show_default=False)],
    table: TableFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help=".txt, .jsonl, .csv, .parquet, .npz, or a folder of images.")
    ],
    prefix: Annotated[
        bool, typer.Option("--prefix", help="For what a model wrote: decode the longest valid prefix of each record.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Decode shards back to records, with the table that encoded them."""
    return_freed_memory()  # before Arrow is loaded
    from ult.cli.console import count, note, say, watch
    from ult.errors import WrongTable
    from ult.public.manifest import IDS, UNTOLD, may_be_same
    from ult.public.shards import Shards

    opened = Shards(shards)
    secret = load_table(table, passphrase_file, identity)
    manifest = opened.manifest
    if manifest.table == UNTOLD:
        note(f"{shards} does not name its table: nothing shows whether {table} is the one")
    if not may_be_same(manifest.table, secret.fingerprint):
        raise WrongTable(
            f"{shards} was encoded with table {manifest.table}; {table} is {secret.fingerprint}",
            hint="--table with the table that `ult encode` used",
        )
    if prefix:
        kept = opened.to_arrow().drop_columns([IDS]) if manifest.kept else None
        write_decoded(list(opened.ids()), secret, out, column=manifest.column, kept=kept, force=force)
        return
    with _sink(out, secret, manifest.column, opened.kept_schema(), force) as sink:
        for batch in watch(_decoded(opened, secret), "decoding"):
            sink.write(batch.records, batch.kept)
    say(f"{out}: {count(manifest.rows, 'record')}")


def write_decoded(
    many: Sequence[NDArray[np.uint32]],
    table: Table,
    out: Path,
    *,
    column: str,
    kept: pa.Table | None = None,
    force: bool,
) -> None:
    """Write what a model wrote: of each record the longest prefix that decodes; say how many do so whole or not at all.

    `kept` has a row for each. Raises `CorruptSymbols` if none decodes.
    """
    from ult.cli.console import count, note, say
    from ult.errors import CorruptSymbols
    from ult.owner.constrained import read_written

    written = read_written(many, table)
    if not written.records:
        raise CorruptSymbols(f"none of {len(many)} records of ids decodes, not even in part", hint="train longer")
    with _sink(out, table, column, None if kept is None else kept.schema, force) as sink:
        sink.write(written.records, None if kept is None else kept.take(written.rows))
    records, whole = count(len(written.records), "record"), f"{written.whole} of {len(many)}"
    say(f"{out}: {records}; {whole} decode as they are, {written.cut} are cut to a prefix")
    if written.nothing:
        note(f"{written.nothing} of {len(many)} do not decode and are left out")


def _sink(out: Path, table: Table, column: str, kept: pa.Schema | None, force: bool) -> Sink:
    from ult.data import open_sink

    return open_sink(
        out, modality=table.codec.modality, column=column, fields=table.fields, kept_schema=kept, force=force
    )


def _decoded(shards: Shards, table: Table) -> Iterator[Batch]:
    from ult.data import Batch
    from ult.public.manifest import IDS
    from ult.public.shards import ragged_ids

    for part in shards.parts():
        kept, first = part.drop_columns([IDS]), 0
        for records in table.decode_ragged_batches(*ragged_ids(part)):
            yield Batch(records, kept.slice(first, len(records)))
            first += len(records)


def _open(
    inputs: list[str],
    modality: str,
    column: str | None,
    keep: list[str] | None,
    canonical: bool,
    side: str | None = None,
) -> Source:
    from ult.data import open_source

    return open_source(inputs, modality=modality, column=column, keep=keep or (), canonical=canonical, side=side)


def report_inputs(source: Source) -> None:
    """Say how many SMILES are not valid, and which inputs hold no record."""
    from ult.cli.console import note

    if source.invalid:
        note(f"{source.invalid} and were encoded as they are")
    if source.empty:
        note(f"without a record: {', '.join(source.empty[:5])}{', ...' if len(source.empty) > 5 else ''}")

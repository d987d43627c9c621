"""The owner's verbs on records: keygen, fit, encode."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, Recipients, TableFile, asking, key_of
from ult.cli.options import (
    Address,
    Canonical,
    Column,
    Columns,
    Drop,
    EngineName,
    FieldForm,
    Force,
    Inputs,
    Keep,
    KeepIdentifier,
    Unit,
    Workers,
    forms_of,
)
from ult.cli.reading import READ, Reading, reads_files
from ult.errors import InvalidConfig
from ult.owner.pipeline.memory import return_freed_memory

if TYPE_CHECKING:
    from ult.owner.encode import Encoded
    from ult.owner.fit import Fitted


def keygen(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the secret key goes, mode 0600.")],
    force: Force = False,
) -> None:
    """Make an age key pair: the secret key to a file, the public one to stdout."""
    from ult.owner import keyfile

    text, public = keyfile.keygen()
    keyfile.write(out, text.encode("ascii"), force=force)
    print(public)


@reads_files()
def fit(
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="The table file to write.")],
    codec: Annotated[
        str,
        typer.Option(
            help="text/bytes, text/bwt, image/dct or jpeg, series/mulaw or levels, molecule/smiles, record/columns."
        ),
    ] = "text/bytes",
    vocabulary_size: Annotated[int, typer.Option(help="Ids; the same for all tables of one model.")] = 8192,
    option: Annotated[list[str] | None, typer.Option(help="An option of the codec, such as quality=60.")] = None,
    column: Columns = None,
    keep: Keep = None,
    keep_identifier: KeepIdentifier = False,
    schema: Annotated[
        Path | None, typer.Option(help="Of records of fields: the file of `ult describe -o`; else it is inferred.")
    ] = None,
    unit: Unit = "",
    drop: Drop = None,
    form: FieldForm = None,
    encode_identifier: Annotated[
        list[str] | None,
        typer.Option("--encode-identifier", help="Of records of fields: encode this column, though it names somebody."),
    ] = None,
    merges: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of text/bytes: the phrases of a public tokenizer, tokenizer.json of byte-level BPE, in place of "
            "learned ones; only which id each has is secret.",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC.ult",
            help="A table of public records (--public): its phrases keep their ids, which whoever has it reads, and "
            "those of your records are added.",
        ),
    ] = None,
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
    bins: Annotated[
        int | None,
        typer.Option(help="Of records of fields: bins of a number that no schema gives edges for; by default 16."),
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
    reading: Reading = READ,
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
    if column and len(column) > 1 and codec != "record/columns":
        n = len(column)
        raise InvalidConfig(
            f"--column is given {n} times; expected once, or --codec record/columns", hint="-c or --column"
        )
    return_freed_memory()  # before Arrow is loaded
    from ult.host.bar import stages
    from ult.owner.fit import fit as write

    with stages("fitting") as progress:
        fitted = write(
            inputs,
            out,
            codec=codec,
            options=codec_options(option),
            vocabulary_size=vocabulary_size,
            column=column,
            keep=keep or (),
            keep_identifier=keep_identifier,
            schema=schema,
            unit=unit,
            drop=drop or (),
            forms=forms_of(form),
            encode_identifier=encode_identifier or (),
            canonical=canonical,
            reading=reading,
            merges=merges,
            base=base,
            min_records=min_records,
            epsilon=epsilon,
            delta=delta,
            patches_per_record=patches_per_record,
            bins=bins,
            public=public,
            secret_ids=secret_ids,
            passphrase=asking(passphrase_file, recipient, no_encryption),
            recipients=recipient or (),
            encrypt=not no_encryption,
            workers=workers,
            engine=engine,
            address=address,
            force=force,
            progress=progress,
        )
    _tell_fitted(fitted, inputs, named=column is not None or "header" in reading)


def codec_options(pairs: Sequence[str] | None) -> dict[str, float]:
    """Return the options of `name=value` pairs, the values as JSON; raise `InvalidConfig` at anything else."""
    options: dict[str, float] = {}
    for pair in pairs or ():
        name, _, value = pair.partition("=")
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidConfig(
                f"option {pair!r} is not name=value with a number", hint="--option quality=60"
            ) from None
        if name in options:
            raise InvalidConfig(f"option {name!r} is given twice; expected once, for only one of them would count")
        options[name] = read
    return options


def _tell_fitted(fitted: Fitted, inputs: list[str], *, named: bool) -> None:
    from ult.cli.console import note, say
    from ult.cli.unit import tell_unit
    from ult.host.shown import count

    table, out = fitted.table, fitted.path
    phrases, records = count(table.phrases, "phrase"), count(table.records, "record")
    say(f"{out}: {table.codec.id}, {table.size:,} ids ({phrases}) from {records}")
    if privacy := table.privacy:
        about = f"noise {privacy.noise:.3g}, threshold {privacy.threshold:.4g} records"
        say(f"{out}: epsilon {privacy.epsilon:g} at delta {privacy.delta:.2g} for each record; {about}")
        if named_bins := fitted.private_bins:
            cost = f"{privacy.epsilon_of_edges:.3g} of epsilon"
            say(f"{out}: edges of the bins of {count(len(named_bins), 'number')} learnt at {cost}")
        column = next((role[5:] for role in table.fields if role.startswith("unit ")), "")
        tell_unit(out, inputs, table.codec.modality, fitted.empty_records, column)
    if fitted.worst:
        say(f"{out}: {fitted.worst}")
    if not named and not table.fields and any(name.lower().endswith((".csv", ".tsv")) for name in inputs):
        note(f"the records are the column that line 1 calls {fitted.column[:40]!r}")
    for remark in fitted.remarks():
        note(remark)


@reads_files()
def encode(
    inputs: Inputs,
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The shards folder to write.")],
    column: Column = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", "-k", help="A column that goes along, in the clear; repeatable.")
    ] = None,
    keep_identifier: KeepIdentifier = False,
    drop: Drop = None,
    canonical: Canonical = False,
    reading: Reading = READ,
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
    from ult.cli.console import note
    from ult.host.bar import stages
    from ult.owner.encode import encode as write
    from ult.owner.pipeline.choose import choose

    choose(engine, address, workers)  # refuses what will not do before a passphrase is asked for
    key = key_of(table, passphrase_file, identity)
    with stages("encoding") as progress:
        encoded = write(
            inputs,
            table,
            out,
            **key,
            column=column,
            keep=keep or (),
            keep_identifier=keep_identifier,
            drop=drop or (),
            canonical=canonical,
            side=side,
            reading=reading,
            canaries=canaries,
            repeats=repeats,
            coin_split=coin_split,
            part_bytes=part_bytes,
            workers=workers,
            engine=engine,
            address=address,
            force=force,
            progress=progress,
            notice=note,
        )
    for one in (encoded, encoded.nonmembers):
        if one is not None:
            _tell_encoded(one)
    for remark in encoded.remarks():
        note(remark)


def _tell_encoded(encoded: Encoded) -> None:
    from ult.cli.console import say
    from ult.host.shown import count, size

    done = encoded.manifest
    rate = f"{done.ids / done.bytes:.4f} ids a byte" if done.bytes else "no bytes"
    say(f"{encoded.path}: {count(done.rows, 'record')}, {size(done.bytes)} of data, {done.ids:,} ids, {rate}")

"""`ult decode`: shards back to records, and the messages on records that a model wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ult.cli.keys import Identities, PassphraseFile, TableFile, key_of
from ult.cli.options import Force, Workers
from ult.host import portable
from ult.owner.pipeline.memory import return_freed_memory

if TYPE_CHECKING:
    from ult.owner.decode import Decoded


def decode(
    shards: Annotated[Path, typer.Argument(help="A shards folder.", show_default=False)],
    table: TableFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help=".txt, .jsonl, .csv, .parquet, .npz, or a folder of images.")
    ],
    prefix: Annotated[
        bool, typer.Option("--prefix", help="For a model's output: decode the longest valid prefix of each record.")
    ] = False,
    workers: Workers = None,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Decode shards back to records, with the table that encoded them."""
    return_freed_memory()  # before Arrow is loaded
    from ult.host.bar import stages
    from ult.owner.decode import decode as write
    from ult.public.shards import Shards

    opened = Shards(shards)
    key = key_of(table, passphrase_file, identity)
    with stages("decoding") as progress:
        many = portable.cpus() if workers is None else workers
        decoded = write(opened, table, out, **key, prefix=prefix, workers=many, force=force, progress=progress)
    tell_decoded(decoded)


def tell_decoded(decoded: Decoded) -> None:
    """Print how many records were written, and what became of the others."""
    from ult.cli.console import note, say
    from ult.host.shown import count

    cut = f"; {decoded.whole} of {decoded.asked} decode as they are, {decoded.cut} are cut to a prefix"
    say(f"{decoded.path}: {count(decoded.records, 'record')}{cut if decoded.prefix else ''}")
    for remark in decoded.remarks():
        note(remark)

"""`ult.decode`: decode shards, or what a model wrote, to files, as `ult decode` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.data import Sink, open_sink
from ult.data.composed.nested_sink import open_nested_sink
from ult.data.composed.record_sink import open_record_sink
from ult.errors import CorruptSymbols
from ult.host import arguments
from ult.host.arguments import KEYS, checked, integer, path, switch
from ult.host.bar import shown
from ult.host.progress import Progress, counted, on_stderr
from ult.host.shown import Facts, Shown, count
from ult.owner.constrained import read_written
from ult.owner.inputs import Secret, check_encoded, schema_of, secret, table_argument
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.pipeline.decoding import decoded
from ult.owner.table import Table
from ult.public import folders
from ult.public.folders import Folder
from ult.public.manifest import IDS, UNTOLD


@dataclass(frozen=True, slots=True, repr=False)
class Decoded(Shown):
    """How many records were decoded and written.

    Of `asked` sequences of ids, `whole` decode as they are, `cut` decode only up to some id, and of `nothing` not even
    a beginning decodes; only what a model wrote is cut or left out. `told` says whether the shards name their table.
    `path` is None if the records were not written to a file.
    """

    path: Path | None
    asked: int  # sequences of ids
    whole: int
    cut: int = 0
    prefix: bool = False  # whether records could be cut
    told: bool = True

    @property
    def records(self) -> int:
        """The number of records that were written."""
        return self.whole + self.cut

    @property
    def nothing(self) -> int:
        """The number of sequences of which not even a beginning decodes."""
        return self.asked - self.records

    def facts(self) -> Facts:
        """Return the path of the records, and how many there are."""
        cut = [("decode as they are", f"{self.whole:,}"), ("cut to a prefix", f"{self.cut:,}")] if self.prefix else []
        file = [("file", str(self.path))] if self.path else []
        return [*file, ("records", f"{self.records:,}"), *cut]

    def __repr__(self) -> str:
        cut = f"; {self.whole} of {self.asked} decode as they are, {self.cut} are cut to a prefix"
        return f"<Decoded {self.path}: {count(self.records, 'record')}{cut if self.prefix else ''}>"

    def remarks(self) -> list[str]:
        """Return what the owner should know about the records, in one sentence each."""
        untold = [] if self.told else ["the shards do not name their table: nothing shows whether it is the one"]
        left = [f"{self.nothing} of {self.asked} do not decode and are left out"] if self.nothing else []
        return untold + left


@checked(
    shards=folders.shards_argument,
    table=table_argument,
    out=path,
    prefix=switch,
    workers=integer(1),
    **KEYS,
    force=switch,
    progress=arguments.call,
)
@shown("decoding")
def decode(
    shards: Folder,
    table: Secret,
    out: str | Path,
    *,
    prefix: bool = False,
    workers: int = 1,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    force: bool = False,
    progress: Progress = on_stderr,
) -> Decoded:
    """Decode a shards folder with the table that encoded it, and write the records to `out`.

    The arguments are those of `ult decode`, and the file is the same, byte for byte. The suffix of `out` decides its
    form: .txt, .jsonl, .csv, .parquet or .npz, or a folder of images. With `prefix`, meant for what a model wrote, the
    longest prefix of each record that decodes is written. The kept columns of the shards are written too. `workers` is
    the number of processes that decode texts of many parts; no byte depends on it.

    Raises `MissingSource`, `FormatError`, `WrongKey`, `WrongTable`, `CorruptSymbols`, `OutputExists` or `OutputError`;
    then nothing was written.

    For example, after `ult.encode`:

        ult.decode("notes.shards", "notes.ult", "back.csv", passphrase=getpass)
    """
    opened, out = folders.opened(shards), Path(out)
    key, manifest = secret(table, passphrase, identities), opened.manifest
    check_encoded(opened, key, table if isinstance(table, str | Path) else None)
    told = manifest.table != UNTOLD
    if prefix:
        kept = opened.to_arrow().drop_columns([IDS]) if manifest.kept else None
        return write_decoded(list(opened.ids()), key, out, column=manifest.column, kept=kept, told=told, force=force)
    in_clear = opened.kept_schema() if manifest.kept else None  # which reads a part
    with sink_of(out, key, manifest.column, in_clear, force=force) as sink:
        for batch in counted(decoded(opened, key, workers), progress, "decoding", lambda batch: batch.rows):
            sink.write(batch.records, batch.kept)
    return Decoded(out, manifest.rows, manifest.rows, told=told)


def write_decoded(
    many: Sequence[NDArray[np.uint32]],
    table: Table,
    out: Path,
    *,
    column: str,
    kept: pa.Table | None = None,
    told: bool = True,
    force: bool = False,
) -> Decoded:
    """Decode what a model wrote: of each sequence of ids (n,), write the record of the longest prefix that decodes.

    `kept` has one line for each sequence. Raises `CorruptSymbols` if none decodes.
    """
    written = read_written(many, table)
    if not written.records:
        raise CorruptSymbols(f"none of {len(many)} records of ids decodes, not even in part", hint="train longer")
    with sink_of(out, table, column, None if kept is None else kept.schema, force=force) as sink:
        sink.write(written.records, None if kept is None else kept.take(written.rows))
    return Decoded(out, len(many), written.whole, written.cut, prefix=True, told=told)


def sink_of(out: Path, table: Table, column: str, kept: pa.Schema | None, *, force: bool) -> Sink:
    """Return what writes records of a table to `out`. Raises `OutputExists`, `OutputError` or `InvalidConfig`."""
    layout = schema_of(table)
    if layout is not None and sum(one.kind == "rows" for one in layout.fields) > 1:
        return open_nested_sink(out, layout, kept, force=force)
    if layout is not None:
        return open_record_sink(out, layout, kept, force=force)
    return open_sink(
        out, modality=table.codec.modality, column=column, fields=table.fields, kept_schema=kept, force=force
    )

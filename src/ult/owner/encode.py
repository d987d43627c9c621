"""`ult.encode`: encode files to shards of ids, as `ult encode` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as binding
from pathlib import Path
from typing import Any

import pyarrow

from ult.data import Source
from ult.errors import InvalidRecord
from ult.host import arguments
from ult.host.arguments import COLUMNS, KEYS, checked, integer, path, switch
from ult.host.bar import shown
from ult.host.distribution import build
from ult.host.progress import Notice, Progress, on_stderr, unheard
from ult.host.shown import Facts, Shown, count, size
from ult.owner.canaries import plant
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
)  # fmt: skip
from ult.owner.keyfile import Identities, Passphrase
from ult.owner.pipeline import pieces
from ult.owner.pipeline.choose import choose
from ult.owner.pipeline.engine import Engine
from ult.owner.pipeline.halves import encode_halves
from ult.owner.pipeline.resume import Partial
from ult.owner.table import Table
from ult.public.id_columns import check_kept
from ult.public.manifest import Canaries, Manifest
from ult.public.shards import Shards

PART_BYTES = 2**24  # about how many bytes of input a part holds


@dataclass(frozen=True, slots=True, repr=False)
class Encoded(Shown):
    """A shards folder that was written: its manifest, and facts on the records in it.

    For `series/mulaw`, `clipped` of the `values` lie outside the table's range and are decoded to an end of it.
    `nonmembers` is the second folder, if a coin assigned each record to one of two. `table` is the path of the table,
    if it was read from a file.
    """

    path: Path
    manifest: Manifest  # `rows` records, `ids` ids, `bytes` bytes of original data
    nonmembers: Encoded | None = None
    clipped: int = 0  # values
    values: int = 0
    table: Path | None = None
    told: tuple[str, ...] = ()  # remarks on the inputs

    @property
    def shards(self) -> Shards:
        """The folder, opened."""
        return Shards(self.path)

    def facts(self) -> Facts:
        """Return the path of the shards, how much they hold, and which columns are in the clear."""
        done = self.manifest
        return [
            ("folder", str(self.path)),
            ("records", f"{done.rows:,}"),
            ("original data", size(done.bytes)),
            ("ids", f"{done.ids:,}"),
            ("ids a byte", f"{done.ids / done.bytes:.4f}" if done.bytes else "no bytes"),
            ("codec", done.codec),
            ("table", done.table),
            ("in the clear", ", ".join(done.kept) or "nothing"),
            *([("nonmembers", str(self.nonmembers.path))] if self.nonmembers else []),
        ]

    def __repr__(self) -> str:
        done = self.manifest
        return f"<Encoded {self.path}: {count(done.rows, 'record')}, {size(done.bytes)} of data, {done.ids:,} ids>"

    def remarks(self) -> list[str]:
        """Return what the owner should know about the shards, in one sentence each."""
        found = []
        if self.nonmembers is not None:
            members, nonmembers = self.path, self.nonmembers.path
            found += [
                f"a coin, tossed after the table was fitted, decided where each record goes: train on {members}, then "
                f"ult audit model RUN --members {members} --nonmembers {nonmembers}",
                "equal records may be in both: run ult dedupe first, or records of "
                f"{nonmembers} that {members} holds too hide leaks",
            ]
        found += self.told
        if self.clipped:
            found.append(of_clipped(self.clipped, self.values))
        if planted := self.manifest.canaries:
            where = " among the members alone" if self.nonmembers else ""
            audit = f"ult audit model RUN --canaries {planted.count} -t {self.table or 'TABLE'}"
            found.append(f"{planted.count} canaries planted{where}, each {planted.repeats} times: {audit}")
        if self.manifest.kept:
            names = ", ".join(self.manifest.kept)
            both = "both hold" if self.nonmembers else f"{self.path} holds"
            found.append(f"{both} {names} in the clear, for whoever has {'them' if self.nonmembers else 'it'}")
        return found


@checked(
    inputs=arguments.inputs,
    table=table_argument,
    out=path,
    **COLUMNS,
    keep_identifier=switch,
    drop=arguments.texts("the name of a column"),
    canonical=switch,
    side=arguments.text(),
    canaries=integer(0),
    repeats=integer(1),
    coin_split=path,
    **KEYS,
    part_bytes=integer(1),
    workers=integer(1),
    engine=arguments.text(),
    address=arguments.text(),
    force=switch,
    progress=arguments.call,
    notice=arguments.call,
)
@shown("encoding")
def encode(
    inputs: Inputs,
    table: Secret,
    out: str | Path,
    *,
    column: str | None = None,
    keep: Sequence[str] = (),
    keep_identifier: bool = False,
    drop: Sequence[str] = (),
    canonical: bool = False,
    side: str | None = None,
    reading: Mapping[str, str | float] | None = None,
    canaries: int = 0,
    repeats: int = 10,
    coin_split: str | Path | None = None,
    passphrase: Passphrase | None = None,
    identities: Identities = (),
    part_bytes: int = PART_BYTES,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    force: bool = False,
    progress: Progress = on_stderr,
    notice: Notice = unheard,
) -> Encoded:
    """Encode the records of files to a shards folder `out`, for whoever trains the model.

    The arguments are those of `ult encode`, and the folder is the same, byte for byte. `table` is an open table, what
    `ult.fit` returned, or the path of a file that `passphrase` or `identities` open, as for `Table.load`. The shards
    hold the columns `keep` in the clear, which may only look like they say who somebody is with `keep_identifier`.
    `drop` names columns that a table of `record/columns` has not. After an interruption, the same call continues where
    the last one stopped, and tells `notice` so. `workers` is the number of processes, by default that of all cores; no
    byte depends on it.

    Raises `InvalidConfig`, `WrongKey`, `SourceError`, `InvalidRecord`, `OutputExists`, `OutputError` or `EngineError`.

    For example, after `ult.fit`:

        encoded = ult.encode("notes.csv", fitted.table, "notes.shards", column="text", keep=["label"])
        encoded.shards.to_arrow()
    """
    chosen = choose(engine, address, workers)
    key = secret(table, passphrase, identities)
    layout = schema_of(key, texts(drop))
    of: dict[str, Any] = {"column": column, "keep": keep, "canonical": canonical, "side": side, "reading": reading}
    of |= {"keep_identifier": keep_identifier, "engine": chosen}
    source = opened(inputs, modality=key.codec.modality, schema=layout, **of)
    if layout is None and source.fields != key.fields:
        raise InvalidRecord(
            f"the input has {len(source.fields)} value columns that are not the table's {len(key.fields)}, in order",
            hint="encode the columns that the table was fitted on",
        )
    check_kept(source.kept_schema)
    command = {
        "table": key.fingerprint,
        "inputs": source.stamp,
        "column": source.column,
        "kept": [[field.name, str(field.type)] for field in source.kept_schema],
        "canonical": canonical,
        "side": side,
        **({"reading": dict(reading)} if reading else {}),
        **({"dropped": list(layout.dropped)} if layout is not None else {}),
        "canaries": [canaries, repeats],
        "part_bytes": part_bytes,
        "versions": {"build": build(), "pyarrow": pyarrow.__version__},  # which decide the bytes of Parquet
    }
    work = _Work(key, source, command, chosen, Canaries(canaries, repeats) if canaries else None, force, progress)
    to, aside = Path(out), None if coin_split is None else Path(coin_split)
    done = work.whole(to, notice) if aside is None else work.halves(to, aside, notice)
    clipped, values, untold = count_clipped(key.codec, source)
    told = [
        *remarks(source),
        *of_metadata(key.codec, source),
        *([f"how many values are clipped cannot be told: {untold}"] if untold else []),
    ]
    file = Path(table) if isinstance(table, str | Path) else None if isinstance(table, Table) else table.path
    return replace(done, clipped=clipped, values=values, table=file, told=tuple(told))


@dataclass(frozen=True, slots=True)
class _Work:
    """What to encode, and how."""

    table: Table
    source: Source
    command: Mapping[str, Any]
    engine: Engine
    canaries: Canaries | None
    force: bool
    progress: Progress

    @property
    def read(self) -> Callable[[], Any]:
        return binding(self.source.pieces, self.command["part_bytes"])

    def advance(self, more: int) -> None:
        self.progress("encoding", more)

    def whole(self, out: Path, notice: Notice) -> Encoded:
        """Encode all records to one folder."""
        with Partial(out, dict(self.command), force=self.force) as partial:
            _going_on(notice, partial)
            if not partial.published:
                planted = self.canaries
                many = plant(self.read, self.table, planted.count, planted.repeats) if planted else self.read()
                pieces.encode(
                    many,
                    self.table,
                    partial,
                    column=self.source.column,
                    kept=self.source.kept_schema,
                    engine=self.engine,
                    canaries=planted,
                    check=self.source.check_unchanged,
                    advance=self.advance,
                )
        return Encoded(out, partial.manifest)

    def halves(self, out: Path, aside: Path, notice: Notice) -> Encoded:
        """Encode the members to `out` and the nonmembers to `aside`, as a coin decides."""
        members, nonmembers = encode_halves(
            self.read,
            self.table,
            (out, aside),
            self.command,
            column=self.source.column,
            kept=self.source.kept_schema,
            engine=self.engine,
            canaries=self.canaries,
            check=self.source.check_unchanged,
            opened=binding(_going_on, notice),
            advance=self.advance,
            force=self.force,
        )
        return Encoded(out, members, nonmembers=Encoded(aside, nonmembers))


def _going_on(notice: Notice, partial: Partial) -> None:
    """Tell which parts an earlier, interrupted call left, and which of these are lost."""
    if partial.parts:
        notice(f"going on: {count(len(partial.parts), 'part')} of {partial.path} finished already")
    if partial.lost:
        notice(f"{', '.join(partial.lost)} of {partial.path} was deleted or altered since and is written again")

"""`ult.forget.shards`: shards without the records that are to be forgotten, and a tombstone in their place.

It needs no table: the trainer, who may hold a copy, can do it as well as the owner.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ult.errors import InvalidConfig
from ult.host.arguments import checked, path, switch
from ult.host.free import check_free
from ult.host.shown import Facts, Shown, count
from ult.public import folders
from ult.public.folders import Folder
from ult.public.gone import Gone, as_gones, gone_argument
from ult.public.id_columns import record_ids
from ult.public.manifest import IDS, Tombstone
from ult.public.shard_writer import ShardWriter
from ult.public.shards import SHARDS, Shards
from ult.trainer.datasets.without import Without


@dataclass(frozen=True, slots=True, repr=False)
class Taken(Shown):
    """Shards from which records were taken out."""

    shards: Shards
    rows: int  # records that went
    before: Path

    def facts(self) -> Facts:
        """Return how many records went and how many stay."""
        stays = self.shards.manifest.rows
        return [("folder", str(self.shards.path)), ("records taken out", f"{self.rows:,}"), ("left", f"{stays:,}")]

    def remarks(self) -> list[str]:
        """Return what still holds the records, in one sentence each."""
        return [
            f"{self.before} still holds {count(self.rows, 'record')}: remove it and its copies, at the trainer's too, "
            "once ult forget run has read it"
        ]


@checked(shards=folders.shards_argument, out=path, rows=gone_argument, force=switch)
def take_out(
    shards: Folder, out: str | Path, *, rows: Gone | str | Path | Sequence[Gone | str | Path], force: bool = False
) -> Taken:
    """Write `out`, the shards without the records that files of `ult forget find` name, and return it.

    Its manifest has a tombstone for each file: how many records went, of which shards, on which day. A training on it
    gives the weights that `--without` gives on the old shards. How many bytes of original data are left is estimated by
    the share of the ids, as nobody without the table can count them.

    Raises `InvalidConfig` if no record is named of these shards, `FormatError`, `OutputExists` or `OutputError`.

    For example, after `ult.forget.find`:

        ult.forget.shards("notes.shards", "notes2.shards", rows="gone.rows")
    """
    opened, out = folders.opened(shards), Path(out)
    check_free(out, SHARDS, force=force)
    without = Without.open(as_gones(rows), [opened])
    stays = None if without is None else without.stays(opened)
    if without is None or stays is None:
        raise InvalidConfig(f"the records were taken out of {opened.path} before; nothing is left to take out")
    told, day = opened.manifest, datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    stones = [
        Tombstone(told.digest, len(lot.every), gone.digest, day)
        for gone in without.gones
        if (lot := gone.of(opened)) is not None
    ]
    with ShardWriter(
        out,
        vocabulary=opened.vocabulary,
        table=told.table,
        codec=told.codec,
        column=told.column,
        kept=opened.kept_schema(),
        canaries=told.canaries,
        coin=told.coin,
        privacy=told.privacy,
        public_table=told.public_table,
        forgotten=[*told.forgotten, *stones],
        **({"written_by": told.written_by} if told.written_by else {}),
        part_ids=1,  # a part for each part, as it was
        force=force,
    ) as writer:
        first = 0
        for number, part in enumerate(told.parts):
            table = opened.part(number)
            left = table.filter(pa.array(stays[first : first + part.rows]))
            first += part.rows
            many = record_ids(left)
            share = sum(map(len, many)) / part.ids if part.ids else 0.0
            writer.write(many, round(part.bytes * share), left.drop_columns([IDS]))
    return Taken(Shards(out), int((~stays).sum()), Path(str(opened.path)))

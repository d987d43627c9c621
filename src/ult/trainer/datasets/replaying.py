"""Open the shards that are replayed, and mix them into the samples of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ult.errors import InvalidConfig, WrongTable
from ult.public.shards import Shards
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import open_shards, summary
from ult.trainer.datasets.pairs import Pairs
from ult.trainer.datasets.per_table import PerTable
from ult.trainer.datasets.sampler import Mixture
from ult.trainer.replay import Replay


def opened(replay: Replay, shards: Sequence[Shards]) -> Shards:
    """Open the folder beside those that are trained on.

    Raises `WrongTable` unless it is of their table, and `InvalidConfig` if it is one of them.
    """
    (old,) = open_shards([replay.path], shards[0].vocabulary)
    tables = {one.manifest.table for one in shards}
    if old.manifest.table not in tables:
        raise WrongTable(
            f"{old.path} was encoded with table {old.manifest.table}; expected {', '.join(sorted(tables))}, or "
            "its ids mean other phrases",
            hint="their owner encodes the earlier records again: ult encode RECORDS -t TABLE, with the table of "
            f"{shards[0].path}",
        )
    if old.manifest.digest in {one.manifest.digest for one in shards}:
        raise InvalidConfig(
            f"{old.path} is trained on already, beside being replayed", hint="name earlier shards, or no --replay"
        )
    return old


def mixture_of(
    replay: Replay, shards: Sequence[Shards], data: Blocks | PerTable | Labelled | Pairs, rows: Sequence[int]
) -> Mixture:
    """Return which samples of `data` are of the replayed shards, the last of `shards`, and its share.

    `rows` is how many records of each folder are in `data`.

    Raises `InvalidConfig` for shards in which no sample starts.
    """
    starts = (0, data.sample_of(sum(rows[:-1])), data.sample_of(sum(rows)))
    if 0 in (starts[1], starts[2] - starts[1]):
        raise InvalidConfig(
            f"{shards[-1].path if starts[1] else shards[0].path} is too small for a share of its own: no block "
            "starts in it",
            hint="a smaller --context",
        )
    return Mixture(starts, (1 - replay.share, replay.share))


def told(replay: Replay, old: Shards) -> dict[str, Any]:
    """Return what `metrics.json` says of the shards, as JSON values."""
    (found,) = summary([old])
    return {"name": found["name"], "digest": found["digest"], "share": replay.share}

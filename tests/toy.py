"""Tiny shards of ids with a pattern, for the tests of the trainer's side; made without any table."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file

from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import Vocabulary
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.labelled import Labelled
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.recipe import Recipe

torch.set_num_threads(1)
SIZE = 64
TABLE, OTHER = "ab" * 16, "cd" * 16


def arguments_of(**options):
    """Return what `train` is given: a recipe of the options, and what is none beside it."""
    beside = ("targets", "validation", "validation_targets", "resume", "force")
    others = {name: options.pop(name) for name in beside if name in options}
    return {"recipe": Recipe(**options), **others}


def counting(rows, *, seed=0, low=32, high=64):
    """Records that count upwards by one, wrapping: the next id is certain, the end is not."""
    rng = np.random.default_rng(seed)
    starts, lengths = rng.integers(0, high - low, rows), rng.integers(3, 9, rows)
    return [((s + np.arange(n)) % (high - low) + low).astype(np.uint32) for s, n in zip(starts, lengths, strict=True)]


def write(path, records, *, size=SIZE, table=TABLE, kept=None, nbytes=None, **told):
    """Write a shards folder; `kept` maps column names to lists, `told` is what else the manifest says."""
    columns = pa.table(kept) if kept else None
    schema = columns.schema if kept else None
    with ShardWriter(
        path, vocabulary=Vocabulary(size), table=table, codec="text/bytes", column="text", kept=schema, **told
    ) as writer:
        writer.write(records, 3 * sum(map(len, records)) if nbytes is None else nbytes, columns)
    return Path(path)


def two_classes(path, rows=64, **options):
    """Write records whose class says which half of the ids they are made of."""
    low, high = counting(rows // 2, high=48), counting(rows // 2, low=48)
    records = [record for pair in zip(low, high, strict=True) for record in pair]
    return write(path, records, kept={"label": ["low", "high"] * (rows // 2)}, **options)


def reversals(folder, rows, *, seed=0, high=64):
    """Write sources of up to 5 ids and, under another table, their ids in reverse; return the paths of both."""
    rng = np.random.default_rng(seed)
    records = [rng.integers(32, high, rng.integers(1, 6)).astype(np.uint32) for _ in range(rows)]
    backwards = [record[::-1] for record in records]
    return write(Path(folder) / "sources", records), write(Path(folder) / "targets", backwards, table=OTHER)


def blocks(folder, paths, *, context):
    """Pack shards into a folder and open them as blocks."""
    pack(open_shards(paths), folder)
    return Blocks.open(folder, context=context)


def labelled(folder, paths, *, context, label="label"):
    """Pack shards into a folder and open them as labelled records."""
    classes = pack(open_shards(paths), folder, label=label)
    return Labelled.open(folder, context=context, label=label, classes=classes)


def weights(run):
    """The tensors of a run."""
    return load_file(run / "model.safetensors")


def same(a, b):
    """Whether two sets of tensors by name are the very same."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)

"""Shards: what an owner gives to a trainer, or a trainer gives back."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from reading import Made, file

TABLE = "ab" * 16


def shards_folder(folder: Path) -> Path:
    """Write small shards with two kept columns."""
    import pyarrow as pa

    from ult import Vocabulary
    from ult.public.shard_writer import ShardWriter

    kept = pa.table({"label": ["a", "b", None] * 4, "n": list(range(12))})
    about: dict[str, Any] = {"vocabulary": Vocabulary(64), "table": TABLE, "codec": "text/bytes", "column": "text"}
    with ShardWriter(folder / "x.shards", **about, kept=kept.schema, part_ids=30) as writer:
        for start in (0, 6):
            many = [np.arange(32, 32 + n, dtype=np.uint32) for n in range(start, start + 6)]
            writer.write(many, 100, kept.slice(start, 6))
    return folder / "x.shards"


def all_of(path: Path) -> None:
    """Read shards as a trainer and an owner do."""
    from ult.public.shards import Shards

    opened = Shards(path)
    list(opened.ids())
    opened.kept_schema()


def journal(folder: Path) -> Made:
    """What a killed `ult encode` goes on from."""
    from ult.owner.pipeline.resume import FORMAT, Partial

    told = json.loads((shards_folder(folder) / ".manifest.json").read_bytes())
    partial = Partial(folder / "y.shards", {"table": TABLE})
    partial.folder.mkdir()
    lines = [{"format": FORMAT, "table": TABLE}, *({"number": k, **one} for k, one in enumerate(told["parts"]))]
    seeds = ["".join(json.dumps(line) + "\n" for line in lines).encode()]
    return seeds, file(partial.folder, "progress.jsonl", lambda _: partial._read())


def manifest(folder: Path) -> Made:
    path = shards_folder(folder)
    text = json.loads((path / ".manifest.json").read_bytes())
    private = {**text, "format": "ult-shards/2"}
    private["privacy"] = {"epsilon": 1.0, "delta": 0.1, "patches": 4, "noise": 1.0, "threshold": 2.0}
    told = {**private, "format": "ult-shards/3", "canaries": {"count": 2, "repeats": 3}, "public_table": True}
    told["coin"] = {"split": "0f" * 16, "side": "members", "records": 40}
    seeds = [json.dumps(one).encode() for one in (text, private, told)]
    return seeds, file(path, ".manifest.json", lambda _: all_of(path))


def part(folder: Path) -> Made:
    """Parquet parts, whose digest the manifest has: of right and of wrong columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = shards_folder(folder)
    told = json.loads((path / ".manifest.json").read_bytes())
    first = told["parts"][0]
    whole = pq.read_table(path / first["name"])
    others = [
        whole.rename_columns(["input_ids", "n", "label"]),
        whole.select([1, 2, 0]),
        pa.table(
            {**dict(zip(whole.column_names, whole.columns, strict=True)), "input_ids": pa.array(range(len(whole)))}
        ),
        *(whole.set_column(0, "input_ids", column) for column in _strange_ids(len(whole))),
    ]
    seeds = [(path / first["name"]).read_bytes()] * 4 + [parquet(one) for one in others]
    seeds += [parquet(whole, compression=kind) for kind in ("NONE", "snappy", "gzip")] + [parquet(whole, version="1.0")]
    read = file(path, first["name"], lambda _: all_of(path))

    def signed(data: bytes) -> None:
        first["sha256"] = hashlib.sha256(data).hexdigest()
        (path / ".manifest.json").write_text(json.dumps(told), encoding="utf-8")
        read(data)

    return seeds, signed


def _strange_ids(rows: int) -> list[Any]:
    import pyarrow as pa

    lists = [[33] * n for n in range(rows)]
    return [
        pa.array(lists, pa.list_(pa.int64())),
        pa.array(lists, pa.large_list(pa.int32())),
        pa.array([[33, 34]] * rows, pa.list_(pa.int32(), 2)),
        pa.array([[None, 33]] * rows, pa.list_(pa.int32())),
        pa.array([None] * rows, pa.list_(pa.int32())),
        pa.array([[-1, 2**31 - 1]] * rows, pa.list_(pa.int32())),
        pa.array([[lists[0]]] * rows, pa.list_(pa.list_(pa.int32()))),
        pa.array(["a"] * rows),
    ]


def parquet(table: Any, **options: Any) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()

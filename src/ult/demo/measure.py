"""The demo's measurements that no command makes: another table forced, and the same notes without a table."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ult.data import open_source
from ult.errors import CorruptSymbols
from ult.owner.table import Table
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import N_SPECIAL, Vocabulary

PLAIN = "raw/bpe"  # the codec that the baseline's manifest names
PLAIN_TABLE = b"no table, plain ".hex()  # 32 hexadecimal digits in the place of a fingerprint


def texts(path: str) -> list[str]:
    """Return the notes of a file, in its order."""
    return list(open_source([path], modality="text", column="text"))


def short(text: str, n: int) -> str:
    """Return a text on one line, cut to `n` characters."""
    text = " ".join(text.split())
    return text if len(text) <= n else text[: n - 1] + "…"


def came_back(notes: Sequence[str], decoded: Sequence[str]) -> int:
    """Return how many of `notes` are among `decoded`, each counted once."""
    return (Counter(notes) & Counter(decoded)).total()


def forced(truth: Sequence[str], shards: str, table: str) -> dict[str, Any]:
    """Decode shards with a table of somebody else, past the check of the fingerprint."""
    other = Table.load(table)
    decoded, exact, shown = 0, 0, ("", "")
    for text, ids in zip(truth, Shards(shards).ids(), strict=True):
        try:
            said = other.decode(ids)
        except CorruptSymbols:
            continue
        decoded += 1
        exact += said == text
        if not shown[0]:
            shown = (short(text, 240), short(said, 240))
    return {"records": len(truth), "decoded": decoded, "exact": exact, "truth": shown[0], "nonsense": shown[1]}


def plain_shards(size: int, train: Sequence[str], parts: dict[str, Sequence[str]]) -> None:
    """Write `parts` as shards of plain tokens: byte pairs of Hugging Face tokenizers, `size` ids as in the table."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(train, vocab_size=size - N_SPECIAL, min_frequency=2, show_progress=False)
    for path, records in parts.items():
        ids = [np.array(found.ids, np.uint32) + N_SPECIAL for found in tokenizer.encode_batch(list(records))]
        vocabulary = Vocabulary(size)
        with ShardWriter(path, vocabulary=vocabulary, table=PLAIN_TABLE, codec=PLAIN, column="text") as writer:
            writer.write(ids, sum(len(record.encode()) for record in records))


def economy(ours: Sequence[str], plain: Sequence[str], records: Sequence[str]) -> dict[str, Any]:
    """Return what the same records take as ids of the table, as plain tokens, and packed by gzip.

    `ids`, and `stored` bytes: of the parts of shards, and of one gzip file of all records, a line each.
    """
    packed = gzip.compress("\n".join(records).encode(), 9, mtime=0)
    nbytes = sum(len(record.encode()) for record in records)
    found: dict[str, Any] = {"records": len(records), "bytes": nbytes, "gzip": {"stored": len(packed)}}
    for name, many in (("ids", ours), ("plain", plain)):
        ids = sum(Shards(path).manifest.ids for path in many)
        stored = sum(file.stat().st_size for path in many for file in Path(path).glob("*.parquet"))
        found[name] = {"ids": ids, "ids_per_byte": ids / nbytes, "stored": stored}
    return found


def compared(ids: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Return the ratio of bits per byte on ids to those on plain tokens, and the widest interval that both leave."""
    (low, high), (plain_low, plain_high) = ids["bits_per_byte_interval"], plain["bits_per_byte_interval"]
    ratio = ids["bits_per_byte"] / plain["bits_per_byte"]
    return {"ids": ids, "plain": plain, "ratio": ratio, "ratio_interval": [low / plain_high, high / plain_low]}


def passages(path: str) -> list[dict[str, Any]]:
    """Return what the best attack read of the notes, beside the truth."""
    found: list[dict[str, Any]] = json.loads(Path(path).read_bytes())["pairs"]
    return found

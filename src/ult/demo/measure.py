"""The demo's measurements that no command makes: decoding with a wrong table, and the same notes without a table."""

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

PLAIN = "raw/bpe"  # the codec in the manifest of the baseline
PLAIN_TABLE = b"no table, plain ".hex()  # 32 hexadecimal digits instead of a table's fingerprint


def texts(path: str) -> list[str]:
    """Return the notes in a file, in the order of the file."""
    return list(open_source([path], modality="text", column="text"))


def short(text: str, n: int) -> str:
    """Return a text on one line, cut to `n` characters."""
    text = " ".join(text.split())
    return text if len(text) <= n else text[: n - 1] + "…"


def came_back(notes: Sequence[str], decoded: Sequence[str]) -> int:
    """Return how many of `notes` are in `decoded`; equal notes count as often as they are in both."""
    return (Counter(notes) & Counter(decoded)).total()


def forced(truth: Sequence[str], shards: str, table: str) -> dict[str, Any]:
    """Decode shards with another party's table, without the check of the fingerprint, and compare with `truth`.

    Returns the numbers of records, of those that decoded, and of exact ones, and one pair of texts to show.
    """
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
    """Write `parts`, records by path, as shards of plain tokens, for a vocabulary of `size` ids as the table has.

    The tokens are byte-level byte pairs of Hugging Face tokenizers, learned from `train`.
    """
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(train, vocab_size=size - N_SPECIAL, min_frequency=2, show_progress=False)
    for path, records in parts.items():
        ids = [np.array(found.ids, np.uint32) + N_SPECIAL for found in tokenizer.encode_batch(list(records))]
        vocabulary = Vocabulary(size)
        with ShardWriter(path, vocabulary=vocabulary, table=PLAIN_TABLE, codec=PLAIN, column="text") as writer:
            writer.write(ids, sum(len(record.encode()) for record in records))


def economy(ours: Sequence[str], plain: Sequence[str], records: Sequence[str]) -> dict[str, Any]:
    """Return the size of the same records as ids of the table, as plain tokens, and compressed by gzip.

    `ids` counts ids. `stored` is in bytes: of all parts of the shards, or of one gzip file with a line per record.
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
    """Return both measurements, the ratio of bits per byte, ids to plain tokens, and its widest possible interval."""
    (low, high), (plain_low, plain_high) = ids["bits_per_byte_interval"], plain["bits_per_byte_interval"]
    ratio = ids["bits_per_byte"] / plain["bits_per_byte"]
    return {"ids": ids, "plain": plain, "ratio": ratio, "ratio_interval": [low / plain_high, high / plain_low]}


def passages(path: str) -> list[dict[str, Any]]:
    """Return passages of the notes as the best attack read them, each with the true text."""
    found: list[dict[str, Any]] = json.loads(Path(path).read_bytes())["pairs"]
    return found

"""Tokens of raw data in the place of ids, so that the very same training and evaluation run on them.

A baseline turns texts into ids and writes shards as `ult encode` does; the fingerprint of its table says "raw".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.base import Codec
from ult.shards import ShardWriter
from ult.table import Table
from ult.vocabulary import N_SPECIAL, Vocabulary

Ids = NDArray[np.uint32]  # (n,), from N_SPECIAL on


class Encoder(Protocol):
    """What makes ids of texts."""

    codec: str
    size: int  # of the vocabulary, special ids included

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""


class Ours:
    """A table of `ult`, fitted on the texts to train on."""

    def __init__(self, train: Sequence[str], size: int, codec: str | Codec[str] = "text/bytes") -> None:
        self.table = Table.fit(train, codec=codec, vocabulary=Vocabulary(size))
        self.codec, self.size = self.table.codec.id, size

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""
        return self.table.encode_batch(texts)

    def decode(self, ids: Ids) -> str:
        """Return what a model wrote, as far as it spells a text."""
        text: str = self.table.decode_prefix(ids)[0]
        return text


class Bytes:
    """UTF-8 bytes."""

    codec, size = "raw/bytes", N_SPECIAL + 256

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the bytes of each text."""
        return [np.frombuffer(text.encode(), np.uint8).astype(np.uint32) + N_SPECIAL for text in texts]

    def decode(self, ids: Ids) -> str:
        """Return the text of bytes; what is no UTF-8 becomes U+FFFD."""
        return (ids[ids >= N_SPECIAL] - N_SPECIAL).astype(np.uint8).tobytes().decode("utf-8", "replace")


class BytePairs:
    """Byte-level BPE of Hugging Face tokenizers."""

    codec = "raw/bpe"

    def __init__(self, train: Sequence[str], size: int) -> None:
        from tokenizers import ByteLevelBPETokenizer

        self._tokenizer = ByteLevelBPETokenizer()
        self._tokenizer.train_from_iterator(train, vocab_size=size - N_SPECIAL, min_frequency=2, show_progress=False)
        self.size = size

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the tokens of each text."""
        return [np.array(found.ids, np.uint32) + N_SPECIAL for found in self._tokenizer.encode_batch(list(texts))]

    def decode(self, ids: Ids) -> str:
        """Return the text of tokens."""
        known = ids[(ids >= N_SPECIAL) & (ids < N_SPECIAL + self._tokenizer.get_vocab_size())]
        text: str = self._tokenizer.decode((known - N_SPECIAL).tolist())
        return text


def write(path: Path, encoder: Encoder, texts: Sequence[str], labels: Sequence[str] | None = None) -> Path:
    """Write the shards of texts, with their labels beside them; return their folder."""
    table = encoder.table.fingerprint if isinstance(encoder, Ours) else fingerprint(encoder.codec)
    kept = None if labels is None else pa.table({"label": list(labels)})
    with ShardWriter(path, vocabulary=Vocabulary(encoder.size), table=table, codec=encoder.codec, column="text",
                     kept=None if kept is None else kept.schema, force=True) as writer:  # fmt: skip
        writer.write(encoder.encode(texts), sum(len(text.encode()) for text in texts), kept)
    return path


def fingerprint(codec: str) -> str:
    """Return 32 hexadecimal digits for ids that no table made: "raw" in ASCII, then a hash of the codec's name."""
    return b"raw".hex() + hashlib.sha256(codec.encode()).hexdigest()[:26]

"""Tokens of raw data in the place of ids, so that the very same training and evaluation run on them.

A baseline turns records into ids and writes shards as `ult encode` does; the fingerprint of its table says "raw".
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.codecs.base import Codec
from ult.owner.table import Table
from ult.public.shard_writer import ShardWriter
from ult.public.vocabulary import N_SPECIAL, Vocabulary

Ids = NDArray[np.uint32]  # (n,), from N_SPECIAL on
ATOMS = re.compile(
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>|\*|\$|\%[0-9]{2}|[0-9])"
)  # the tokens of Schwaller et al., "Found in Translation" (2018)
LEVELS, IMAGES = 256, 2000  # bins of a value; images of which `write_parts` writes the pixels


class Sized(Protocol):
    """What makes ids."""

    codec: str
    size: int  # of the vocabulary, special ids included


class Encoder(Sized, Protocol):
    """What makes ids of texts."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""


class Ours:
    """A table of `ult`, fitted on the records to train on."""

    def __init__(
        self, train: Sequence[Any], size: int, codec: str | Codec[Any] = "text/bytes", *, min_records: int = 1
    ) -> None:
        self.table = Table.fit(train, codec=codec, vocabulary=Vocabulary(size), min_records=min_records)
        self.codec, self.size = self.table.codec.id, size

    def encode(self, records: Sequence[Any]) -> list[Ids]:
        """Return the ids of each record."""
        return self.table.encode_batch(records)

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


class Pixels:
    """Bytes of pixels, row by row."""

    codec = "raw/pixels"

    def __init__(self, size: int = N_SPECIAL + 256) -> None:
        self.size = size

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Ids]:
        """Return the ids of each image."""
        return [image.ravel().astype(np.uint32) + N_SPECIAL for image in images]


class Atoms:
    """Atom-wise tokens of SMILES; one that the training text has not is spelled, a character at a time."""

    codec = "raw/atoms"

    def __init__(self, train: Sequence[str], size: int) -> None:
        tokens = {token for text in train for token in ATOMS.findall(text)}
        known = dict.fromkeys([*string.printable, *sorted(tokens)])
        if N_SPECIAL + len(known) > size:
            raise ValueError(f"{len(known)} tokens do not fit in {size - N_SPECIAL} ids: take a greater vocabulary")
        self._number, self.size = {token: N_SPECIAL + k for k, token in enumerate(known)}, size

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text."""
        split = [[part for part in ATOMS.split(text) if part] for text in texts]
        return [np.array([self._number[s] for t in parts for s in self._spelled(t)], np.uint32) for parts in split]

    def _spelled(self, token: str) -> Sequence[str]:
        return (token,) if token in self._number else token


class Bins:
    """Values in even bins between the least and the greatest of the training records."""

    codec = "raw/bins"

    def __init__(self, train: Sequence[NDArray[np.floating]], size: int) -> None:
        self._low, self._high = min(one.min() for one in train), max(one.max() for one in train)
        self.size = size

    def encode(self, records: Sequence[NDArray[np.floating]]) -> list[Ids]:
        """Return the bin of each value."""
        scaled = [(one - self._low) / (self._high - self._low) * (LEVELS - 1) for one in records]
        return [np.rint(np.clip(one, 0, LEVELS - 1)).astype(np.uint32) + N_SPECIAL for one in scaled]

    def decode(self, ids: Ids) -> NDArray[np.float64]:
        """Return the middle of each bin."""
        middle: NDArray[np.float64] = (ids - N_SPECIAL) / (LEVELS - 1) * (self._high - self._low) + self._low
        return middle


def raw_tokens(modality: str, train: Sequence[Any], size: int) -> Any:
    """Return what makes raw tokens of a modality; all take `size` ids, so that models are of one size."""
    if modality == "images":
        return Pixels(size)
    return {"text": BytePairs, "molecules": Atoms}.get(modality, Bins)(train, size)


def nbytes(record: Any) -> int:
    """Return the bytes of a text in UTF-8, or of an array."""
    return len(record.encode()) if isinstance(record, str) else int(record.nbytes)


def write_parts(folder: Path, encoder: Any, **parts: Sequence[Any]) -> None:
    """Write the shards of each of `parts` into a folder of its name; of raw pixels no more images than are read."""
    for name, records in parts.items():
        kept = records[:IMAGES] if isinstance(encoder, Pixels) else records
        write_ids(folder / name, encoder.encode(kept), encoder, sum(map(nbytes, kept)), column="record")


def write(path: Path, encoder: Encoder, texts: Sequence[str], labels: Sequence[str] | None = None) -> Path:
    """Write the shards of texts, with their labels beside them; return their folder."""
    return write_ids(path, encoder.encode(texts), encoder, sum(map(nbytes, texts)), labels)


def write_ids(
    path: Path,
    ids: Sequence[Ids],
    encoder: Sized,
    size: int,
    labels: Sequence[str] | None = None,
    *,
    column: str = "text",
) -> Path:
    """Write the shards of what `encoder` made of records of `size` bytes, with their labels; return their folder."""
    table = encoder.table.fingerprint if isinstance(encoder, Ours) else fingerprint(encoder.codec)
    kept = None if labels is None else pa.table({"label": list(labels)})
    with ShardWriter(path, vocabulary=Vocabulary(encoder.size), table=table, codec=encoder.codec, column=column,
                     kept=None if kept is None else kept.schema, force=True) as writer:  # fmt: skip
        writer.write(ids, size, kept)
    return path


def fingerprint(codec: str) -> str:
    """Return 32 hexadecimal digits for ids that no table made: "raw" in ASCII, then a hash of the codec's name."""
    return b"raw".hex() + hashlib.sha256(codec.encode()).hexdigest()[:26]

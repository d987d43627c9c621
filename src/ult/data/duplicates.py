"""Remove duplicate records before a table is fitted, because a model memorises what is repeated.

Near duplicates are texts that share most of their shingles, runs of five words (Lee et al. 2022, arXiv:2107.06499).
They are found by MinHash signatures of 128 values, whose estimate of the shared part has a standard error of some
0.035. The index that proposes pairs misses 2 to 4 % of those whose shared part is exactly the threshold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ult.codecs.cells import Cells
from ult.data.batch import Batch
from ult.data.seen import Digests, Seen
from ult.errors import InvalidConfig
from ult.host.extras import require

WORDS = 5
PERMUTATIONS = 128
MOST = 2**19  # digests that memory should hold: 16 MB


class Prints(NamedTuple):
    """What n records are compared by: digests (n, 2) uint64, and of texts perhaps their signatures, else None."""

    digests: Digests
    signatures: list[Any] | None


class Duplicates:
    """Finds records that were seen before, or whose shingles overlap one seen before by at least `near` (0 to 1).

    The overlap is the Jaccard similarity. `exact` and `near_found` count the duplicates. Keeps a digest of 16 bytes per
    distinct record, which takes some 40 bytes of memory, and with `near` a signature of 1 kB. Without, `many` says when
    digests are better put on the disk, and `handed_over` returns them and forgets them. Raises `InvalidConfig` for
    `near` out of range, `MissingExtra` without datasketch.
    """

    def __init__(self, near: float | None = None) -> None:
        self.near = near
        self.exact = self.near_found = 0
        self._seen = Seen()
        self._index: Any = None
        if near is None:
            return
        if not 0 < near < 1:
            raise InvalidConfig(f"near is {near!r}; expected between 0 and 1", hint="--near 0.8")
        with require("datasketch", extra="dedupe"):
            from datasketch import MinHashLSH
        # Weights that favour recall: false positives cost little, because `is_new` compares the signatures again.
        self._index = MinHashLSH(threshold=near, num_perm=PERMUTATIONS, weights=(0.02, 0.98))
        self._signatures: dict[bytes, Any] = {}

    def is_new(self, record: Any) -> bool:
        """Return whether the record is no duplicate of an earlier one, and remember it if so."""
        return self._are_new(prints_of([record], near=self.near is not None)) == [0]

    def distinct(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches without their duplicates, in order."""
        for batch in batches:
            yield self.without(batch, prints_of(batch.records, near=self.near is not None))

    def without(self, batch: Batch, prints: Prints) -> Batch:
        """Return the batch without duplicates of earlier records, or in it, by the `prints` of its records."""
        return rows_of(batch, self._are_new(prints))

    @property
    def many(self) -> bool:
        """Whether there are more digests than memory should hold, and nothing but digests."""
        return self.near is None and len(self._seen) > MOST

    def handed_over(self) -> Digests:
        """Return the digests (n, 2) of all records that were met, and forget them."""
        found, self._seen = self._seen.digests(), Seen()
        return found

    def _are_new(self, prints: Prints) -> list[int]:
        """Return the rows of the records that are no duplicates, and remember these."""
        new = self._seen.add(prints.digests)
        self.exact += int((~new).sum())
        rows: list[int] = np.flatnonzero(new).tolist()
        if prints.signatures is None:
            return rows
        return [row for row in rows if self._is_far(prints.digests[row].tobytes(), prints.signatures[row])]

    def _is_far(self, digest: bytes, signature: Any) -> bool:
        """Return whether no text seen before has a signature that is near to this one, and remember it if so."""
        if any(signature.jaccard(self._signatures[key]) >= self.near for key in self._index.query(signature)):
            self.near_found += 1
            return False
        self._index.insert(digest, signature)
        self._signatures[digest] = signature
        return True


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """Return the records of a batch with these numbers, which rise."""
    if len(rows) == batch.rows:
        return batch
    if isinstance(batch.records, Cells):
        return Batch(_taken(batch.records, rows), batch.kept.take(rows))
    records = list(batch.records)
    return Batch([records[row] for row in rows], batch.kept.take(rows))


def _taken(texts: Cells, rows: list[int]) -> Cells:
    """Return the texts with these numbers, as `Cells.taken` does, but without Numba, which takes a second to load."""
    stays = np.zeros(len(texts), np.bool_)
    stays[rows] = True
    return Cells(texts.data[np.repeat(stays, texts.sizes)], np.cumsum(texts.sizes[stays]), texts.nulls[stays])


def prints_of(records: Sequence[Any], *, near: bool) -> Prints:
    """Return what records are compared by; with `near`, of texts."""
    digests = b"".join(_digests(records) if isinstance(records, Cells) else map(digest_of, records))
    return Prints(
        np.frombuffer(digests, np.uint64).reshape(-1, 2),
        [_signature(record) for record in records] if near else None,
    )


def _digests(texts: Cells) -> list[bytes]:
    """Return the digest of each text, as `digest_of` does of a `str`."""
    data, found, start = texts.data.tobytes(), [], 0
    for end, null in zip(texts.ends.tolist(), texts.nulls.tolist(), strict=True):
        found.append(hashlib.blake2b(b"" if null else b"text" + data[start:end], digest_size=16).digest())
        start = end
    return found


def digest_of(record: Any) -> bytes:
    """Return 16 bytes by which equal records are known."""
    return hashlib.blake2b(_bytes(record), digest_size=16).digest()


def _bytes(record: Any) -> bytes:
    if record is None:
        return b""
    if isinstance(record, str):
        return b"text" + record.encode("utf-8", "surrogatepass")
    if isinstance(record, bytes):
        return b"bytes" + record
    if isinstance(record, tuple):  # cells, or rows
        parts = list(map(_bytes, record))
        return b"tuple" + b"".join(b"%d:" % len(part) + part for part in parts)
    array = np.ascontiguousarray(record)
    return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()


def _signature(record: str) -> Any:
    from datasketch import LeanMinHash, MinHash

    signature = MinHash(num_perm=PERMUTATIONS, seed=1)
    signature.update_batch(sorted(shingles(record)))
    return LeanMinHash(signature)  # without the permutations


def shingles(record: str) -> set[bytes]:
    """Return the runs of five words of a text, in lower case; of a shorter text all its words.

    >>> sorted(shingles("No fever, no chest pain today"))
    [b'fever no chest pain today', b'no fever no chest pain']
    """
    words = re.findall(r"\w+", record.lower())
    return {" ".join(words[k : k + WORDS]).encode() for k in range(max(1, len(words) - WORDS + 1))}

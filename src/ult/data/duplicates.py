"""Remove duplicate records before a table is fitted, because a model memorises what is repeated.

Near duplicates are texts that share most of their shingles, runs of five words (Lee et al. 2022, arXiv:2107.06499).
They are found by MinHash signatures of 128 values, whose estimate of the shared part has a standard error of some
0.035. The index that proposes pairs misses 2 to 4 % of those whose shared part is exactly the threshold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ult.data.batch import Batch
from ult.errors import InvalidConfig
from ult.host.extras import require

WORDS = 5
PERMUTATIONS = 128


class Duplicates:
    """Finds records that were seen before, or whose shingles overlap one seen before by at least `near` (0 to 1).

    The overlap is the Jaccard similarity. `exact` and `near_found` count the duplicates. Keeps 16 bytes per record, and
    with `near` a signature of 1 kB. Raises `InvalidConfig` for `near` out of range, `MissingExtra` without datasketch.
    """

    def __init__(self, near: float | None = None) -> None:
        self.exact = self.near_found = 0
        self._seen: set[bytes] = set()
        self._index: Any = None
        if near is None:
            return
        if not 0 < near < 1:
            raise InvalidConfig(f"near is {near!r}; expected between 0 and 1", hint="--near 0.8")
        with require("datasketch", extra="dedupe"):
            from datasketch import MinHashLSH
        # Weights that favour recall: false positives cost little, because `is_new` compares the signatures again.
        self._near, self._index = near, MinHashLSH(threshold=near, num_perm=PERMUTATIONS, weights=(0.02, 0.98))
        self._signatures: dict[bytes, Any] = {}

    def is_new(self, record: Any) -> bool:
        """Return whether the record is no duplicate of an earlier one, and remember it if so."""
        digest = digest_of(record)
        if digest in self._seen:
            self.exact += 1
            return False
        self._seen.add(digest)
        if self._index is None:
            return True
        signature = _signature(record)
        if any(signature.jaccard(self._signatures[key]) >= self._near for key in self._index.query(signature)):
            self.near_found += 1
            return False
        self._index.insert(digest, signature)
        self._signatures[digest] = signature
        return True

    def distinct(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches without their duplicates, in order."""
        for batch in batches:
            rows = [row for row, record in enumerate(batch.records) if self.is_new(record)]
            records = list(batch.records)
            yield Batch([records[row] for row in rows], batch.kept.take(rows))


def digest_of(record: Any) -> bytes:
    """Return 16 bytes by which equal records are known."""
    return hashlib.blake2b(_bytes(record), digest_size=16).digest()


def _bytes(record: Any) -> bytes:
    if record is None:
        return b""
    if isinstance(record, str):
        return b"text" + record.encode("utf-8", "surrogatepass")
    if isinstance(record, tuple):  # cells, or rows
        parts = list(map(_bytes, record))
        return b"tuple" + b"".join(b"%d:" % len(part) + part for part in parts)
    array = np.ascontiguousarray(record)
    return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()


def _signature(record: str) -> Any:
    from datasketch import MinHash

    signature = MinHash(num_perm=PERMUTATIONS, seed=1)
    signature.update_batch(sorted(shingles(record)))
    return signature


def shingles(record: str) -> set[bytes]:
    """Return the runs of five words of a text, in lower case; of a shorter text all its words.

    >>> sorted(shingles("No fever, no chest pain today"))
    [b'fever no chest pain today', b'no fever no chest pain']
    """
    words = re.findall(r"\w+", record.lower())
    return {" ".join(words[k : k + WORDS]).encode() for k in range(max(1, len(words) - WORDS + 1))}

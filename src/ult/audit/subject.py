"""The subject of an audit as digests, which bind the audit to its inputs; `ult.audit.release.binding` checks them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ult.codecs.base import Codec
from ult.public.run import Run
from ult.public.shards import Shards


def of_code(table: str, shards: Sequence[Shards], run: Run | None) -> dict[str, Any]:
    """Return the subject of attacks on a code: the shards attacked together, or the run that wrote the ids."""
    sorted_digests = sorted(folder.manifest.digest for folder in shards)
    digests = sorted_digests[0] if len(sorted_digests) == 1 else sorted_digests or None
    return {"shards": digests, "run": None if run is None else run.digest(), "table": table}


def records_digest(records: Iterable[Any]) -> str:
    """Return the SHA-256 (hexadecimal) of a sequence of records: texts, arrays, or tuples of cells.

    Their order and boundaries count.

    >>> records_digest(["a", "bc"]) == records_digest(["ab", "c"])
    False
    """
    whole = hashlib.sha256()
    for record in records:
        whole.update(_bytes(record))
    return whole.hexdigest()


def _bytes(record: Any) -> bytes:
    """Return the bytes of a record, or of a cell, with its kind and size before them."""
    if record is None:
        kind, data = b"null", b""
    elif isinstance(record, str):
        kind, data = b"text", record.encode("utf-8", "surrogatepass")
    elif isinstance(record, tuple):
        kind, data = b"cells", b"".join(map(_bytes, record))
    else:
        array = np.ascontiguousarray(record)
        kind, data = f"{array.dtype.str} {array.shape}".encode(), array.tobytes()
    return b"%b %d\n" % (kind, len(data)) + data


def of_reference(records: Sequence[Any], codec: Codec[Any]) -> dict[str, Any]:
    """Return the subject of public records: digest, number, and bytes as the codec counts them."""
    nbytes = sum(codec.nbytes(record) for record in records)
    return {"digest": records_digest(records), "records": len(records), "bytes": int(nbytes)}

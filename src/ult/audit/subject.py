"""What an audit is of, by digests: the object that binds it, and that `ult.audit.release.binding` checks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ult.codecs.base import Codec
from ult.public.run import Run
from ult.public.shards import Shards


def of_code(table: str, shards: Sequence[Shards], run: Run | None) -> dict[str, Any]:
    """Return what attacks on a code are of: the shards that were attacked together, or the run that wrote ids."""
    told = sorted(one.manifest.digest for one in shards)
    digests = told[0] if len(told) == 1 else told or None
    return {"shards": digests, "run": None if run is None else run.digest(), "table": table}


def records_digest(records: Iterable[Any]) -> str:
    """Return the SHA-256, in hexadecimal digits, of records in their order: texts or arrays.

    >>> records_digest(["a", "bc"]) == records_digest(["ab", "c"])
    False
    """
    whole = hashlib.sha256()
    for record in records:
        if isinstance(record, str):
            kind, data = b"text", record.encode("utf-8", "surrogatepass")
        else:
            array = np.ascontiguousarray(record)
            kind, data = f"{array.dtype.str} {array.shape}".encode(), array.tobytes()
        whole.update(b"%b %d\n" % (kind, len(data)) + data)
    return whole.hexdigest()


def of_reference(records: Sequence[Any], codec: Codec[Any]) -> dict[str, Any]:
    """Return what public records are: their digest, how many, and bytes as the codec counts them."""
    nbytes = sum(codec.nbytes(record) for record in records)
    return {"digest": records_digest(records), "records": len(records), "bytes": int(nbytes)}

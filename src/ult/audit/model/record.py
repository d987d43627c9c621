"""What a run is asked about in an audit: a record, and what it says of it if it does not predict the record itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.public.shards import Shards

Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Record:
    """Ids (n,), and the target or the class that a run for "seq2seq" or "classify" predicts from them."""

    ids: Ids
    table: str = ""  # the fingerprint of that which encoded it
    target: Ids | None = None
    label: int | None = None  # the number of its class
    shards: str = ""  # the digest of those that hold it

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        """What another record must have to be the same; a class is no part of it."""
        return self.table, self.ids.tobytes(), b"" if self.target is None else self.target.tobytes()


def modality_of(many: Sequence[Shards]) -> str:
    """Return the modality that all shards are of; raise `InvalidConfig` if there are several."""
    found = sorted({shards.manifest.codec.partition("/")[0] for shards in many})
    if len(found) != 1:
        raise InvalidConfig(f"the shards are of {', '.join(found)}; expected one modality at a time")
    return found[0]

"""A record in the audit of a run: its ids, and the target, class or number if the run predicts one of these."""

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
    """Ids (n,) uint32, and the target, class or number that a run predicts from them, if it is not for "lm"."""

    ids: Ids
    table: str = ""  # the fingerprint of the table that encoded it
    target: Ids | None = None
    label: int | float | None = None  # which class, or its number in units of the run's scale
    shards: str = ""  # the digest of the shards that hold it

    @property
    def key(self) -> tuple[str, bytes, bytes]:
        """The identity of the record: equal records have equal keys; its class or number is no part of it."""
        return self.table, self.ids.tobytes(), b"" if self.target is None else self.target.tobytes()


def modality_of(folders: Sequence[Shards]) -> str:
    """Return the modality of all shards; raise `InvalidConfig` if they have several."""
    modalities = sorted({shards.manifest.codec.partition("/")[0] for shards in folders})
    if len(modalities) != 1:
        raise InvalidConfig(f"the shards are of {', '.join(modalities)}; expected one modality at a time")
    return modalities[0]

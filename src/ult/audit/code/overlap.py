"""Notice public records that are not public: those that the shards hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ult.audit.code.evidence import Coded
from ult.owner.table import Table

SAME = 0.9  # share of the reference from which on it is taken for the encoded records themselves


def shared(target: Coded, public: Sequence[Any], truth: Table) -> float:
    """Return the share of public records that are encoded exactly as a record of the target is, each counted once.

    Records of few and common values are alike by chance.
    """
    ids = target.ids[target.kinds].astype("uint32")
    held = Counter(
        ids[start:stop].tobytes() for start, stop in zip(target.starts.tolist(), target.ends.tolist(), strict=True)
    )
    theirs = Counter(one.tobytes() for one in truth.encode_batch(public))
    return sum((held & theirs).values()) / len(public)


def told(share: float) -> list[str]:
    """Return a sentence on a reference of which so large a share is in the target, none if it is small."""
    if share > SAME:
        return [
            f"{share:.0%} of the public records are the encoded records themselves: the figures are the worst case, "
            "of somebody who has the records already; --reference with other records shows what a stranger reads"
        ]
    return [f"{share:.0%} of the public records are encoded as some record of the shards is"] if share > 0.1 else []

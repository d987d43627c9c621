"""Which records of shards are of a part: the ids of a record alone decide.

So it depends neither on the other records, nor on their order, nor on the folder that a record lies in, and the records
that a training saw are told by two numbers, without naming any. Equal records are of one part. It is no secret: whoever
has a record's ids can tell its part.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ult.public.id_columns import record_ids
from ult.trainer.part import Part

_PERSON = b"ult-part/1"


def part_of(ids: NDArray[Any], of: int) -> int:
    """Return of which of `of` parts a record of ids (n,) is: BLAKE2b of them as little-endian uint32, scaled.

    >>> [part_of(np.array([32, 40, number]), 4) for number in range(50, 58)]
    [1, 1, 1, 1, 3, 0, 0, 2]
    """
    digest = hashlib.blake2b(np.asarray(ids, "<u4").tobytes(), digest_size=8, person=_PERSON).digest()
    return int.from_bytes(digest, "little") * of >> 64


def of_part(table: pa.Table, part: Part) -> pa.Table:
    """Return the rows of `table`, one file of shards, whose records are of `part`."""
    held = [part_of(ids, part.of) == part.number for ids in record_ids(table)]
    return table.filter(pa.array(held, pa.bool_()))

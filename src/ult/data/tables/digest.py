"""A digest of the cells of a column in their order, by which a later pass over a database is known to be the same."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from ult.host.later import compute as pc

Digest = tuple[int, int, int]  # of which cells are null, of the lengths of texts, and of their bytes
NOTHING: Digest = (0, 0, 0)


def digest(values: pa.Array, before: Digest = NOTHING) -> Digest:
    """Return the digest of cells that come after those of `before`; how they are cut into batches does not matter.

    Of lists and other nested cells only which are null is known.

    >>> whole, parts, other = pa.array(["a", None, "bc"]), (pa.array(["a"]), pa.array([None, "bc"])), ["ab", None, "c"]
    >>> digest(whole) == digest(parts[1], digest(parts[0])), digest(whole) == digest(pa.array(other))
    (True, False)
    """
    nulls, lengths, data = before
    valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
    nulls = crc32(valid.tobytes(), nulls)
    if pat.is_boolean(values.type):
        values = values.cast(pa.uint8())
    buffers, first, n = values.buffers(), values.offset, len(values)
    if pat.is_string(values.type) or pat.is_binary(values.type):
        ends = np.frombuffer(buffers[1], np.int32)[first : first + n + 1] if n else np.zeros(1, np.int32)
        lengths = crc32(np.diff(ends).tobytes(), lengths)
        data = crc32(memoryview(buffers[2] or b"")[int(ends[0]) : int(ends[-1])], data)
    elif len(buffers) == 2 and n and values.type.bit_width % 8 == 0:
        width = values.type.bit_width // 8
        cells = np.frombuffer(buffers[1], np.uint8)[first * width : (first + n) * width].reshape(n, width)
        data = crc32((cells * valid[:, None]).tobytes(), data)
    return nulls, lengths, data

"""`series/mulaw` against one `log1p` over the same values, NumPy's or PyTorch's: one process, one thread.

Values are drawn (heavy tails, from 0 on, 1 % NaN), in records of 2,000. `log1p` gets them as one array of the same
type; in decoding, which gives float64, the decoded values, and also the values that were encoded. NumPy's works on
vectors with AVX-512 alone, PyTorch's with AVX2 too; the faster of the two counts.
"""

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from session import write
from timing import compared, turns

from ult.codecs.series import SeriesMulaw

RECORD = 2000
SIZES = (10**6, 10**7)
ROUNDS = 11


def by_torch(values: NDArray[np.floating[Any]]) -> None:
    """Compute `log1p` by PyTorch, into memory of NumPy's, which asks for large pages."""
    torch.log1p(torch.from_numpy(values), out=torch.from_numpy(np.empty_like(values)))


def measure(n: int, dtype: type[np.floating[Any]]) -> list[dict[str, Any]]:
    """Return how many times as long as `log1p` encoding and decoding take."""
    rng = np.random.default_rng(0)
    values = np.abs(rng.standard_t(3, n)).astype(dtype)  # log1p takes longer where it warns
    values[rng.random(n) < 0.01] = np.nan
    records = list(values.reshape(-1, RECORD))
    codec = SeriesMulaw.calibrated(records)
    patches = codec.encode_batch(records)
    ends = patches.ends[patches.records - 1]
    decoded = np.concatenate(codec.decode_batch(patches.symbols, ends))
    seconds = turns(
        {
            "series/mulaw, encode": lambda: codec.encode_batch(records),
            "series/mulaw, decode": lambda: codec.decode_batch(patches.symbols, ends),
            "log1p of the values": lambda: np.log1p(values),
            "log1p of the decoded": lambda: np.log1p(decoded),
            "log1p of the values, PyTorch": lambda: by_torch(values),
            "log1p of the decoded, PyTorch": lambda: by_torch(decoded),
        },
        rounds=ROUNDS,
    )
    return [
        compared(f"{what}, {np.dtype(dtype).name}, {n:,} values", seconds, f"series/mulaw, {what}",
                 [peer, f"{peer}, PyTorch"], amount=n / 1e6, unit="M values", n=n, seeds=[0],
                 better_is_less=True, goal=goal)
        for what, peer, goal in (
            ("encode", "log1p of the values", "at most 1.5"),
            ("decode", "log1p of the decoded", "at most 1.5"),
            ("decode", "log1p of the values", ""),
        )
    ]  # fmt: skip


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: the figures are of one thread")
    torch.set_num_threads(1)
    metrics = [m for dtype in (np.float32, np.float64) for n in SIZES for m in measure(n, dtype)]
    write("series-speed", "Speed of series", metrics, __doc__, command="OMP_NUM_THREADS=1 python bench/series_speed.py")


if __name__ == "__main__":
    main()

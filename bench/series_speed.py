"""`series/mulaw` against one `np.log1p` over the same values: one process, one thread, turn by turn.

Values are drawn (heavy tails, 1 % NaN), for the speed hardly depends on them, in records of 2,000. `log1p` gets them as
one array of the same type; in decoding, the decoded values. Each ratio is the median of the turns' ratios, so that what
else the machine does hits both; the spread is that of the turns' middle half.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from image_speed import seconds
from result import metric, write

from ult.codecs.base import cut
from ult.codecs.series import SeriesMulaw

RECORD = 2000
SIZES = (10**6, 10**7)
TURNS = 15


def measure(name: str, n: int, work: Callable[[], Any], values: Any) -> list[dict[str, Any]]:
    """Return the values a second of `work`, and how many times as long as `log1p` it takes."""
    work()
    pairs = np.array([(seconds(work), seconds(lambda: np.log1p(values))) for _ in range(TURNS)])
    ratios = pairs[:, 0] / pairs[:, 1]
    low, high = np.percentile(ratios, (25, 75))
    common: dict[str, Any] = {"n": n}
    return [
        metric("speed", name, n / np.median(pairs[:, 0]) / 1e6, higher_is_better=True, unit="M values/s", **common),
        metric(
            "time, times log1p",
            name,
            float(np.median(ratios)),
            higher_is_better=False,
            unit="x",
            goal="at most 4",
            **common,
        ),
        metric("spread of the ratio", name, high - low, higher_is_better=False, unit="x", **common),
    ]


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: the figures are of one thread")
    rng = np.random.default_rng(0)
    metrics = []
    for dtype in (np.float32, np.float64):
        for n in SIZES:
            values = np.abs(rng.standard_t(3, n)).astype(dtype)  # log1p takes longer where it warns, so from 0 on
            values[rng.random(n) < 0.01] = np.nan
            records = list(values.reshape(-1, RECORD))
            codec = SeriesMulaw.calibrated(records)
            patches = codec.encode_batch(records)
            ends = patches.ends[patches.records - 1]
            symbols = patches.symbols
            assert all(
                np.array_equal(codec.encode(a).symbols, b)
                for a, b in zip(records[:20], cut(symbols, ends)[:20], strict=True)
            )
            name = f"{np.dtype(dtype).name}, {n:,} values"
            metrics += measure(f"encode, {name}", n, lambda c=codec, r=records: c.encode_batch(r), values)
            decoded = np.concatenate(codec.decode_batch(symbols, ends))
            if dtype is np.float64:  # what decoding gives
                metrics += measure(
                    f"decode, {name}", n, lambda c=codec, s=symbols, e=ends: c.decode_batch(s, e), decoded
                )
    write("series-speed", metrics, command="OMP_NUM_THREADS=1 python bench/series_speed.py", seeds=[0])


if __name__ == "__main__":
    main()

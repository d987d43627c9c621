"""Whether the worst cases of encoding and fitting grow in proportion, beside tokenizers with the same merges.

One word without a space, records that are empty, words of all the scripts of `text_speed.py`, and a wide CSV, a row of
so many columns with one value. CPU seconds of one process, once each; exponents are slopes of a straight line through
the logarithms, over all sizes. `tokenizers` takes the same input up to the size at which it needs a minute.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
from peers import peers, text
from session import metric, unmeasured, write
from text_speed import hostile

import ult

SIZES = (1, 4, 16)  # MB
LONG = 100  # MB of the longest word
EMPTY = (10**5, 10**6, 10**7)  # records
WIDE = (10**4, 10**5, 10**6)  # columns
TIME = "CPU time"


def main() -> None:
    table = ult.Table.fit(text(5), vocabulary=ult.Vocabulary(16384), min_records=1)
    hugging, *_ = peers(table)
    table.encode("warm up")
    rng = np.random.default_rng(0)
    letters = rng.integers(97, 123, LONG * 10**6, np.uint8).tobytes().decode()
    name, scripts = list(hostile().items())[-1]
    unit = len(scripts.encode()) / 1e6
    theirs = hugging.encode_batch_fast
    found = [
        *curve("one word", "MB", (*SIZES, LONG), lambda n: [letters[: n * 10**6]], table.encode_ragged, theirs),
        *curve(name, "MB", SIZES, lambda n: [scripts] * round(n / unit), table.encode_ragged, theirs),
        *curve("empty records", "records", EMPTY, lambda n: [""] * n, table.encode_ragged, theirs),
        *wide(),
    ]
    write("worst", "Growth of the worst cases", found, __doc__, command="python bench/worst.py")


def curve(
    what: str,
    axis: str,
    sizes: Sequence[int],
    made: Callable[[int], list[str]],
    ours: Callable[[list[str]], Any],
    theirs: Callable[[list[str]], Any],
) -> list[dict[str, Any]]:
    """Return the points of both, the exponent of ours, and how many times as fast ours is where both were run last."""
    found: dict[str, list[float]] = {"ult": [], "tokenizers": []}
    for size in sizes:
        records = made(size)
        found["ult"].append(seconds(partial(ours, records)))
        if size <= sizes[-2]:
            found["tokenizers"].append(seconds(partial(theirs, records)))
        print(what, size, axis, {name: round(times[-1], 3) for name, times in found.items()}, flush=True)
    ratio, last = found["tokenizers"][-1] / found["ult"][len(found["tokenizers"]) - 1], len(found["tokenizers"])
    return [
        *(
            point(f"{TIME}, {what}", name, size, one, axis)
            for name, times in found.items()
            for size, one in zip(sizes, times, strict=False)
        ),
        exponent(f"{TIME}, {what}", sizes, found["ult"], axis),
        metric(f"worst case: {what}, {sizes[last - 1]:,} {axis}", "ult / tokenizers", unmeasured(ratio), n=1, unit="x",
               higher_is_better=True, goal="at least 1"),
    ]  # fmt: skip


def wide() -> list[dict[str, Any]]:
    """Return the points of fitting and encoding one CSV of two rows of numbers, of which one column differs."""
    times: dict[str, list[float]] = {"fit": [], "encode": []}
    for columns in WIDE:
        with tempfile.TemporaryDirectory() as folder:
            for verb, one in zip(times, of_columns(columns, Path(folder)), strict=True):
                times[verb].append(one)
        print("wide", columns, {name: round(one[-1], 3) for name, one in times.items()}, flush=True)
    return [
        *(point(f"{TIME}, a wide CSV", f"ult {verb}", n, one, "columns") for verb, each in times.items()
          for n, one in zip(WIDE, each, strict=True)),
        *(exponent(f"{TIME}, a wide CSV, ult {verb}", WIDE, each, "columns") for verb, each in times.items()),
    ]  # fmt: skip


def of_columns(columns: int, folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of fitting and of encoding a CSV of so many columns."""
    path = folder / "wide.csv"
    head, row = ",".join(f"g{k}" for k in range(columns)), ",".join(["1.5"] * (columns - 1))
    path.write_text(f"{head}\n{row},1\n{row},2\n")
    how: dict[str, Any] = {"workers": 1, "progress": lambda stage, more: None}
    fits: dict[str, Any] = {"codec": "series/mulaw", "vocabulary_size": 512, "min_records": 1, "encrypt": False}
    fitting = seconds(lambda: ult.fit(path, folder / "t.ult", **fits, **how))
    return fitting, seconds(lambda: ult.encode(path, folder / "t.ult", folder / "s", **how))


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started


def point(what: str, system: str, x: int, value: float, axis: str) -> dict[str, Any]:
    """Return one point of a curve."""
    return metric(what, system, unmeasured(value), n=x, higher_is_better=False, unit="s") | {"x": x, "axis": axis}


def exponent(what: str, sizes: Sequence[int], times: Sequence[float], axis: str) -> dict[str, Any]:
    """Return the slope of the logarithms of the times of ours."""
    slope, _ = np.polyfit(np.log(sizes), np.log(times), 1)
    return metric(f"{what}, exponent", f"ult, {sizes[0]:,} to {sizes[-1]:,} {axis}", unmeasured(float(slope)),
                  n=len(sizes), higher_is_better=False, goal="at most 1.05")  # fmt: skip


if __name__ == "__main__":
    main()

"""Ours and peers timed in turns within one process; what counts is the ratio within a turn.

Times are CPU seconds of the process, so that what else the machine does hits neither side; both sides use one thread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from session import metric, of_rounds


def turns(
    runs: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    warm: bool = True,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return the seconds of each run in `rounds` rounds, in which all take turns; the order alternates.

    With `warm` one more round goes before, which does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for k in range(-1 if warm else 0, rounds):
        for name in sorted(runs, reverse=bool(k % 2)):
            started = clock()
            runs[name]()
            if k >= 0:
                seconds[name].append(clock() - started)
    return seconds


def compared(
    what: str,
    seconds: Mapping[str, Sequence[float]],
    ours: str,
    peers: Sequence[str],
    *,
    amount: float,
    unit: str,
    n: int,
    seeds: Sequence[int] = (),
    goal: str = "",
    better_is_less: bool = False,
) -> dict[str, Any]:
    """Return how many times as fast as the best of `peers` ours is: median and range of the rounds' ratios.

    `amount` is what a run works on, in `unit`. With `better_is_less` the ratio is of our time to theirs.
    """
    peer = min(peers, key=lambda name: statistics.median(seconds[name]))
    pairs = list(zip(seconds[ours], seconds[peer], strict=True))
    ratios = [a / b if better_is_less else b / a for a, b in pairs]
    found = metric(what, f"{ours} / {peer}", of_rounds(ratios), n=n, seeds=seeds,
                   higher_is_better=not better_is_less, unit="x", goal=goal)  # fmt: skip
    return found | {
        "rounds": len(ratios),
        "ours": amount / statistics.median(seconds[ours]),
        "peer": amount / statistics.median(seconds[peer]),
        "speed": f"{unit}/s",
    }

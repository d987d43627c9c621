"""What a terabyte of text takes, on paper, and how long the first process of `ult fit` keeps the others waiting.

The CPU seconds of counting a piece of 16 MB, of sending, putting aside and adding up counts are recorded on runs of
pieces of a made-up text (`bench/corpus.py`), in both passes. Then the nodes are simulated, 16 cores each: a core takes
what the first process hands out, and waits while that is busy with another's answer. `flat` sends the counts of every
piece to the first process, `runs` those of runs of up to 16 pieces, `tree` puts them aside and adds up eight files at a
time (`ult.owner.pipeline.summing`). Handing out is taken to cost 7 ms, as with Ray; disks and networks as fast as here.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from corpus import write as write_corpus
from session import ROOT, load, metric, unmeasured, write

from ult.codecs.text import TextBytes
from ult.data import open_source
from ult.owner.bpe.counts import PatchCounts
from ult.owner.pipeline import pieces
from ult.owner.pipeline.summing import FAN, LONG, Aside, runs

TERABYTE = 10**12  # bytes
NODES, CORES = (1, 8, 16, 256), 16
PRICE = 0.05  # USD a core-hour: an assumption
HANDED = 0.007  # seconds to hand out a task and to take its answer, as measured with Ray
RUNS, SMALL = 2, 4  # runs that are measured, and pieces that are runs by themselves
BEGIN, END = "<!-- scale: written by bench/scale.py -->", "<!-- /scale -->"
WAYS = ("flat", "runs", "tree")
PASSES = ("first pass", "second pass")


class Costs(NamedTuple):
    """CPU seconds of one pass: of counting a piece, and of what is done with the counts of a piece or of a run."""

    counting: float  # a piece
    piece: float  # to send the counts of a piece and add them up
    run: float  # to send those of a run and add them up
    put: float  # to put those of a run aside
    get: float  # to take those of a run back and add them up


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with .txt files to draw words from")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "corpus.txt"
        write_corpus(asked.data, text, (LONG * RUNS - 1) * pieces.PIECE_BYTES)
        both = recorded(text, Path(folder))
    found = [
        metric(f"CPU seconds, {of}", f"ult fit, {name}", unmeasured(value), n=RUNS, higher_is_better=False, unit="s")
        for of, costs in zip(PASSES, both, strict=True) for name, value in costs._asdict().items()
    ]  # fmt: skip
    for nodes in NODES:
        for way in WAYS:
            hours = sum(simulated(costs, nodes * CORES, way) for costs in both) / 3600
            goal = f"at most {_ideal(both, nodes) * 1.25:.3g}" if (nodes, way) == (8, "tree") else ""
            found.append(
                metric(f"hours a TB, {nodes} nodes", f"ult fit, {way}", unmeasured(hours), n=1, unit="h",
                       higher_is_better=False, goal=goal)
            )  # fmt: skip
    write("scale", "Scale, on paper", found, __doc__, command="python bench/scale.py --data DATA")
    told(found)


def recorded(text: Path, folder: Path) -> list[Costs]:
    """Return the costs of both passes over a text, of `RUNS` runs of pieces."""
    source = open_source([text], modality="text")
    many = list(source.pieces(pieces.PIECE_BYTES))
    cut = [many[first : first + LONG] for first in range(0, len(many), LONG)]
    total, found = PatchCounts(min_records=5), []
    for _ in PASSES:
        costs, answers = _pass(cut, total, Aside.at(folder))
        found.append(costs)
        print(costs, flush=True)
        _merge(total, answers)
        total = total.second_pass()
    return found


def _pass(cut: list[list[Any]], empty: PatchCounts, aside: Aside) -> tuple[Costs, list[Any]]:
    """Return the costs of a pass over runs of pieces, and the counts of each run."""
    codec = TextBytes()
    count = pieces._counter(codec.id, codec.config(), empty.settings(), None, None)
    small = [count((piece,), ())[1] for piece in cut[0][:SMALL]]
    answers: list[Any] = []
    counting = _seconds(lambda: answers.extend(count(tuple(run), ())[1] for run in cut))
    first = PatchCounts(**empty.settings())
    _merge(first, answers)  # as full as that of a first process is
    names: list[str] = []
    costs = Costs(
        counting / sum(map(len, cut)),
        _seconds(lambda: _merge(first, map(_sent, small))) / len(small),
        _seconds(lambda: _merge(first, map(_sent, answers))) / len(answers),
        _seconds(lambda: names.extend(map(aside.put, answers))) / len(answers),
        _seconds(lambda: _merge(first, map(aside.get, names))) / len(answers),
    )
    return costs, answers


def _merge(total: PatchCounts, many: Iterable[Any]) -> None:
    for one in many:
        total.merge(one)


def _sent(counted: Any) -> Any:
    return ForkingPickler.loads(ForkingPickler.dumps(counted))


def _seconds(what: Callable[[], Any]) -> float:
    started = time.process_time()
    what()
    return time.process_time() - started


def simulated(costs: Costs, cores: int, way: str) -> float:
    """Return the seconds of one pass over a terabyte: each core takes one task after another from the first process."""
    first, answer = 0.0, {"flat": costs.piece, "runs": costs.run, "tree": 0.0}[way]
    ready, begun = [(0.0, 0.0)] * cores, 0.0  # when each core asks, and what taking its answer costs
    for seconds in _tasks(costs, way):
        asked, taking = heapq.heappop(ready)
        first = max(first, asked) + taking + HANDED
        heapq.heappush(ready, (first + seconds, answer))
        begun = first
    for asked, taking in sorted(ready):
        first = max(first, asked) + taking
    return max(begun, first) + (FAN * costs.get if way == "tree" else 0.0)


def _tasks(costs: Costs, way: str) -> Iterator[float]:
    """Yield the seconds of each task, in order."""
    unread: list[Any] = [SimpleNamespace(rows=None)] * (TERABYTE // pieces.PIECE_BYTES)
    if way == "flat":
        yield from (costs.counting for _ in unread)
        return
    waiting = [0]  # files of each height
    for run in runs(unread):
        yield len(run) * costs.counting + (costs.put if way == "tree" else 0.0)
        waiting[0] += way == "tree"
        for height in range(len(waiting)):
            if waiting[height] >= FAN:
                waiting[height] -= FAN
                waiting.extend([0] * (height + 2 - len(waiting)))
                waiting[height + 1] += 1
                yield FAN * costs.get + costs.put


def _ideal(both: list[Costs], nodes: int) -> float:
    """Return the hours of a terabyte if no core ever waited."""
    return sum(costs.counting for costs in both) * (TERABYTE // pieces.PIECE_BYTES) / (nodes * CORES) / 3600


def table(found: list[dict[str, Any]]) -> list[str]:
    """Return the Markdown table: of `fit` as simulated, of `encode` the longer of its workers and its first process."""
    values = {(m["name"], m["system"]): m["value"] for m in found}
    lines = [
        "| verb | nodes | cores | hours, if no core waited | hours, all counts sent | hours | USD |",
        "|---|---|---|---|---|---|---|",
    ]
    both = [Costs(*(values[f"CPU seconds, {of}", f"ult fit, {name}"] for name in Costs._fields)) for of in PASSES]
    for nodes in NODES:
        flat, tree = (values[f"hours a TB, {nodes} nodes", f"ult fit, {way}"] for way in ("flat", "tree"))
        lines.append(_row("fit", nodes, _ideal(both, nodes), f"{flat:.2g}", tree))
    worker = per_megabyte("time", "ult encode")
    first = per_megabyte("CPU time of the first process", "ult encode, 2 workers") * TERABYTE / 1e6 / 3600
    for nodes in NODES:
        shared = worker * TERABYTE / 1e6 / 3600 / (nodes * CORES)
        lines.append(_row("encode", nodes, shared, "", max(shared, first)))
    return lines


def _row(verb: str, nodes: int, ideal: float, flat: str, hours: float) -> str:
    cores = nodes * CORES
    return f"| `ult {verb}` | {nodes} | {cores:,} | {ideal:.2g} | {flat} | {hours:.2g} | {hours * cores * PRICE:.3g} |"


def per_megabyte(name: str, system: str) -> float:
    """Return the seconds a MB, of the last 900 of 1000 MB: without what starting costs."""
    metrics = load(ROOT / "results" / "growth.json")["metrics"]
    points = {m["x"]: m["value"] for m in metrics if "x" in m and (m["name"], m["system"]) == (name, system)}
    return float(points[1000] - points[100]) / 900


def told(found: list[dict[str, Any]]) -> None:
    """Write the table to `docs/scale.md`."""
    path = ROOT / "docs" / "scale.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text("\n".join([before + BEGIN, *table(found), END + rest.split(END)[1]]), encoding="utf-8")


if __name__ == "__main__":
    main()

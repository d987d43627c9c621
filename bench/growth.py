"""How time and memory of `ult fit`, `encode` and `decode` grow with the size of a text, and fitting with the entries.

Whole commands are run and timed, one after the other. Memory is the most that all processes of a command had at once,
looked up twenty times a second; a page that some of them share counts once, its bytes divided among them (PSS).
Exponents are slopes of a straight line through the logarithms, over sizes of 10 MB and more: below, starting Python
is most of it. One word in fifty of the text is new, so that 100 MB nearly fill the bounded counts
(`ult.owner.bpe.counts`): of a text with fewer new words the memory of `fit` starts lower and grows to the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from corpus import write as write_corpus
from session import metric, unmeasured, write

from ult import Table, Vocabulary
from ult.codecs.batches import batched
from ult.codecs.text import TextBytes
from ult.owner.bpe.counts import PatchCounts

SIZES = (1, 10, 100, 1000)  # MB
ENTRIES = tuple(1024 << k for k in range(8))
WORKERS = (1, 2)
EVERY = 0.05  # seconds
TIME, MEMORY, FIRST = "time", "peak memory", "CPU time of the first process"
FIT, ENCODE = "time of learning", "time of encoding 10 MB"
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with .txt files to draw words from")
    parser.add_argument("--megabytes", type=int, nargs="+", default=SIZES)
    asked = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in asked.megabytes:
            text = Path(folder) / "corpus.txt"
            write_corpus(asked.data, text, megabytes * 10**6)
            points += commands(text, megabytes)
            if megabytes == 100:
                points += entries(text)
            text.unlink()
    metrics = [*points, *exponents(points), *flat(points)]
    write("growth", "Growth of time and memory", metrics, __doc__, command="python bench/growth.py --data DATA")


def commands(text: Path, megabytes: int) -> list[dict[str, Any]]:
    """Return time and peak memory of each verb on a text."""
    folder = text.parent
    table, shards, out = folder / "corpus.ult", folder / "shards", folder / "decoded.txt"
    verbs = {
        "fit": ["fit", str(text), "--out", str(table), "--no-encryption", "--force"],
        "encode": ["encode", str(text), "--table", str(table), "--out", str(shards), "--force"],
        "decode": ["decode", str(shards), "--table", str(table), "--out", str(out), "--force"],
    }
    found = []
    for workers in WORKERS:
        for verb, command in verbs.items():
            some = ["--workers", str(workers)] if verb != "decode" else []
            if not some and workers > 1:
                continue
            seconds, peak, first = watched([sys.executable, "-m", "ult", *command, *some])
            system = f"ult {verb}" + (f", {workers} workers" if workers > 1 else "")
            print(f"{system:<24} {megabytes:>5} MB {seconds:>8.1f} s {peak:>6.0f} MB", flush=True)
            found += [point(TIME, system, megabytes, seconds, "s"), point(MEMORY, system, megabytes, peak, "MB")]
            if workers > 1:  # what one process does for all workers
                found.append(point(FIRST, system, megabytes, first, "s"))
    assert out.read_bytes() == text.read_bytes()
    out.unlink()
    return found


def watched(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, its peak of memory over all processes in MB, and CPU seconds of the first."""
    most, cpu, started = 0, 0.0, time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, highest(process.pid), sum(resident(pid) for pid in family(process.pid)))
            cpu = max(cpu, spent(process.pid))
            time.sleep(EVERY)
    assert process.returncode == 0
    return time.perf_counter() - started, most / 1e6, cpu


def highest(pid: int) -> int:
    """Return the most bytes of a process that were ever in memory; not `ru_maxrss`, which counts us before the exec."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def family(pid: int) -> list[int]:
    """Return the numbers of a process, its children and theirs."""
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return [pid]
    return [pid, *(one for text in tasks for child in text.split() for one in family(int(child)))]


def resident(pid: int) -> int:
    """Return the bytes of a process that are in memory, shared pages by its share; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def spent(pid: int) -> float:
    """Return the CPU seconds of a process, 0 if it has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / TICK


def entries(text: Path) -> list[dict[str, Any]]:
    """Return the time of learning the phrases of one set of counts, and of encoding with them, for each vocabulary."""
    lines = text.read_text(encoding="utf-8").split("\n")
    codec = TextBytes()
    counts = PatchCounts(min_records=5)
    for batch in batched(lines):
        counts.add(codec.encode_batch(batch))
    some = lines[: len(lines) // 10]
    found = []
    for size in ENTRIES:
        learned, encoded = [], []
        for _ in range(3):
            started = time.perf_counter()
            table = Table.from_counts(counts, codec=codec, vocabulary=Vocabulary(size))
            learned.append(time.perf_counter() - started)
            started = time.perf_counter()
            table.encode_ragged(some)
            encoded.append(time.perf_counter() - started)
        found += [
            point(name, "text/bytes", size, statistics.median(seconds), "s", axis="entries")
            for name, seconds in ((FIT, learned), (ENCODE, encoded))
        ]
        print(f"{size:>8,} entries: {table.size:,} used, {min(learned):.2f} s, {min(encoded):.2f} s", flush=True)
    return found


def point(name: str, system: str, x: int, value: float, unit: str, axis: str = "MB of text") -> dict[str, Any]:
    """Return one point of a curve."""
    goal = "below 1000" if (name, x) == (MEMORY, 1000) else ""
    return metric(name, system, unmeasured(value), n=x, higher_is_better=False, unit=unit, goal=goal) | {
        "x": x,
        "axis": axis,
    }


def exponents(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the slope of the logarithms of each curve of time."""
    found = []
    for name, system in dict.fromkeys((p["name"], p["system"]) for p in points if p["name"] in (TIME, FIT, ENCODE)):
        curve = [p for p in points if (p["name"], p["system"]) == (name, system) and p["x"] >= 10]
        if len(curve) > 1:
            slope, _ = np.polyfit(np.log([p["x"] for p in curve]), np.log([p["value"] for p in curve]), 1)
            of = f"{system}, {curve[0]['x']:,} to {curve[-1]['x']:,} {curve[0]['axis']}"
            found.append(
                metric(f"{name}, exponent", of, unmeasured(float(slope)), n=len(curve), higher_is_better=False, unit="",
                       goal="at most 1.05")
            )  # fmt: skip
    return found


def flat(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the peak memory on 1000 MB as a multiple of that on 100 MB."""
    peaks = {(p["system"], p["x"]): p["value"] for p in points if p["name"] == MEMORY}
    return [
        metric("peak memory, 1000 MB / 100 MB", system, unmeasured(peak / peaks[system, 100]), n=2,
               higher_is_better=False, unit="x", goal="at most 1.10")
        for (system, x), peak in peaks.items() if x == 1000 and (system, 100) in peaks
    ]  # fmt: skip


if __name__ == "__main__":
    main()

"""Peak resident memory of `ult fit`, `encode` and `decode` against the size of a text.

Of a command that is one process, the kernel tells the peak. Of one with workers, what all its processes hold is added
up fifty times a second; the libraries that they share count once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from corpus import write as write_corpus
from result import metric, write

SIZES = (10, 100, 1000)  # MB
WORKERS = (1, 2)
EVERY = 0.02  # seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with .txt files to draw words from")
    parser.add_argument("--megabytes", type=int, nargs="+", default=SIZES)
    asked = parser.parse_args()
    metrics = []
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in asked.megabytes:
            text = Path(folder) / "corpus.txt"
            write_corpus(asked.data, text, megabytes * 10**6)
            for workers in WORKERS:
                for verb, peak in peaks(text, workers):
                    metrics.append(figure(verb, workers, megabytes, peak))
            text.unlink()
    metrics += [grown(metrics, verb, workers) for verb in ("fit", "encode", "decode") for workers in WORKERS]
    write("memory", [m for m in metrics if m], command="python bench/memory.py --data DATA")


def peaks(text: Path, workers: int) -> list[tuple[str, float]]:
    """Return the peak of each verb in MB."""
    folder = text.parent
    table, shards, out = folder / "corpus.ult", folder / "shards", folder / "decoded.txt"
    run = [sys.executable, "-m", "ult"]
    some = ["--workers", str(workers)]
    found = [
        ("fit", peak([*run, "fit", str(text), "--out", str(table), "--no-encryption", "--force", *some])),
        ("encode", peak([*run, "encode", str(text), "--table", str(table), "--out", str(shards), "--force", *some])),
    ]
    if workers == 1:
        found.append(("decode", peak([*run, "decode", str(shards), "--table", str(table), "--out", str(out)])))
        assert out.stat().st_size == text.stat().st_size
        out.unlink()
    return found


def peak(command: list[str]) -> float:
    """Run a command, and return the most memory that it and its processes had at once, in MB."""
    most, several = 0, False
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        members = family(process.pid)
        several |= len(members) > 1
        most = max(most, resident(members))
        time.sleep(EVERY)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return (most if several else usage.ru_maxrss * 1024) / 1e6


def family(pid: int) -> list[int]:
    """Return the numbers of a process, its children and theirs."""
    try:
        tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return [pid]
    return [pid, *(one for text in tasks for child in text.split() for one in family(int(child)))]


def resident(pids: list[int]) -> int:
    """Return the bytes in memory of some processes: what each has of its own, and once the files that they map."""
    own, mapped = 0, 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:  # it has ended
            continue
        about = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        if "RssAnon" in about:
            own += int(about["RssAnon"][0]) * 1024
            mapped = max(mapped, int(about["RssFile"][0]) * 1024)
    return own + mapped


def figure(verb: str, workers: int, megabytes: int, value: float) -> dict[str, Any]:
    """Return a peak as a figure."""
    goal = "under 1000" if megabytes == 1000 else ""
    name = f"peak memory of {verb}, {workers} worker{'s' if workers > 1 else ''}"
    return metric(name, f"{megabytes} MB", value, n=megabytes * 10**6, higher_is_better=False, unit="MB", goal=goal)


def grown(metrics: list[dict[str, Any]], verb: str, workers: int) -> dict[str, Any] | None:
    """Return how many times the peak on the largest text is that on the one before."""
    name = figure(verb, workers, 0, 0)["name"]
    found = sorted((m["n"], m["value"]) for m in metrics if m["name"] == name)
    if len(found) < 2:
        return None
    (n, before), (most, last) = found[-2:]
    system = f"{most // 10**6} MB / {n // 10**6} MB"
    return metric(name, system, last / before, n=most, higher_is_better=False, unit="x", goal="at most 1.10")


if __name__ == "__main__":
    main()

"""How CPU time and memory of the verbs that read or write records grow with a text, and with short records.

Whole commands with one worker, run once each, on a machine that others use too: so time is CPU time, of a command and
all its processes, and memory the most that they had at once. `growth.py` times `fit`, `encode` and `decode` by the
clock, up to a gigabyte. Exponents are slopes of a straight line through the logarithms, over all sizes but the least,
of which starting Python is most.
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

import numpy as np
from corpus import write as write_corpus
from growth import EVERY, family, highest, resident
from session import metric, unmeasured, write

MEGABYTES = (10, 30, 100)
RECORDS = (10**4, 10**5, 10**6)
TIME, MEMORY = "CPU time", "peak memory"
TEXT, SHORT = "MB of text", "records"
ALONE = ("--workers", "1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with .txt files to draw words from")
    asked = parser.parse_args()
    found = []
    for axis, sizes in ((TEXT, MEGABYTES), (SHORT, RECORDS)):
        points = []
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                text = Path(folder) / "corpus.txt"
                if axis == TEXT:
                    write_corpus(asked.data, text, size * 10**6)
                else:
                    text.write_text("".join(f"note {k}\n" for k in range(size)), encoding="utf-8")
                points += commands(text, size, axis)
        found += [*points, *exponents(points, axis), *flat(points, axis)]
    write("verbs", "Growth of each verb", found, __doc__, command="python bench/verbs.py --data DATA")


def commands(text: Path, size: int, axis: str) -> list[dict[str, Any]]:
    """Return CPU time and peak memory of each verb on a text."""
    table, shards, out, parts = (str(text.parent / name) for name in ("t.ult", "shards", "out.txt", "parts"))
    verbs = {
        "fit": ["fit", str(text), "-o", table, "--no-encryption", *ALONE],
        "encode": ["encode", str(text), "-t", table, "-o", shards, *ALONE],
        "decode": ["decode", shards, "-t", table, "-o", out, *ALONE],
        "inspect": ["inspect", shards],
        "dedupe": ["dedupe", str(text), "-o", out, "--force", *ALONE],
        "split": ["split", str(text), "-o", parts],
    }
    found = []
    for verb, command in verbs.items():
        seconds, peak = watched([sys.executable, "-m", "ult", *command])
        print(f"ult {verb:<8} {size:>9,} {axis:<10} {seconds:>8.1f} s {peak:>6.0f} MB", flush=True)
        found += [
            point(TIME, f"ult {verb}", size, seconds, "s", axis),
            point(MEMORY, f"ult {verb}", size, peak, "MB", axis),
        ]
    return found


def watched(command: list[str]) -> tuple[float, float]:
    """Run a command; return its CPU seconds and its peak of memory in MB, over all its processes."""
    most = 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        most = max(most, highest(process.pid), sum(resident(pid) for pid in family(process.pid)))
        time.sleep(EVERY)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    assert process.returncode == 0, command
    return ended[2].ru_utime + ended[2].ru_stime, most / 1e6


def point(name: str, system: str, x: int, value: float, unit: str, axis: str) -> dict[str, Any]:
    """Return one point of a curve."""
    what = f"{name}, {axis}"
    return metric(what, system, unmeasured(value), n=x, higher_is_better=False, unit=unit) | {"x": x, "axis": axis}


def exponents(points: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Return the slope of the logarithms of each curve of time, without its first point."""
    found = []
    for system in dict.fromkeys(p["system"] for p in points):
        curve = [p for p in points if p["system"] == system and p["unit"] == "s"][1:]
        slope, _ = np.polyfit(np.log([p["x"] for p in curve]), np.log([p["value"] for p in curve]), 1)
        of = f"{system}, {curve[0]['x']:,} to {curve[-1]['x']:,} {axis}"
        found.append(
            metric(f"{TIME}, exponent", of, unmeasured(float(slope)), n=len(curve), higher_is_better=False,
                   goal="at most 1.05")
        )  # fmt: skip
    return found


def flat(points: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Return the peak memory at the largest size as a multiple of that at the size before."""
    found = []
    for system in dict.fromkeys(p["system"] for p in points):
        before, last = [p for p in points if p["system"] == system and p["unit"] == "MB"][-2:]
        name = f"{MEMORY}, {last['x']:,} / {before['x']:,} {axis}"
        found.append(
            metric(name, system, unmeasured(last["value"] / before["value"]), n=2, higher_is_better=False, unit="x",
                   goal="at most 1.10")
        )  # fmt: skip
    return found


if __name__ == "__main__":
    main()

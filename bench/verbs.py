"""How CPU time and memory of the verbs that read or write records grow with texts, short records and questions.

Whole commands with one worker, run `--rounds` times each, on a machine that others use too: so time is CPU time, of a
command and all its processes, and memory the most that they had at once. `ult predict` asks a run of 5 steps for one of
three columns. Points are medians of the rounds. Exponents are e of a + b size^e, fitted to all rounds by least squares
of relative errors, where a is what starting Python takes; their intervals are Student's t of the fit, wide where the
work is little beside the start. Memory is compared at the largest size and at a tenth of it. `growth.py` times `fit`,
`encode` and `decode` by the clock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from corpus import write as write_corpus
from growth import EVERY, family, highest, resident
from session import earlier, metric, of_growth, of_rounds, unmeasured, write

VERBS = ("fit", "encode", "decode", "inspect", "dedupe", "split", "predict")
MEGABYTES = (10, 100, 200, 400, 1000)
RECORDS = (10**3, 10**4, 10**5, 10**6, 3 * 10**6, 10**7)
QUESTIONS = (300, 1000, 3000, 10_000)
TIME, MEMORY = "CPU time", "peak memory"
TEXT, SHORT, ASKED = "MB of text", "records", "questions"
ULT, ALONE = [sys.executable, "-m", "ult"], ["--workers", "1"]
Command = tuple[str, list[str], int]  # the verb, its arguments, the size of what it reads
NOTES = (
    "4 GB of text was not measured: a gigabyte and what lies below take some six minutes of a core, four would take "
    "twenty more.",
    "One million short records are less than a part of shards, ten million are eight.",
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder with .txt files to draw words from")
    parser.add_argument("--rounds", type=int, default=2, help="how often each command is run")
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=VERBS, help="others' figures stay as they are")
    asked = parser.parse_args()
    found = []
    texts, questions = (TEXT, of_texts(asked.data)), (ASKED, of_questions())
    for axis, curves in (texts, (SHORT, of_records()), *([questions] if "predict" in asked.verbs else [])):
        points = []
        for verb, command, size in curves:
            if verb in asked.verbs:
                points += measured(verb, command, size, axis, asked.rounds)
            elif verb in ("fit", "encode"):  # others need what they write
                watched([*ULT, *command])
        found += [*points, *exponents(points, axis), *flat(points, axis)]
    for one in found:
        one.pop("values", None)
    anew = {f"ult {verb}" for verb in asked.verbs}
    kept = [one for one in earlier("verbs")["metrics"] if one["system"].split(",")[0] not in anew]
    write("verbs", "Growth of each verb", [*found, *kept], __doc__, command="python bench/verbs.py --data DATA",
          notes=NOTES)  # fmt: skip


def of_texts(data: Path) -> Iterator[Command]:
    """Yield each verb on a text of each size, which begins the longest."""
    with tempfile.TemporaryDirectory() as folder:
        longest = Path(folder) / "longest.txt"
        write_corpus(data, longest, MEGABYTES[-1] * 10**6)
        for size in MEGABYTES:
            with tempfile.TemporaryDirectory() as place, longest.open("rb") as file:
                text = Path(place) / "corpus.txt"
                with text.open("wb") as some:
                    for _ in range(size):
                        some.write(file.read(10**6))
                    some.write(file.readline())
                yield from commands(text, size)


def of_records() -> Iterator[Command]:
    """Yield the same on each number of short records, all different."""
    for size in RECORDS:
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "corpus.txt"
            text.write_text("".join(f"note {k}\n" for k in range(size)), encoding="utf-8")
            yield from commands(text, size)


def of_questions() -> Iterator[Command]:
    """Yield `ult predict` on each number of rows."""
    with tempfile.TemporaryDirectory() as folder:
        rows, table, shards, run, out = (str(Path(folder) / name) for name in ("r.csv", "t.ult", "s", "run", "out.csv"))
        command = ["predict", run, rows, "-t", table, "--target", "outcome", "-o", out, "--force"]
        for size in (1000, *QUESTIONS):
            lines = [f"{20 + k * 7 % 70},{'abcde'[k % 5]},{('home', 'died')[k * k % 7 < 3]}\n" for k in range(size)]
            Path(rows).write_text("age,ward,outcome\n" + "".join(lines), encoding="utf-8")
            if Path(run).exists():
                yield "predict", command, size
            else:  # the first rows are trained on, and asked for once, so that all kernels are compiled
                watched([*ULT, "fit", rows, "--codec", "record/columns", "-o", table, "--no-encryption", *ALONE])
                watched([*ULT, "encode", rows, "-t", table, "-o", shards, *ALONE])
                watched([*ULT, "train", shards, "-o", run, "--steps", "5"])
                watched([*ULT, *command])


def commands(text: Path, size: int) -> Iterator[Command]:
    """Yield each verb on a text; later ones read what those before have written."""
    table, shards, out, parts = (str(text.parent / name) for name in ("t.ult", "shards", "out.txt", "parts"))
    yield "fit", ["fit", str(text), "-o", table, "--no-encryption", "--force", *ALONE], size
    yield "encode", ["encode", str(text), "-t", table, "-o", shards, "--force", *ALONE], size
    yield "decode", ["decode", shards, "-t", table, "-o", out, "--force", *ALONE], size
    yield "inspect", ["inspect", shards], size
    yield "dedupe", ["dedupe", str(text), "-o", out, "--force", *ALONE], size
    yield "split", ["split", str(text), "-o", parts, "--force"], size


def measured(verb: str, command: list[str], size: int, axis: str, rounds: int) -> list[dict[str, Any]]:
    """Run a command in rounds; return the points of its CPU time and its peak memory."""
    seconds, peaks = zip(*(watched([*ULT, *command]) for _ in range(rounds)), strict=True)
    shown = " ".join(f"{one:.1f}" for one in seconds), " ".join(f"{one:.0f}" for one in peaks)
    print(f"ult {verb:<8} {size:>10,} {axis:<10} {shown[0]} s {shown[1]} MB", flush=True)
    return [
        point(TIME, f"ult {verb}", size, seconds, "s", axis),
        point(MEMORY, f"ult {verb}", size, peaks, "MB", axis),
    ]


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


def point(name: str, system: str, x: int, values: Sequence[float], unit: str, axis: str) -> dict[str, Any]:
    """Return one point of a curve; `values` are those of its rounds, which are not part of a result."""
    found = metric(f"{name}, {axis}", system, of_rounds(values), n=x, higher_is_better=False, unit=unit)
    return found | {"x": x, "axis": axis, "values": values}


def exponents(points: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Return the exponent of each curve of time."""
    found = []
    for system in dict.fromkeys(p["system"] for p in points):
        curve = [p for p in points if p["system"] == system and p["unit"] == "s"]
        of = f"{system}, {curve[0]['x']:,} to {curve[-1]['x']:,} {axis}"
        all_rounds = [(p["x"], value) for p in curve for value in p["values"]]
        grown = of_growth(*zip(*all_rounds, strict=True))
        found.append(
            metric(f"{TIME}, exponent", of, grown, n=len(all_rounds), higher_is_better=False, goal="at most 1.05")
        )
    return found


def flat(points: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
    """Return the peak memory at the largest size as a multiple of that at a tenth of it."""
    found = []
    for system in dict.fromkeys(p["system"] for p in points):
        peaks = {p["x"]: p["value"] for p in points if p["system"] == system and p["unit"] == "MB"}
        last = max(peaks)
        name = f"{MEMORY}, {last:,} / {last // 10:,} {axis}"
        found.append(
            metric(name, system, unmeasured(peaks[last] / peaks[last // 10]), n=2, higher_is_better=False, unit="x",
                   goal="at most 1.10")
        )  # fmt: skip
    return found


if __name__ == "__main__":
    main()

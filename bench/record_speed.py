"""How fast are tables encoded as records of fields, from file to shards, and in how much memory?

The table is made: visits of patients, eleven columns of a CSV (identifier, sex, birth, date, code, value, unit, two
vital signs, ward, a short note), 73 bytes a row, ten rows in a hundred without a value. Blocks of rows repeat, but for
the identifiers. Whole commands run with one worker, start of Python included; `--unit` makes a record of the twenty
rows of a patient, and scattered rows have those of a patient in two halves of the file, in no order. The table of ids
is fitted on the first 50 MB, and another on 200 MB to see how fitting grows. Time is the CPU time of a command, because
the machine was shared, and MB are those of the CSV. Memory is the kernel's mark of the most that was resident. The
exponent is the slope of a straight line through the logarithms of the times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from growth import highest
from session import metric, unmeasured, write

SIZES = (50, 200, 800, 5000)  # MB
EVERY = 0.2  # seconds
BLOCK_ROWS, ROWS_EACH, SCATTERED_MOST, FITTED_MOST = 400_000, 20, 800, 200
HEAD = b"patient_id,sex,birth,date,code,value,unit,systolic,weight,ward,note\n"
CASES = ("rows", "--unit", "--unit, scattered")
TIME, MEMORY = "CPU time", "peak memory"


def block(*, scattered: bool) -> bytes:
    """Return rows of which every patient has twenty, one after another or in no order."""
    rng, n = np.random.default_rng(7), BLOCK_ROWS
    patients = np.arange(n) // ROWS_EACH
    codes = np.array([f"{a}{i:02d}.{j}" for a in "ABCEIJKMN" for i in range(30) for j in range(3)])
    notes = np.array(["stable", "improved", "follow up in two weeks", '"pain, at night"', "see letter", "", "", ""])
    which = np.minimum(rng.zipf(1.3, n), len(codes)) - 1
    values = np.char.mod("%.1f", np.exp(rng.normal(3, 1, n)))
    values[rng.random(n) < 0.1] = ""
    days = np.sort(rng.integers(0, 5000, (n // ROWS_EACH, ROWS_EACH)), 1).reshape(-1)
    columns = [
        np.char.mod("P%08d", patients),
        np.where(patients * 2654435761 % 3, "f", "m"),
        (np.datetime64("1930-01-01") + patients * 7919 % 30000).astype(str),
        (np.datetime64("2010-01-01") + days).astype(str),
        codes[which],
        values,
        np.array(["mg/dL", "mmol/L", "g/L", "U/L"])[which % 4],
        rng.normal(130, 18, n).astype(int).astype(str),
        np.char.mod("%.1f", rng.normal(78, 14, n)),
        np.char.mod("W%02d", rng.integers(0, 40, n)),
        rng.choice(notes, n),
    ]
    lines = [",".join(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    if scattered:
        lines = [lines[i] for i in rng.permutation(n).tolist()]
    return "".join(f"{line}\n" for line in lines).encode()


def make(path: Path, rows: bytes, megabytes: int, *, scattered: bool) -> None:
    """Write a table of about `megabytes`: whole blocks, and then the first rows of one."""
    left, k, halves = megabytes * 10**6, 0, max(1, round(megabytes * 10**6 / len(rows) / 2))
    with path.open("wb") as file:
        file.write(HEAD)
        while left > 0:
            number = k % halves if scattered else k
            more = (b"\n" + rows).replace(b"\nP00", b"\nP%02d" % number)[1:]
            if left < len(more):
                more = more[: more.index(b"\n", left - 1) + 1]
            file.write(more)
            left, k = left - len(more), k + 1


def watched(command: list[str]) -> tuple[float, float]:
    """Run a command of one process; return its CPU seconds, and the most memory that it had, in MB."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([sys.executable, "-m", "ult", *command], stdout=errors, stderr=errors)
        most = 0
        while True:
            most = max(most, highest(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(EVERY)
        errors.seek(0)
        assert status == 0, errors.read().decode()
    return used.ru_utime + used.ru_stime, most / 1e6


def case(folder: Path, name: str, megabytes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield the points of encoding tables of each size, and of fitting on the smallest."""
    scattered = name == CASES[2]
    rows, data, shards = block(scattered=scattered), folder / "visits.csv", folder / "shards"
    how = ["--drop", "patient_id"] if name == CASES[0] else ["--unit", "patient_id"]
    fit = ["fit", str(data), "--codec", "record/columns", *how, "--no-encryption", "--workers", "1"]
    encode = ["encode", str(data), "--workers", "1"]
    table, fitted = str(folder / f"{CASES.index(name)}.ult"), folder / "fitted.ult"
    for size in sorted(megabytes):
        make(data, rows, size, scattered=scattered)
        verbs = {"encode": [*encode, "--table", table, "--out", str(shards)]}
        if size <= FITTED_MOST:
            verbs = {"fit": [*fit, "--out", table if size == min(megabytes) else str(fitted)], **verbs}
        for verb, command in verbs.items():
            seconds, peak = watched(command)
            print(f"{verb:<7} {name:<18} {size:>5} MB {seconds:>8.1f} s {peak:>6.0f} MB", flush=True)
            for what, value, unit in ((TIME, seconds, "s"), (MEMORY, peak, "MB")):
                point = metric(
                    what, f"ult {verb}, {name}", unmeasured(value), n=size, higher_is_better=False, unit=unit
                )
                yield point | {"x": size, "axis": "MB of CSV"}
        shutil.rmtree(shards)
        fitted.unlink(missing_ok=True)


def summary(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return speed, exponent and growth of memory of each command."""
    found: list[dict[str, Any]] = []
    for system in dict.fromkeys(point["system"] for point in points):
        mine = [point for point in points if point["system"] == system]
        times, peaks = ({p["x"]: p["value"] for p in mine if p["name"] == name} for name in (TIME, MEMORY))
        first, last = min(times), max(times)
        if first == last:
            continue
        about: dict[str, Any] = {"n": len(times), "higher_is_better": False}
        goal, base = ("at least 20", SIZES[1]) if "encode" in system else ("", first)
        slope, _ = np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)
        found += [
            metric("MB of CSV a second of one core", f"{system}, {last:,} MB", unmeasured(last / times[last]), n=last,
                   higher_is_better=True, unit="MB/s", goal=goal),
            metric("CPU time, exponent", f"{system}, {first:,} to {last:,} MB", unmeasured(float(slope)), unit="",
                   goal="at most 1.05", **about),
            metric(f"peak memory, {last:,} MB / {base} MB", system, unmeasured(peaks[last] / peaks[base]),
                   unit="x", goal="at most 1.5", **about),
        ]  # fmt: skip
    return found


def main() -> None:
    """Measure, and write `results/record-speed.json`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, nargs="+", default=SIZES)
    asked = parser.parse_args()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            points += case(Path(folder), name, [n for n in asked.megabytes if name != CASES[2] or n <= SCATTERED_MOST])
    command = "python bench/record_speed.py"
    write("record-speed", "Speed of records of fields", [*points, *summary(points)], __doc__, command=command)


if __name__ == "__main__":
    main()

"""`ult demo` with three seeds: how long it takes, what it reads without the table, and ids beside plain tokens."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from session import metric, over_seeds, unmeasured, write

SEEDS = (0, 1, 2)


def main() -> None:
    runs, seconds = [], []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "ult", "demo", "--seed", str(seed), "--out", "demo"], cwd=folder, check=True
            )
            seconds.append(time.perf_counter() - started)
            runs.append(json.loads((Path(folder) / "demo" / "demo.json").read_text(encoding="utf-8")))
    held, read = runs[0]["shards"]["held-out"]["records"], [run["attack"]["best"] for run in runs]
    metrics = [
        metric("slowest demo", f"{os.cpu_count()} cores", unmeasured(max(seconds)), n=len(SEEDS), seeds=SEEDS,
               goal="below 180", unit="s", higher_is_better=False),
        metric("made-up notes that come back exactly", "the hospital's table",
               unmeasured(min(run["exact"] for run in runs)), n=runs[0]["notes"], seeds=SEEDS,
               unit="notes", higher_is_better=True),
        _mean("bits per byte, ratio to plain tokens", "ids", [run["model"]["ratio"] for run in runs], held, "x"),
        _mean("ids read by the strongest attack", "made-up notes of another hospital",
              [best["occurrences"] for best in read], read[0]["units"], "share"),
        _mean("ids that it could name", "made-up notes of another hospital", [best["ceiling"] for best in read],
              read[0]["units"], "share"),
        _mean("area under the curve, members against others", "the best attack",
              [run["memory"]["membership"]["auc"] for run in runs], held, ""),
        metric("digits told from ids, as a share of what logistic regression tells from pixels", "bag of ids",
               unmeasured(min(run["digits"]["accuracy"] / run["digits"]["pixels"] for run in runs)),
               n=runs[0]["digits"]["images"], seeds=SEEDS, goal="at least 0.95", unit="share", higher_is_better=True),
    ]  # fmt: skip
    write("demo", "The demo", metrics, __doc__, command="python bench/demo.py")


def _mean(name: str, system: str, values: list[float], n: int, unit: str) -> dict:
    """Return the mean over the seeds, with the interval that their spread gives."""
    found = over_seeds(values)
    return metric(name, system, found, n=n, seeds=SEEDS, higher_is_better=False, unit=unit)


if __name__ == "__main__":
    main()

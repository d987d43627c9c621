"""Results as JSON: what every figure of the README is generated from."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ult.host.distribution import versions

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "numba", "pyarrow", "pillow", "tokenizers", "scikit-learn", "rdkit")


def metric(
    name: str, system: str, value: float, *, n: int, higher_is_better: bool, unit: str, goal: str = ""
) -> dict[str, Any]:
    """Return one figure: what was measured of which system, on how many records or values."""
    return {
        "name": name,
        "system": system,
        "value": value,
        "n": n,
        "higher_is_better": higher_is_better,
        "unit": unit,
        "goal": goal,
    }


def write(row: str, metrics: Sequence[dict[str, Any]], *, command: str, seeds: Sequence[int] = ()) -> None:
    """Write `results/<row>.json` and print its figures."""
    document = {
        "row": row,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "git": _git(),
        "python": platform.python_version(),
        "versions": versions(*PACKAGES),
        "seeds": list(seeds),
        "metrics": list(metrics),
    }
    path = ROOT / "results" / f"{row}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for m in metrics:
        goal = f"   goal: {m['goal']}" if m["goal"] else ""
        print(f"{m['name']:<44} {m['system']:<28} {m['value']:>12.4f} {m['unit']}  (n = {m['n']:,}){goal}")


def data_folder() -> Path:
    """Return the folder named by `--data`; exit with a message if it is not there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="the folder with text/, images/, series/, molecules/")
    folder: Path = parser.parse_args().data
    if not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    return folder


def _git() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"

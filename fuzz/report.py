"""Write `results/fuzz.json` of what `run.py --json` wrote, and `dev/fuzz.md` of that."""

from __future__ import annotations

import json
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ult.host.distribution import versions

ROOT = Path(__file__).resolve().parent.parent
RESULT, PAGE = ROOT / "results" / "fuzz.json", ROOT / "dev" / "fuzz.md"
PACKAGES = ("numpy", "pillow", "pyarrow", "pyrage", "safetensors", "torch", "transformers")
HEAD = """# Fuzzing

Written by `fuzz/report.py`; `make fuzz` runs it. A finding is anything but success or one of our errors, more than 2
seconds of processor time, or 512 MiB more memory than before. What was found earlier was mended (`log.md`), and its
inputs are in `fuzz/corpus`, which `make test` replays.

"""


def document(lines: list[str], git: str) -> dict[str, Any]:
    """Return the result of the lines of a run."""
    targets = [json.loads(line) for line in lines]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "git": git,
        "python": platform.python_version(),
        "versions": versions(*PACKAGES),
        "inputs": sum(one["inputs"] for one in targets),
        "findings": sum(len(one["findings"]) for one in targets),
        "targets": targets,
    }


def page(found: dict[str, Any]) -> str:
    """Return the page."""
    of = f"{found['date']}, commit {found['git']}, Python {found['python']}"
    head = f"{found['inputs']:,} mutated inputs, {found['findings']} findings ({of}).\n"
    rows = ["", "| parser | inputs | of them accepted | CPU seconds | seed | findings |", "|---|---|---|---|---|---|"]
    for one in found["targets"]:
        said = "; ".join(f"{f['fault']} (input {f['input']})" for f in one["findings"]) or "none"
        told = (
            one["target"],
            f"{one['inputs']:,}",
            f"{one['accepted']:,}",
            f"{one['cpu_seconds']:.0f}",
            one["seed"],
            said,
        )
        rows.append("| " + " | ".join(map(str, told)) + " |")
    return HEAD + head + "\n".join(rows) + "\n"


def main() -> int:
    """Write both files."""
    sys.path.insert(0, str(ROOT / "runs"))
    from lib import result

    found = document(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines(), result.git())
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

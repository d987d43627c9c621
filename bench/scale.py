"""Write the table of `docs/scale.md`: what a terabyte of text takes, on paper, from `results/growth.json`."""

from __future__ import annotations

from session import ROOT, load

TERABYTE = 10**6  # MB
NODES, CORES = (1, 16, 256), 16
PRICE = 0.05  # USD a core-hour: an assumption
BEGIN, END = "<!-- scale: written by bench/scale.py -->", "<!-- /scale -->"


def table() -> list[str]:
    """Return the Markdown table; a run takes what its workers take, or its first process if that takes longer."""
    lines = [
        "| verb | nodes | cores | MB/s a core | hours of the workers | hours of the first process | hours | USD |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verb in ("fit", "encode"):
        worker = per_megabyte("time", f"ult {verb}")
        first = per_megabyte("CPU time of the first process", f"ult {verb}, 2 workers")
        for nodes in NODES:
            cores = nodes * CORES
            shared, alone = (TERABYTE * seconds / 3600 for seconds in (worker / cores, first))
            hours = max(shared, alone)
            lines.append(
                f"| `ult {verb}` | {nodes} | {cores:,} | {1 / worker:.0f} | {shared:.2g} | {alone:.2g} | {hours:.2g} "
                f"| {hours * cores * PRICE:.3g} |"
            )
    return lines


def per_megabyte(name: str, system: str) -> float:
    """Return the seconds a MB, of the last 900 of 1000 MB: without what starting costs."""
    metrics = load(ROOT / "results" / "growth.json")["metrics"]
    points = {m["x"]: m["value"] for m in metrics if (m["name"], m["system"]) == (name, system)}
    return float(points[1000] - points[100]) / 900


def main() -> None:
    path = ROOT / "docs" / "scale.md"
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    path.write_text("\n".join([before + BEGIN, *table(), END + rest.split(END)[1]]), encoding="utf-8")


if __name__ == "__main__":
    main()

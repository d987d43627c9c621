"""Write the README's table of figures from `results/*.json`; nothing in it is typed by hand."""

import json
import sys
from pathlib import Path

from result import ROOT

ROWS = ("text-ids", "exact", "image-quality", "series-quality", "molecule-ids", "demo")
WHOLE = ("molecule-ids", "demo")  # rows shown with the figures that have no goal; the others show goals only
BEGIN, END = "<!-- figures: written by bench/readme.py -->", "<!-- /figures -->"


def table() -> str:
    """Return the Markdown table of all rows, in order."""
    lines = ["| figure | of | value | goal | n | script |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        document = json.loads((ROOT / "results" / f"{row}.json").read_text(encoding="utf-8"))
        script = document["command"].split()[1]
        for m in document["metrics"]:
            if not m["goal"] and row not in WHOLE:
                continue
            unit = "" if m["unit"] == "share" else m["unit"]
            value = f"{_value(m['value'], m['unit'])} {unit}".strip()
            if m.get("low") is not None:
                value += f" ({_value(m['low'], m['unit'])} to {_value(m['high'], m['unit'])})"
            lines.append(f"| {m['name']} | {m['system']} | {value} | {m['goal']} | {m['n']:,} | `{script}` |")
    return "\n".join(lines)


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return "all" if value == 1 else f"{value:.2%}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.4g}"


def written(text: str) -> str:
    """Return the README `text` with its table made anew."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    path: Path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(written(text) != text)
    path.write_text(written(text), encoding="utf-8")


if __name__ == "__main__":
    main()

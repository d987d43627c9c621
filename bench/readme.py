"""Write the README's tables of figures from `results/*.json`; nothing in them is typed by hand."""

import json
import sys
from pathlib import Path
from typing import Any

from result import ROOT

ROWS = ("text-ids", "exact", "image-quality", "series-quality", "molecule-ids", "demo")
WHOLE = ("molecule-ids", "demo")  # rows shown with the figures that have no goal; the others show goals only
SPEEDS = ("text-speed", "bwt-speed", "image-speed", "series-speed", "startup")
BEGIN, END = "<!-- {}: written by bench/readme.py -->", "<!-- /{} -->"


def figures() -> list[str]:
    """Return the Markdown table of what was measured of ours alone."""
    lines = ["| figure | of | value | goal | n | script |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        document = _result(row)
        for m in document["metrics"]:
            if not m["goal"] and row not in WHOLE:
                continue
            unit = "" if m["unit"] == "share" else m["unit"]
            value = f"{_value(m['value'], m['unit'])} {unit}".strip()
            if m.get("low") is not None:
                value += f" ({_value(m['low'], m['unit'])} to {_value(m['high'], m['unit'])})"
            lines.append(f"| {m['name']} | {m['system']} | {value} | {m['goal']} | {m['n']:,} | {_script(document)} |")
    return lines


def speeds() -> list[str]:
    """Return the Markdown table of what was timed beside a peer, where there is a goal; the PNGs show all."""
    lines = ["| what | ours / peer | ours | peer | ratio | goal | n | script |", "|---|---|---|---|---|---|---|---|"]
    for row in SPEEDS:
        document = _result(row)
        for m in document["metrics"]:
            if "peer" not in m or not m["goal"]:
                continue
            ratio = f"{m['value']:.3g} x ({m['low']:.3g} to {m['high']:.3g}, {m['rounds']} rounds)"
            ours, peer = (f"{m[side]:,.{1 if m[side] < 100 else 0}f}" for side in ("ours", "peer"))
            lines.append(
                f"| {m['name']} | {m['system']} | {ours} {m['speed']} | {peer} {m['speed']} | {ratio} | {m['goal']} "
                f"| {m['n']:,} | {_script(document)} |"
            )
    return lines


def growth() -> list[str]:
    """Return the Markdown table of how time and memory grow, and the charts of it."""
    metrics = _result("growth")["metrics"]
    lines = ["| what | of | value | goal | script |", "|---|---|---|---|---|"]
    lines += [
        f"| {m['name']} | {_of(m)} | {m['value']:.3g} {m['unit']} | {m['goal']} | `bench/growth.py` |"
        for m in metrics
        if m["goal"]
    ]
    return [*lines, "", *(f"![{row}](results/{row}.png)" for row in ("growth", "text-speed"))]


def _of(m: dict[str, Any]) -> str:
    return f"{m['system']}, {m['x']:,} {m['axis']}" if "x" in m else m["system"]


def _result(row: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "results" / f"{row}.json").read_text(encoding="utf-8"))
    return document


def _script(document: dict[str, Any]) -> str:
    return next(f"`{word}`" for word in document["command"].split() if word.startswith("bench/"))


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return "all" if value == 1 else f"{value:.2%}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.4g}"


def written(text: str) -> str:
    """Return the README `text` with its tables made anew."""
    for name, table in (("speed", speeds), ("growth", growth), ("figures", figures)):
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        after = rest.split(end)[1]
        text = "\n".join([before + begin, *table(), end + after])
    return text


def main() -> None:
    path: Path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(written(text) != text)
    path.write_text(written(text), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write `docs/speed.md`, and the README's tables, from `results/*.json`; nothing in them is typed by hand."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from result import ROOT

ROWS = ("text-ids", "exact", "image-quality", "series-quality", "demo")
WHOLE = ("demo",)  # rows shown with the figures that have no goal; the others show goals only
SPEEDS = ("text-speed", "bwt-speed", "image-speed", "series-speed", "train-speed", "startup")
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


def timed() -> list[dict[str, Any]]:
    """Return what was timed beside a peer and has a goal, each with the script that did it."""
    documents = [_result(row) for row in SPEEDS]
    return [
        m | {"script": _script(document)}
        for document in documents
        for m in document["metrics"]
        if "peer" in m and m["goal"]
    ]


def summary() -> list[str]:
    """Return the README's table of speed: of each verb beside its peer the worst case and the best."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for m in timed():
        verb = m["name"].partition(":")[0].partition(",")[0]
        groups.setdefault((m["script"], verb, m["goal"], _peer(m)), []).append(m)
    lines = [
        "| what | beside | ratio: worst case, best | goal | cases that meet it | script |",
        "|---|---|---|---|---|---|",
    ]
    for (script, verb, goal, peer), many in groups.items():
        ends = _range([m["value"] for m in many], many[0]["higher_is_better"], "x")
        ours = many[0]["system"].partition(",")[0].partition(" / ")[0]
        lines.append(f"| {_words(ours, verb)} | {peer} | {ends} | {goal} | {_met(many)} | {script} |")
    return lines


def _words(ours: str, verb: str) -> str:
    return verb if verb.startswith(ours) or verb.endswith(ours) else f"{ours}: {verb}"


def _peer(m: dict[str, Any]) -> str:
    return str(m["system"].rpartition(" / ")[2].partition(",")[0])


def _range(values: Sequence[float], higher_is_better: bool, unit: str) -> str:
    worst, *_, best = sorted([*values, values[-1]], reverse=not higher_is_better)
    return f"{_short(worst)} {unit}".strip() if worst == best else f"{_short(worst)}, {_short(best)} {unit}".strip()


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _met(many: Sequence[dict[str, Any]]) -> str:
    met = sum(_meets(m["value"], m["goal"]) for m in many)
    return f"{met} of {len(many)}"


def _meets(value: float, goal: str) -> bool:
    words, number = goal.rsplit(" ", 1)
    return value >= float(number) if words == "at least" else value <= float(number)


def speeds() -> list[str]:
    """Return the Markdown table of what was timed beside a peer, where there is a goal; the PNGs show all."""
    lines = ["| what | ours / peer | ours | peer | ratio | goal | n | script |", "|---|---|---|---|---|---|---|---|"]
    for m in timed():
        ratio = f"{m['value']:.3g} x ({m['low']:.3g} to {m['high']:.3g}, {m['rounds']} rounds)"
        ours, peer = (f"{m[side]:,.{1 if m[side] < 100 else 0}f}" for side in ("ours", "peer"))
        lines.append(
            f"| {m['name']} | {m['system']} | {ours} {m['speed']} | {peer} {m['speed']} | {ratio} | {m['goal']} "
            f"| {m['n']:,} | {m['script']} |"
        )
    return lines


def growth() -> list[str]:
    """Return the README's table of growth: the worst command of each kind; and the charts."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for m in _result("growth")["metrics"]:
        if m["goal"]:
            groups.setdefault((m["name"], m["goal"]), []).append(m)
    lines = ["| what | worst, best | of | goal | cases that meet it | script |", "|---|---|---|---|---|---|"]
    for (name, goal), many in groups.items():
        of = "; ".join(dict.fromkeys(m["system"].partition(",")[0] for m in many))
        ends = _range([m["value"] for m in many], False, many[0]["unit"])
        lines.append(f"| {name} | {ends} | {of} | {goal} | {_met(many)} | `bench/growth.py` |")
    return [*lines, "", *(f"![{row}](results/{row}.png)" for row in ("growth", "text-speed"))]


def grown() -> list[str]:
    """Return the Markdown table of how time and memory grow."""
    lines = ["| what | of | value | goal | script |", "|---|---|---|---|---|"]
    return lines + [
        f"| {m['name']} | {_of(m)} | {m['value']:.3g} {m['unit']} | {m['goal']} | `bench/growth.py` |"
        for m in _result("growth")["metrics"]
        if m["goal"]
    ]


PAGE = """# Speed and growth

Every case that has a goal, as `make bench` measured it; written by `bench/readme.py` from `results/*.json`, where those
without a goal stand too. Beside peers: one process and one thread each, in turns; a ratio is the median of the rounds,
with their range.
"""


def page() -> str:
    """Return `docs/speed.md`."""
    charts = [f"![{row}](../results/{row}.png)" for row in (*SPEEDS, "growth")]
    return "\n".join([PAGE, *speeds(), "", "## Growth", "", *grown(), "", *charts, ""])


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
    for name, table in (("speed", summary), ("growth", growth), ("figures", figures)):
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = text.split(begin)
        after = rest.split(end)[1]
        text = "\n".join([before + begin, *table(), end + after])
    return text


def main() -> None:
    readme, speed = ROOT / "README.md", ROOT / "docs" / "speed.md"
    text = readme.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(written(text) != text or speed.read_text(encoding="utf-8") != page())
    readme.write_text(written(text), encoding="utf-8")
    speed.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write `dev/speed.md`, and the README's lines on speed, from `results/*.json`; nothing in them is typed by hand."""

import sys
from collections.abc import Sequence
from typing import Any

from session import FIGURES, ROOT, SPEEDS, load, verdict

WHOLE = ("demo",)  # rows shown with the figures that have no goal; the others show goals only
SUMMARY = (  # of the README: row, how a metric's name starts, the peer, and what it says in words
    ("text-speed", "encode, ", "tokenizers", "encode text, beside Hugging Face tokenizers, one thread"),
    ("text-speed", "decode, ", "tiktoken", "decode text, beside tiktoken, one thread"),
    ("train-speed", "train, ", "", "`ult train`, beside a bare Hugging Face Trainer"),
    ("growth", "peak memory", "ult", "peak memory with 1 GB of text"),
)
BEGIN, END = "<!-- speed: written by bench/readme.py -->", "<!-- /speed -->"


def figures() -> list[str]:
    """Return the Markdown table of what was measured of ours alone."""
    lines = ["| figure | of | value | goal | n | script |", "|---|---|---|---|---|---|"]
    for row in (*FIGURES, *SPEEDS):
        document = _result(row)
        for m in document["metrics"]:
            if "peer" in m or (not m["goal"] and row not in WHOLE):
                continue
            unit = "" if m["unit"] == "share" else m["unit"]
            value = f"{_value(m['value'], m['unit'])} {unit}".strip()
            if m["low"] is not None:
                value += f" ({_value(m['low'], m['unit'])} to {_value(m['high'], m['unit'])})"
            lines.append(f"| {m['name']} | {m['system']} | {value} | {_goal(m)} | {m['n']:,} | {_script(document)} |")
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
    """Return the README's lines on speed: of each group of cases beside its peer the worst and the best."""
    lines = ["| speed and memory | worst, best case | goal | met |", "|---|---|---|---|"]
    for row, name, peer, words in SUMMARY:
        cases = [m for m in _result(row)["metrics"] if m["goal"] and peer in m["system"]]
        many = [m for m in cases if m["name"] == name or (name.endswith(", ") and m["name"].startswith(name))]
        ends = _range([m["value"] for m in many], many[0]["higher_is_better"], many[0]["unit"])
        lines.append(f"| {words} | {ends} | {many[0]['goal']} | {_met(many)} |")
    return lines


def _range(values: Sequence[float], higher_is_better: bool, unit: str) -> str:
    worst, *_, best = sorted([*values, values[-1]], reverse=not higher_is_better)
    return f"{_short(worst)} {unit}".strip() if worst == best else f"{_short(worst)}, {_short(best)} {unit}".strip()


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _met(many: Sequence[dict[str, Any]]) -> str:
    met = sum(verdict(m).startswith("met") for m in many)
    return f"{met} of {len(many)}"


def _goal(m: dict[str, Any]) -> str:
    """Return a goal as tables show it, with what became of it; of a share in percent."""
    if not m["goal"]:
        return ""
    words, number = m["goal"].rsplit(" ", 1)
    limit = f"{100 * float(number):.3g} %" if m["unit"] == "share" else number
    return f"{words} {limit}: **{verdict(m)}**"


def speeds() -> list[str]:
    """Return the Markdown table of what was timed beside a peer, where there is a goal; the PNGs show all."""
    lines = ["| what | ours / peer | ours | peer | ratio | goal | n | script |", "|---|---|---|---|---|---|---|---|"]
    for m in timed():
        ratio = f"{m['value']:.3g} x ({m['low']:.3g} to {m['high']:.3g}, {m['rounds']} rounds)"
        ours, peer = (f"{m[side]:,.{1 if m[side] < 100 else 0}f}" for side in ("ours", "peer"))
        lines.append(
            f"| {m['name']} | {m['system']} | {ours} {m['speed']} | {peer} {m['speed']} | {ratio} | {_goal(m)} "
            f"| {m['n']:,} | {m['script']} |"
        )
    return lines


def grown() -> list[str]:
    """Return the Markdown table of how time and memory grow."""
    lines = ["| what | of | value | goal | script |", "|---|---|---|---|---|"]
    return lines + [
        f"| {m['name']} | {_of(m)} | {_figure(m)} | {_goal(m)} | `bench/growth.py` |"
        for m in _result("growth")["metrics"]
        if m["goal"]
    ]


PAGE = """# Speed, growth and figures

Every case that has a goal, as `make bench` and `make figures` measured it; written by `bench/readme.py` from
`results/*.json`, where those without a goal stand too. Beside peers: one process and one thread each, in turns; a ratio
is the median of the rounds, with their range. A goal is *met* or *missed* by the value, and *inconclusive* where the
range or interval reaches to the other side. What holds `ult encode` and `ult decode` below their goals stands in
`dev/log.md` (2026-12-01, speed). `make bench DATA=...` measures speed and growth again, `make figures DATA=...` the
rest.

## Beside peers
"""


def page() -> str:
    """Return `dev/speed.md`."""
    pictures = [f"<!-- picture: {row} -->" for row in SPEEDS]
    grow = ["## Growth", "", "Of whole commands on text in which one word in fifty is new.", "", *grown(), ""]
    return "\n".join(
        [PAGE, *speeds(), "", *pictures, "", *grow, "<!-- picture: growth -->", "", "## Figures", "", *figures(), ""]
    )


def _figure(m: dict[str, Any]) -> str:
    return f"{m['value']:.3g} {m['unit']}".strip()


def _of(m: dict[str, Any]) -> str:
    return f"{m['system']}, {m['x']:,} {m['axis']}" if "x" in m else m["system"]


def _result(row: str) -> dict[str, Any]:
    return load(ROOT / "results" / f"{row}.json")


def _script(document: dict[str, Any]) -> str:
    return next(f"`{word}`" for word in document["command"].split() if word.startswith("bench/"))


def _value(value: float, unit: str) -> str:
    if unit == "share":
        return "all" if value == 1 else f"{value:.2%}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.4g}"


def written(text: str) -> str:
    """Return the README `text` with its lines on speed made anew."""
    before, rest = text.split(BEGIN)
    return "\n".join([before + BEGIN, *summary(), END + rest.split(END)[1]])


def main() -> None:
    """Write both, or check them."""
    readme, speed = ROOT / "README.md", ROOT / "dev" / "speed.md"
    text = readme.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(written(text) != text or speed.read_text(encoding="utf-8") != page())
    readme.write_text(written(text), encoding="utf-8")
    speed.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write `docs/results.md` and the tables of the README and of `docs/threats.md` from `results/<row>.json`.

Nothing in them is typed by hand. `--check` writes nothing and fails if one is not what the results say.
"""

from __future__ import annotations

import sys
from typing import Any

from lib.result import ROOT, load, results, verdict
from lib.tables import TABLES

BEGIN, END = "<!-- results: written by runs/report.py -->", "<!-- /results -->"
HEAD = """# Results

The papers' experiments, run again with a baseline on raw data beside each: the same model, optimizer steps and time.
Written by `runs/report.py` from `results/*.json`; `make results DATA=...` measures them again, `make study DATA=...`
those on what leaks. An interval is 95 %, of the kind named beside it: *t over seeds* says what training again would
change, *over records* what other records would, *over both* both. A goal is *met* or *missed* by the value, and
*inconclusive* where the interval reaches to the other side.
"""


def docs() -> str:
    """Return `docs/results.md`."""
    return "\n".join([HEAD, *("\n".join(_section(path.stem, load(path))) for path in results())])


def _section(name: str, document: dict[str, Any]) -> list[str]:
    size, left = document["model"], {k: v for k, v in document["model"].items() if k not in ("name", "parameters")}
    model = ", ".join([f"{size['name']}, {size['parameters']:,} parameters", *(f"{k} {v}" for k, v in left.items())])
    return [
        f"## {document['title']}",
        "",
        document["asked"],
        "",
        document["setting"],
        "",
        f"Model: {model}. `{document['command']}`, {document['minutes']} minutes of CPU on {document['device']}, "
        f"{document['date']}, commit {document['git']}.",
        "",
        "| what | system | value | 95 % interval | n | seeds | goal |",
        "|---|---|---|---|---|---|---|",
        *(_line(m) for m in document["metrics"]),
        "",
        *(f"- {note}" for note in document["notes"]),
        *([""] if document["notes"] else []),
        f"![{document['title']}](../results/{name}.png)",
        "",
    ]


def _line(m: dict[str, Any]) -> str:
    ends = "counted" if m["low"] is None else f"{m['low']:.4g} to {m['high']:.4g}, {m['interval']}"
    n = f"{m['n']:,}" + (f" of {m['n_asked']:,}" if m["n_asked"] != m["n"] else "")
    goal = f"{m['goal']}: **{verdict(m)}**" if m["goal"] else ""
    arrow = "↑" if m["higher_is_better"] else "↓"
    system = f"{m['system']}, beside {m['baseline']}" if m["baseline"] else m["system"]
    value = f"{m['value']:.4g} {m['unit']}".strip()
    return f"| {m['name']} {arrow} | {system} | {value} | {ends} | {n} | {len(m['seeds']) or ''} | {goal} |"


def short() -> list[str]:
    """Return the README's table: every goal, and whether it is met."""
    lines = ["| row | what | of | value (95 %) | goal | |", "|---|---|---|---|---|---|"]
    for path in results():
        for m in load(path)["metrics"]:
            if m["goal"]:
                ends = "" if m["low"] is None else f" ({m['low']:.3g} to {m['high']:.3g})"
                of = f"{m['system']} / {m['baseline']}" if m["baseline"] else m["system"]
                value = f"{m['value']:.3g} {m['unit']}".strip()
                lines.append(f"| {path.stem} | {m['name']} | {of} | {value}{ends} | {m['goal']} | {verdict(m)} |")
    return lines


def readme(text: str) -> str:
    """Return the README `text` with its table made anew."""
    before, rest = text.split(BEGIN)
    return "\n".join([before + BEGIN, *short(), END + rest.split(END)[1]])


def threats(text: str) -> str:
    """Return the page `text` with its tables made anew, those of rows that have a result."""
    for path in results():
        if path.stem in TABLES:
            begin, end = f"<!-- {path.stem}: written by runs/report.py -->", f"<!-- /{path.stem} -->"
            before, rest = text.split(begin)
            made = "\n".join(["", *TABLES[path.stem](load(path)["metrics"]), ""])
            text = before + begin + made + end + rest.split(end)[1]
    return text


def main() -> None:
    """Write all files, or check them."""
    pages = {
        ROOT / "README.md": readme,
        ROOT / "docs" / "threats.md": threats,
        ROOT / "docs" / "results.md": lambda _: docs(),
    }
    wrong = False
    for place, made in pages.items():
        text = place.read_text(encoding="utf-8")
        wrong |= made(text) != text
        if "--check" not in sys.argv:
            place.write_text(made(text), encoding="utf-8")
    sys.exit(wrong and "--check" in sys.argv)


if __name__ == "__main__":
    main()

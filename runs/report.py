"""Write `dev/results.md` and the tables of the README and of `docs/threats-annex.md` from `results/<row>.json`.

Nothing in them is typed by hand. `--check` writes nothing and fails if one is not what the results say; `--pictures
FOLDER` draws every result there, for the documentation.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lib.result import ROOT, SPEEDS, TRAINED, load, results, verdict
from lib.tables import TABLES

BEGIN, END = "<!-- results: written by runs/report.py -->", "<!-- /results -->"
SUMMARY = (  # of the README: row, metric, system, and what it says in words
    ("text-lm", "bits per byte, equal steps, ratio to raw", "ult", "text, bits per byte beside a model of raw tokens"),
    ("text-lm", "bits per byte, equal steps, ratio to n-grams of ids", "ult", "the same beside counts of those ids"),
    ("image-classify", "accuracy, above raw", "ult", "images told apart, above raw pixels"),
    ("molecule-forward", "top-1 exact, less that of raw", "ult", "reactions, top-1 less that of raw"),
    (
        "omics",
        "tcga_crc_cms: balanced accuracy, less that of linear on values, all genes",
        "linear on tiled ids, all genes",
        "tumour subtypes, accuracy of a linear model of ids less that of the same on values",
    ),
    (
        "record-predict",
        "adult: AUROC, less that of gradient boosting",
        "trees and bag of ids",
        "an outcome from ids of records, AUROC less that of boosting on the columns",
    ),
    (
        "attacks",
        "text/bytes, 2,048 ids, all ids: ids read",
        "co-occurrence",
        "ids that an attacker with other text reads",
    ),
)
HEAD = """# Results

The papers' experiments, run again with a baseline on raw data beside each: the same model, optimizer steps and time.
Written by `runs/report.py` from `results/*.json`; `make results DATA=...` measures them again, `make study DATA=...`
those on what leaks. An interval is 95 %, of the kind named beside it: *t over seeds* says what training again would
change, *over records* what other records would, *over both* both. A goal is *met* or *missed* by the value, and
*inconclusive* where the interval reaches to the other side.
"""


def docs() -> str:
    """Return `dev/results.md`."""
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
        f"<!-- picture: {name} -->",
        "",
    ]


def _line(m: dict[str, Any]) -> str:
    ends = "counted" if m["low"] is None else f"{m['low']:.4g} to {m['high']:.4g}, {m['interval']}"
    n = f"{m['n']:,}" + (f" of {m['n_asked']:,}" if m["n_asked"] != m["n"] else "")
    goal = f"{m['goal']}: **{verdict(m)}**" if m["goal"] else ""
    arrow = "↑" if m["higher_is_better"] else "↓"
    system = f"{m['system']}, beside {m['baseline']}" if m["baseline"] else m["system"]
    value = f"{m['value']:.4g} {m['unit']}".strip() + (f", of {m['measured']}" if "measured" in m else "")
    return f"| {m['name']} {arrow} | {system} | {value} | {ends} | {n} | {len(m['seeds']) or ''} | {goal} |"


def short() -> list[str]:
    """Return the README's table: a line for each row of `SUMMARY`, and how many goals of all are met."""
    lines = ["| measured | value (95 %) | goal | |", "|---|---|---|---|"]
    found = {path.stem: load(path)["metrics"] for path in results()}
    for row, name, system, words in SUMMARY:
        (m,) = (m for m in found[row] if (m["name"], m["system"]) == (name, system))
        lines.append(f"| {words} | {_figure(m)} | {m['goal']} | {verdict(m)} |")
    said = [verdict(m) for metrics in found.values() for m in metrics if m["goal"]]
    met = sum(one.startswith("met") for one in said)
    doubt = sum(one.endswith("inconclusive") for one in said)
    return [*lines, f"| all goals of all rows | {met} of {len(said)} met; {doubt} of all inconclusive | | |"]


def _figure(m: dict[str, Any]) -> str:
    ends = "" if m["low"] is None else f" ({m['low']:.3g} to {m['high']:.3g})"
    return f"{m['value']:.3g} {m['unit']}".strip() + ends


def readme(text: str) -> str:
    """Return the README `text` with its table made anew."""
    before, rest = text.split(BEGIN)
    return "\n".join([before + BEGIN, *short(), END + rest.split(END)[1]])


def threats(text: str) -> str:
    """Return the annex `text` with its tables made anew, those of rows that have a result."""
    for path in results():
        if path.stem in TABLES:
            begin, end = f"<!-- {path.stem}: written by runs/report.py -->", f"<!-- /{path.stem} -->"
            before, rest = text.split(begin)
            made = "\n".join(["", *TABLES[path.stem](load(path)["metrics"]), ""])
            text = before + begin + made + end + rest.split(end)[1]
    return text


def pictures(folder: Path) -> None:
    """Draw every result, and the plots of three of them, as PNGs in `folder`."""
    import public_body
    from frontier import draw_plot
    from lib.chart import draw
    from transfer import draw_pairs

    for path in results((*TRAINED, *SPEEDS, "growth")):
        draw(load(path), folder / f"{path.stem}.png")
    draw_plot(load(ROOT / "results" / "frontier.json")["metrics"], folder / "frontier-plot.png")
    levels = load(ROOT / "results" / "public-body.json")["metrics"]
    public_body.draw_plot(levels, folder / "public-body-plot.png")
    draw_pairs(load(ROOT / "results" / "transfer.json")["metrics"], folder / "transfer-curves.png")


def main() -> None:
    """Write all files, or check them, or draw."""
    if "--pictures" in sys.argv:
        return pictures(Path(sys.argv[-1]))
    pages = {
        ROOT / "README.md": readme,
        ROOT / "docs" / "threats-annex.md": threats,
        ROOT / "dev" / "results.md": lambda _: docs(),
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

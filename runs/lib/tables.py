"""The tables of `docs/threats.md`, each of one row: what was read, what a body betrays, what protection costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Metrics = list[dict[str, Any]]
READ, BLIND = ": ids read", "blind guess"


def attacks(metrics: Metrics) -> list[str]:
    """Return of each code and size the attack that reads most."""
    lines = ["| code, what is held | the best attack | ids read (95 %) | blind guess |", "|---|---|---|---|"]
    told = [m for m in metrics if m["name"].endswith(READ)]
    for name in dict.fromkeys(m["name"] for m in told):
        here = {m["system"]: m for m in told if m["name"] == name}
        blind = here.pop(BLIND)
        best = max(here.values(), key=lambda m: float(m["value"]))
        lines.append(f"| {name.removesuffix(READ)} | {best['system']} | {_share(best)} | {blind['value']:.1%} |")
    return lines


def record_leaks(metrics: Metrics) -> list[str]:
    """Return what each attacker reads of the cells of each table, and whom it links to a record."""
    lines = [
        "| table, what is known beside the ids | cells read (95 %) | guessed without the ids | read of the rest | "
        "people linked | people alone in the known columns |",
        "|---|---|---|---|---|---|",
    ]
    figures = {(m["name"], m["system"]): m for m in metrics}
    for name, system in figures:
        table, _, what = name.partition(": ")
        if what == "read of the rest":
            asked = ("cells read", "cells guessed without the ids", what, "people linked", "people alone")
            found = [figures.get((f"{table}: {one}", system)) for one in asked]
            cells = [_plain(one, ".1%") if one is found[2] or one is None else _share(one) for one in found]
            lines.append(f"| {table}, {system} | {' | '.join(cells)} |")
    return lines


def ranks(metrics: Metrics) -> list[str]:
    """Return what is read of ids that were drawn, and of ids that are ranks, by size."""
    systems = list(dict.fromkeys(m["system"] for m in metrics if m["name"].endswith(READ)))
    lines = [f"| what is held | {' | '.join(systems)} | drawn ids take, points |", "|---" * (len(systems) + 2) + "|"]
    for name in dict.fromkeys(m["name"] for m in metrics if m["name"].endswith(READ)):
        here = {m["system"]: m for m in metrics if m["name"] == name}
        held = name.removesuffix(READ)
        (taken,) = (m for m in metrics if m["name"] == f"{held}: taken by drawing the ids")
        cells = [_share(here[system]) if system in here else "" for system in systems]
        lines.append(f"| {' | '.join([held, *cells, _plain(taken, '.1f')])} |")
    return lines


def alienlm(metrics: Metrics) -> list[str]:
    """Return what each attacker reads of a bijection of a tokenizer's ids."""
    names = list(dict.fromkeys(m["name"].rpartition(":")[0] for m in metrics))
    lines = ["| what is held | who | tokens read | whole words read |", "|---|---|---|---|"]
    for name in names:
        for system in dict.fromkeys(m["system"] for m in metrics if m["name"].startswith(f"{name}:")):
            here = {m["name"]: m for m in metrics if m["system"] == system}
            cells = [_share(here[f"{name}: {unit} read"]) for unit in ("tokens", "words")]
            lines.append(f"| {' | '.join([name, system, *cells])} |")
    return lines


def release(metrics: Metrics) -> list[str]:
    """Return what each receiver of a body reads, and what it is worth, with the most public text."""
    lines = [
        "| model, who looks | mean exposure, bits (95 %) | chance, at most | membership, AUC | beside its own model | "
        "recited | bits per byte | gain kept |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = dict.fromkeys(m["name"] for m in metrics)
    for model in dict.fromkeys(name.split(": ")[0] for name in names):
        volumes = [name.rpartition(", ")[2] for name in names if name.startswith(f"{model}: bits per byte, ")]
        most = max(volumes, key=lambda volume: float(volume.split()[0]))
        for who in dict.fromkeys(m["system"] for m in metrics if m["name"].startswith(f"{model}: ")):
            here = {m["name"].removeprefix(f"{model}: ").removesuffix(f", {most}"): m for m in metrics
                    if m["system"] == who and m["name"] in _names(model, most, who)}  # fmt: skip
            exposure = here.get("mean exposure")
            cells = [
                f"{model}, {who}",
                _plain(exposure, ".2f"),
                exposure["goal"].removeprefix("at most ") if exposure else "",
                *(_plain(here.get(name), ".3f") for name in
                  ("membership, AUC", "membership beside its own model, AUC", "recited, share")),
                *(_plain(here.get(name), ".3f") for name in ("bits per byte", "gain kept")),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _names(model: str, most: str, who: str) -> set[str]:
    what = ("mean exposure", "membership, AUC", "membership beside its own model, AUC", "recited, share")
    every = {f"{model}: {name}" + ("" if who.startswith("owner") else f", {most}") for name in what}
    return every | {f"{model}: {name}, {most}" for name in ("bits per byte", "gain kept")}


def memorisation(metrics: Metrics) -> list[str]:
    """Return what each protection leaves of what a fine-tuned model recites, and what it costs."""
    return _beside(
        metrics,
        {
            "extracted, share of the planted": "recited of the planted",
            "extracted, ratio to plain": "beside plain",
            "bits per byte, ratio to plain": "bits per byte, beside plain",
            "bits per byte, ratio to early-stopped": "bits per byte, beside early-stopped",
        },
        "protection",
    )


def protection(metrics: Metrics) -> list[str]:
    """Return what each protection costs."""
    columns = {"bits per byte": "bits per byte", "bits per byte, ratio to plain": "beside plain"}
    return _beside(metrics, columns | {"ids per byte": "ids per byte"}, "protection")


def frontier(metrics: Metrics) -> list[str]:
    """Return what each keyed code hides, and what it costs."""
    columns = {
        "recovered above a blind guess, best attack": "read above a blind guess, best attack",
        "bits per byte, ratio to a permutation": "bits per byte, beside a permutation",
    }
    return _beside(metrics, columns, "keyed code")


def public_body(metrics: Metrics) -> list[str]:
    """Return what each level of trust is worth, and what is read of it."""
    columns = {
        "bits per byte": "bits per byte",
        "ratio to its own tokens": "beside its own tokens",
        "read by a stranger": "ids read by a stranger",
        "read by a holder": "ids read by a holder",
    }
    return _beside(metrics, columns, "level of trust")


def _beside(metrics: Metrics, columns: dict[str, str], first: str) -> list[str]:
    measured = {m["name"] for m in metrics}
    columns = {name: words for name, words in columns.items() if name in measured}
    lines = [f"| {first} | {' | '.join(f'{name} (95 %)' for name in columns.values())} |", "|---" * (len(columns) + 1)]
    lines[1] += "|"
    for system in dict.fromkeys(m["system"] for m in metrics):
        here = {m["name"]: m for m in metrics if m["system"] == system}
        lines.append(f"| {' | '.join([system, *(_plain(here.get(name), '.3f') for name in columns)])} |")
    return lines


def _share(m: dict[str, Any]) -> str:
    ends = "" if m["low"] is None else f" ({max(0, m['low']):.1%} to {min(1, m['high']):.1%})"
    return f"{m['value']:.1%}{ends}"


def _plain(m: dict[str, Any] | None, form: str) -> str:
    if m is None:
        return ""
    ends = "" if m["low"] is None else f" ({m['low']:{form}} to {m['high']:{form}})"
    return f"{m['value']:{form}}{ends}"


TABLES: dict[str, Callable[[Metrics], list[str]]] = {
    table.__name__.replace("_", "-"): table
    for table in (attacks, record_leaks, ranks, alienlm, release, memorisation, protection, frontier, public_body)
}

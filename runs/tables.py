"""The tables of `docs/threats.md`, each of one row: what was read, what a body betrays, what protection costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Metrics = list[dict[str, Any]]
READ, BLIND, RANKED = ": ids read", "blind guess", " by ranks"


def attacks(metrics: Metrics) -> list[str]:
    """Return of each code and size the attack that reads most, of ids in a secret order and of ids that are ranks."""
    lines = [
        "| code, what is held | ids in a secret order: read (95 %) | the best attack | ids are ranks: read (95 %) | "
        "the best attack | blind guess |",
        "|---|---|---|---|---|---|",
    ]
    told = [m for m in metrics if m["name"].endswith(READ)]
    for name in dict.fromkeys(m["name"] for m in told):
        here = {m["system"]: m for m in told if m["name"] == name}
        blind = here.pop(BLIND)
        cells = [name.removesuffix(READ)]
        for by_ranks in (False, True):
            some = [m for m in here.values() if m["system"].startswith("rank alone") or m["system"].endswith(RANKED)]
            tried = some if by_ranks else [m for m in here.values() if m not in some]
            best = max(tried, key=lambda m: float(m["value"]), default=None)
            cells += ["", ""] if best is None else [_share(best), best["system"].removesuffix(RANKED)]
        lines.append(f"| {' | '.join([*cells, format(blind['value'], '.1%')])} |")
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


def _beside(metrics: Metrics, columns: dict[str, str], first: str) -> list[str]:
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
    table.__name__: table for table in (attacks, alienlm, release, memorisation, protection, frontier)
}

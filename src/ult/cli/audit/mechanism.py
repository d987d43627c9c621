"""`ult audit mechanism`: whether the code keeps what `--epsilon` promises, by many trials of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.audit.model import write_json
from ult.cli.options import Force
from ult.host.free import check_free


def mechanism(
    of: Annotated[
        list[str] | None, typer.Option(help="table (ult fit) or training (ult train); repeatable, by default both.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option(help="What is promised; by default 1 with 4 patches a record, and 8 with 1.")
    ] = None,
    delta: Annotated[float, typer.Option(help="What is promised; the smaller, the more trials it takes.")] = 0.05,
    patches_per_record: Annotated[int | None, typer.Option(min=1, help="Of a table, with --epsilon; else 4.")] = None,
    records: Annotated[
        int | None, typer.Option(min=2, help="Of a table; by default as few as the threshold allows.")
    ] = None,
    trials: Annotated[
        int, typer.Option(min=2, help="Fits of each kind, with one record and without; half as many trainings.")
    ] = 4000,
    json: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
    force: Force = False,
) -> None:
    """Fit and train many times with one record and without, and bound epsilon and delta from below; 1 if refuted."""
    from ult.audit.mechanism.audit import MECHANISMS, SETTINGS, audit_mechanism
    from ult.cli.console import counting, facts, say
    from ult.errors import InvalidConfig

    if patches_per_record is not None and epsilon is None:
        raise InvalidConfig("patches_per_record was given without an epsilon", hint="--epsilon 1")
    if json is not None:
        check_free(json, force=force)
    settings = SETTINGS if epsilon is None else ((epsilon, patches_per_record or 4),)
    asked: dict[str, Any] = {"settings": settings, "delta": delta, "records": records, "trials": trials}
    with counting("auditing") as advance:
        result = audit_mechanism(of or MECHANISMS, **asked, advance=advance)
    if json is not None:
        write_json(json, result)
    facts([("verdict", "REFUTED" if result["refuted"] else "not refuted"), *_rows(result)])
    if result["refuted"]:
        say("the code does not keep what it promises: trust no --epsilon of it, and report this as a bug")
        raise SystemExit(1)


def _rows(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for one in result["mechanisms"]:
        of = f"{one['mechanism']}, epsilon {one['epsilon']:.3g}, delta {one['delta']:.3g}"
        if "patches" in one:
            of += f", {one['patches']} patches a record"
        yield of, f"{one['records']} records"
        for claim in one["claims"]:
            yield f"  {claim['claim']}", _claim(claim)


def _claim(claim: dict[str, Any]) -> str:
    promised = [f"{name} {claim['promised'][name]:.4g}" for name in ("epsilon", "delta") if name in claim["promised"]]
    seen = f"{claim['seen']:,} times; " if "seen" in claim else ""
    least = ", ".join(f"{name} at least {value:.4g}" for name, value in claim["at_least"].items())
    ((name, would),) = claim["would_find"].items()
    power = f"would have found {name} {would:.4g}" if would else "are too few to find anything"
    verdict = "REFUTED" if claim["refuted"] else "not refuted"
    return f"{' at '.join(promised)} promised; {seen}{least}: {verdict}; {claim['trials']:,} trials {power}"

"""`ult.audit.audit_synth`: how true synthetic records are, what they are good for, and what they betray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ult.audit.release.finding import verdict
from ult.audit.result import Audit
from ult.audit.synth import copies
from ult.audit.synth.claim import Claim, claimed
from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, Coded, coded
from ult.audit.synth.exposed import exposed
from ult.audit.synth.fidelity import fidelity
from ult.audit.synth.frontier import alike
from ult.audit.synth.judge import judge, unread
from ult.audit.synth.membership import membership
from ult.audit.synth.side import Compared, Side, compared, opened, read
from ult.audit.synth.told import figures, notes, sentences
from ult.audit.synth.utility import utility
from ult.errors import InvalidConfig
from ult.host import arguments
from ult.host.arguments import checked, integer, number, text
from ult.host.atomic import write_text
from ult.host.bar import shown
from ult.host.distribution import versions
from ult.host.free import check_free
from ult.host.progress import Progress, on_stderr
from ult.host.regular import read_text
from ult.owner.inputs import Inputs, named, texts

FORMAT = "ult-audit-synth/1"
DELTA = 1e-5  # of lower bounds on epsilon, if nobody claims another
CANARIES = 2**24  # bytes of a file of canaries


@checked(
    synthetic=arguments.inputs,
    real=arguments.inputs,
    held_out=arguments.inputs,
    label=text("the name of one column"),
    column=arguments.texts("the name of a column"),
    drop=arguments.texts("the name of a column"),
    forms=arguments.by_name("kinds or forms by column, such as {'zip': 'text'}"),
    unit=text("the name of one column"),
    epsilon=number,
    delta=number,
    canaries=arguments.path,
    seed=integer(),
    reading=arguments.by_name("how files are read, such as {'separator': ';'}"),
    report=arguments.path,
    force=arguments.switch,
    progress=arguments.call,
)
@shown("auditing")
def audit_synth(
    synthetic: Inputs,
    real: Inputs,
    *,
    held_out: Inputs | None = None,
    label: str | None = None,
    column: str | Sequence[str] = (),
    drop: str | Sequence[str] = (),
    forms: Mapping[str, str] | None = None,
    unit: str = "",
    epsilon: float | None = None,
    delta: float | None = None,
    canaries: str | Path | None = None,
    seed: int = 0,
    reading: Mapping[str, str | float] | None = None,
    report: str | Path | None = None,
    force: bool = False,
    progress: Progress = on_stderr,
) -> Audit:
    """Measure synthetic records beside the `real` ones that they were made from, and `held_out` ones that were not.

    The arguments are those of `ult audit synth`. The files are tables, of which the columns that all have are compared,
    or texts. With a `label`, classifiers are trained. `epsilon` and `delta` are what the maker claims where no file of
    `ult synth` says it. `canaries` names a file with a text a line that was planted among the real records. `report`
    names the page to write. Raises `SourceError`, `MissingColumn`, `InvalidConfig`, `FormatError` or `OutputExists`.

    For example:

        audit = ult.audit.audit_synth("synthetic.csv", "train.csv", held_out="test.csv", label="outcome")
        audit.document["verdict"]
    """
    if report is not None:
        check_free(report, force=force, option="--report")
    names = {SYNTHETIC: named(synthetic), REAL: named(real)}
    names |= {} if held_out is None else {HELD_OUT: named(held_out)}
    claim = claimed(names[SYNTHETIC], epsilon, delta)
    secrets = None if canaries is None else _canaries(canaries)
    columns, sides, chosen = _read(names, texts(column), texts(drop), forms or {}, unit, reading, seed, label, progress)
    document, curves = _measured(columns, sides, claim, label, secrets, seed, progress)
    findings = [*judge(document), *unread(chosen.unread)]
    whole = {
        **document,
        "verdict": verdict(findings),
        "says": sentences(findings),
        "findings": [one.document() for one in findings],
        "left_out": list(chosen.left_out),
        "versions": versions("numpy", "scipy", "scikit-learn"),
    }
    audit = Audit.made("synth", whole, list(figures(whole, findings)), notes=notes(whole), curves=curves)
    if report is not None:
        from ult.audit.synth.page import render

        page = render(whole)
        check_free(report, force=force, option="--report")
        write_text(Path(report), page)
    return audit


def _read(
    names: Mapping[str, list[str]], only: list[str], drop: list[str], forms: Mapping[str, str], unit: str,
    reading: Mapping[str, str | float] | None, seed: int, label: str | None, progress: Progress,
) -> tuple[list[Coded], dict[str, Side], Compared]:  # fmt: skip
    from ult.data.reading import Reading

    how = Reading.of(reading)
    rows = {name: opened(each, how) for name, each in names.items()}
    drop = list(dict.fromkeys([*drop, *([unit] if unit else [])]))
    if label in drop:
        raise InvalidConfig(f"{label!r} is the label, so it cannot be dropped or be the unit")
    wanted = list(dict.fromkeys([*only, *([label] if label and only else [])]))
    progress("describing", 0)
    chosen = compared(
        names[REAL], rows[SYNTHETIC], only=wanted, drop=drop, forms=forms, reading=reading, unit=unit
    )  # fmt: skip
    sides = {}
    for name, each in rows.items():
        of_unit = unit if name != SYNTHETIC else ""
        sides[name] = read(
            name, each, chosen.fields, unit=of_unit, seed=seed, advance=lambda more: progress("reading", more)
        )
    return [coded(field, sides) for field in chosen.fields], sides, chosen


def _measured(
    columns: Sequence[Coded], sides: Mapping[str, Side], claim: Claim | None, label: str | None,
    secrets: Sequence[str] | None, seed: int, progress: Progress,
) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    """Return the document without its findings, and the scores of the membership attacks."""
    progress("comparing", 0)
    held = HELD_OUT in sides
    told: dict[str, Any] = {
        "format": FORMAT,
        "date": datetime.now(UTC).date().isoformat(),
        "claim": None if claim is None else claim.document(),
        "sides": {name.replace("-", "_"): side.document() for name, side in sides.items()},
        "fidelity": fidelity(columns, sides, seed=seed),
        "texts": {},
        "utility": None,
        "privacy": None,
        "canaries": None,
    }
    if label is not None and not held:
        raise InvalidConfig("a label was given, but no held-out records to test on", hint="--held-out test.csv")
    wordy = [one for one in columns if one.is_text]
    if secrets is not None:
        if not wordy:
            raise InvalidConfig("canaries are looked for in texts, and no column holds some", hint="--form COLUMN=text")
        cells = [cell for one in wordy for cell in sides[SYNTHETIC].columns[one.field.name] if cell]
        told["canaries"] = exposed(secrets, cells, seed=seed)
    if not held:
        return told, {}
    for one in wordy:
        every = [[cell for cell in sides[name].columns[one.field.name] if cell] for name in (SYNTHETIC, HELD_OUT, REAL)]
        told["texts"][one.field.name] = alike(*every, seed=seed)
    if label is not None:
        progress("training classifiers", 0)
        told["utility"] = utility(columns, sides, label, seed=seed)
    progress("attacking", 0)
    found, curves = membership(columns, sides, delta=DELTA if claim is None else max(claim.delta, 1e-12), seed=seed)
    passages = [copies.passages(one, sides, seed=seed) for one in wordy]
    told["privacy"] = {
        "records": copies.records(columns, sides, seed=seed),
        "values": copies.values(columns, sides),
        "extremes": copies.extremes(columns, sides),
        "passages": [one for one in passages if one is not None],
        "membership": found,
    }
    return told, curves


def _canaries(path: str | Path) -> list[str]:
    """Return the texts of a file, one a line. Raises `InvalidConfig`."""
    try:
        found = [line.strip() for line in read_text(path, CANARIES).split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise InvalidConfig(f"{path} cannot be read; expected the planted texts, one a line") from None
    if not found:
        raise InvalidConfig(f"{path} is empty; expected the planted texts, one a line")
    return found

"""A release candidate: what a receiver will hold, what the audits of it found, and the verdict, as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ult.audit import verdict as rules
from ult.audit.verdict import LEVELS
from ult.distribution import versions
from ult.errors import FormatError, InvalidConfig, MissingSource, RiskRefused, UltError
from ult.run import Run
from ult.shards import Shards
from ult.table import Table
from ult.vocabulary import check_format

FORMAT = "ult-audit/1"


def assemble(
    *,
    shards: Sequence[str | Path] = (),
    run: str | Path | None = None,
    private_embeddings: bool = False,
    table: Table | None = None,
    code_audit: str | Path | None = None,
    model_audit: str | Path | None = None,
    table_audit: str | Path | None = None,
) -> dict[str, Any]:
    """Return the audit of what a receiver will hold: `shards`, a `run`, or its body alone, and a `table`.

    The `*_audit` are the JSON files that `ult audit code`, `model` and `table` wrote of them; what is not audited is
    said to be unknown. Raises `InvalidConfig` if nothing is released or an audit is of something else,
    `MissingSource` or `FormatError`.
    """
    if not shards and run is None and table is None:
        raise InvalidConfig(
            "nothing is released; expected what the receiver will hold", hint="--shards, --run, --table"
        )
    opened = [Shards(path) for path in shards]
    model = None if run is None else Run.open(run)
    audits = {"code": _read(code_audit), "model": _read(model_audit), "table": _read(table_audit)}
    body = model is not None and (private_embeddings or model.withheld)
    findings: list[rules.Finding] = []
    with understanding():
        _check_same(audits, opened, model, table, body)
        if opened:
            findings += rules.judge_code(audits["code"])
        elif audits["code"] is not None:
            findings += rules.judge_code(audits["code"], "model")
        if model is not None:
            judged = rules.judge_body(_began(model)) if body else rules.judge_model(audits["model"], _epsilon(model))
            findings += judged
        if table is not None:
            findings += rules.judge_table(audits["table"], table.privacy.epsilon if table.privacy else None)
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).date().isoformat(),
        "verdict": rules.verdict(findings),
        "findings": [asdict(finding) for finding in findings],
        "holds": holdings(opened, model, table, private_embeddings),
        "guarantees": guarantees(opened, model, table),
        "weights": None if model is None else model.digest(),
        "private_embeddings": private_embeddings,
        "audits": audits,
        "versions": versions(),
    }


@contextmanager
def understanding() -> Iterator[None]:
    """Turn whatever fails because an audit does not say what it should into a `FormatError`."""
    try:
        yield
    except (UltError, MemoryError):
        raise
    except Exception as error:  # of a field that is missing, of another type or out of all bounds, wherever it is used
        raise FormatError("an audit does not say what audits of ours say", hint="write it again: ult audit") from error


def allowed(
    audit: str | Path | None, run: str | Path, *, private_embeddings: bool, accepted: str | None
) -> dict[str, Any]:
    """Return what a released run says of its audit: the verdict, the day, and the reason why a risk was accepted.

    Raises `RiskRefused` for no audit or a red one without a reason, `InvalidConfig` for one of another release.
    """
    if accepted is not None and not accepted.strip():
        raise InvalidConfig("the reason to accept the risk is empty", hint='--accept-risk "why"')
    found = _read(audit)
    if found is None:
        if accepted is None:
            raise RiskRefused(
                f"nothing says what a receiver of {run} could learn", hint='ult audit release, or --accept-risk "why"'
            )
        return {"verdict": None, "date": datetime.now(UTC).date().isoformat(), "accepted_risk": accepted}
    check_format(found, FORMAT, audit)
    if found.get("weights") != Run.open(run).digest() or found.get("private_embeddings") is not private_embeddings:
        raise InvalidConfig(f"{audit} is the audit of another release than that of {run}", hint="ult audit release")
    if found.get("verdict") not in LEVELS:
        raise FormatError(f"{audit} has no verdict of ours", hint="ult audit release")
    with understanding():
        if found["verdict"] == "red" and accepted is None:
            reds = "; ".join(one["found"] for one in found["findings"] if one["level"] == "red")
            raise RiskRefused(f"the audit of {run} is red: {reds}", hint='--accept-risk "why", or change it')
        date = datetime.fromisoformat(found["date"]).date().isoformat()
    return {"verdict": found["verdict"], "date": date, "accepted_risk": accepted}


def holdings(
    shards: Sequence[Shards], run: Run | None, table: Table | None, private_embeddings: bool
) -> list[dict[str, str]]:
    """Return what the receiver will hold, and what each tells without any attack."""
    found = []
    for one in shards:
        told = one.manifest
        clear = f"the columns {', '.join(told.kept)} in the clear" if told.kept else "no column in the clear"
        says = f"{told.rows:,} records as {told.ids:,} ids, so the length of each; {clear}"
        found.append({"what": "shards", "name": one.path.name, "says": f"{says}; the table's fingerprint"})
    if run is not None:
        body = private_embeddings or run.withheld
        rows = "without its embedding rows, which stay with the owner" if body else "with its embedding rows"
        says = f"{run.metrics.get('parameters', 0):,} weights, {rows}; how it was trained, and on how many records"
        found.append({"what": "model", "name": run.path.name, "says": says})
    if table is not None:
        says = "every phrase and count, and so all that shards of it say"
        found.append({"what": "table", "name": table.fingerprint, "says": says})
    return found


def guarantees(shards: Sequence[Shards], run: Run | None, table: Table | None) -> list[str]:
    """Return, a sentence each, what is promised of every single record, whatever an attacker knows besides."""
    found = []
    if run is not None and (told := run.metrics.get("privacy")):
        noise = "" if told.get("secure_random") else ", if nobody knows the seed of its noise"
        start = f"; records of {run.metrics.get('from_run')}, which it started from, are not covered"
        found.append(
            f"training: ({told['epsilon']:.3g}, {told['delta']:.2g})-differential privacy{noise}"
            + (start if run.metrics.get("from_run") else "")
        )
    promises = {one.manifest.table: one.manifest.privacy for one in shards if one.manifest.privacy}
    if table is not None and table.privacy:
        promises[table.fingerprint] = table.privacy
    for name, promise in promises.items():
        found.append(
            f"table {name[:8]}: ({promise.epsilon:.3g}, {promise.delta:.2g})-differential privacy of its phrases and "
            "counts, which is none for records encoded with it"
        )
    return found


def _began(run: Run) -> str | None:
    """Return the run or checkpoint that a run's weights come from; None if they were random."""
    from ult.model import PRESETS
    from ult.seq2seq import ENCODER_DECODERS

    model = run.metrics.get("model")
    return run.metrics.get("from_run") or (None if model in {*PRESETS, *ENCODER_DECODERS} else model)


def _epsilon(run: Run) -> float | None:
    """Return the epsilon that a run's training promises, if nothing takes it back."""
    told = run.metrics.get("privacy")
    return float(told["epsilon"]) if told and told.get("secure_random") else None


def _read(path: str | Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingSource(f"{path} is not there; expected what an audit wrote", hint="ult audit .. --json") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON; expected what an audit wrote", hint="ult audit .. --json") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} is no audit of ours", hint="ult audit .. --json")
    return found


def _check_same(
    audits: dict[str, dict[str, Any] | None], shards: Sequence[Shards], run: Run | None, table: Table | None, body: bool
) -> None:
    """Raise `InvalidConfig` if an audit is of something that is not released; a body alone writes no ids."""
    tables = {one.manifest.table for one in shards} | (set() if run is None or body else run.tables)
    for name, held in (("code", bool(tables)), ("model", run is not None), ("table", table is not None)):
        if audits[name] is not None and not held:
            raise InvalidConfig(f"an audit of {name} was given, and the receiver will hold none", hint="leave it out")
    told = audits["code"]
    if told is not None and told.get("table") not in tables:
        raise InvalidConfig("the audit of the code is of another table", hint="ult audit code")
    told = audits["model"]
    if told is not None and run is not None and told.get("weights") != run.digest():
        raise InvalidConfig(f"the audit of the model is of other weights than {run.path}'s", hint="ult audit model")

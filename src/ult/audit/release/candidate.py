"""A release candidate: what a receiver will hold, what the audits of it found, and the verdict, as one JSON object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ult.audit.release.binding import Audits
from ult.audit.release.facts import Facts, across, guarantees, holdings, run_facts, shards_facts, table_facts
from ult.audit.release.verdict import judge, verdict
from ult.distribution import versions
from ult.errors import FormatError, InvalidConfig, MissingSource, UltError
from ult.host import regular
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shards import Shards

FORMAT = "ult-audit/2"
_MOST = 2**28  # bytes
PARTIES = ("giver", "receiver", "purpose")
LONGEST = 300  # characters of who gives, who receives and why


def assemble(
    *,
    shards: Sequence[str | Path] = (),
    run: str | Path | None = None,
    private_embeddings: bool = False,
    table: Table | None = None,
    code_audit: str | Path | None = None,
    model_audit: str | Path | None = None,
    table_audit: str | Path | None = None,
    giver: str | None = None,
    receiver: str | None = None,
    purpose: str | None = None,
) -> dict[str, Any]:
    """Return the audit of what a receiver will hold: `shards`, a `run`, or its body alone, and a `table`.

    The `*_audit` are the JSON files that `ult audit code`, `model` and `table` wrote of them; what is not audited is
    said to be unmeasured. Who gives, who receives and for what `purpose` is noted, if it is said. Raises
    `InvalidConfig` if nothing is released or an audit is of something else, `MissingSource` or `FormatError`.
    """
    if not shards and run is None and table is None:
        raise InvalidConfig(
            "nothing is released; expected what the receiver will hold", hint="--shards, --run, --table"
        )
    model, opened = None if run is None else Run.open(run), [Shards(path) for path in shards]
    parts: Facts = {
        "shards": across(opened, [shards_facts(one) for one in opened]),
        "run": None if model is None else run_facts(model),
        "body": model is not None and (private_embeddings or model.withheld),
        "table": None if table is None else table_facts(table),
    }
    files = {"code": code_audit, "model": model_audit, "table": table_audit}
    audits = {name: None if path is None else read(path) for name, path in files.items()}
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).date().isoformat(),
        **judged(parts, audits),
        "parties": check_parties(giver=giver, receiver=receiver, purpose=purpose),
        "parts": parts,
        "weights": None if parts["run"] is None else parts["run"]["digest"],
        "private_embeddings": private_embeddings,
        "audits": audits,
        "files": {name: None if path is None else sha256_of_audit(path) for name, path in files.items()},
        "versions": versions(),
    }


def judged(parts: Facts, audits: Audits) -> dict[str, Any]:
    """Return all that follows from the facts and the audits: the verdict, what it rests on, and what is promised.

    Raises `InvalidConfig` if an audit is of something else, `FormatError` if it is none of ours or contradicts itself.
    """
    with understanding():
        findings = judge(parts, audits)
        return {
            "verdict": verdict(findings),
            "unmeasured": [f"{one.subject}: {one.found}" for one in findings if not one.measured],
            "findings": [finding.document() for finding in findings],
            "holds": holdings(parts),
            "guarantees": guarantees(parts),
        }
    raise AssertionError  # never: whatever is not understood is an error


def check_parties(**told: str | None) -> dict[str, str | None]:
    """Return who gives, who receives and for what, or nothing of what was not said. Raises `InvalidConfig`."""
    for name, text in told.items():
        if text is not None and (len(text) > LONGEST or not text.strip() or not text.isprintable()):
            raise InvalidConfig(f"--{name} is no line of text of at most {LONGEST} characters", hint=f'--{name} "..."')
    return told


@contextmanager
def understanding() -> Iterator[None]:
    """Turn whatever fails because an audit does not say what it should into a `FormatError`."""
    try:
        yield
    except (UltError, MemoryError):
        raise
    except Exception as error:  # of a field that is missing, of another type or out of all bounds, wherever it is used
        raise FormatError("an audit does not say what audits of ours say", hint="write it again: ult audit") from error


def read(path: str | Path) -> dict[str, Any]:
    """Return the JSON object that an audit wrote. Raises `MissingSource` or `FormatError`."""
    try:
        found = json.loads(regular.read_text(path, _MOST))
    except FileNotFoundError as error:
        raise MissingSource(f"{path} is not there; expected what an audit wrote", hint="ult audit .. --json") from error
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON; expected what an audit wrote", hint="ult audit .. --json") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} is no audit of ours", hint="ult audit .. --json")
    return found


def sha256_of_audit(path: str | Path) -> str:
    """Return the SHA-256 of an audit's file, in hexadecimal digits."""
    return hashlib.sha256(regular.read(path, _MOST)).hexdigest()

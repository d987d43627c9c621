"""The audit of a release candidate: what a receiver will hold, the findings, and the verdict, as one JSON object."""

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
from ult.errors import FormatError, InvalidConfig, MissingSource, UltError
from ult.host import regular
from ult.host.distribution import versions
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.shards import Shards

FORMAT = "ult-audit/2"
_MOST = 2**28  # bytes
PARTIES = ("giver", "receiver", "purpose")
LONGEST = 300  # characters of giver, receiver and purpose


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
    """Return the audit of what a receiver will hold: `shards`, a `run` and a `table`, as JSON values.

    With `private_embeddings` the run is released without its embedding rows. The `*_audit` are the JSON files of `ult
    audit code`, `model` and `table`; what has no audit counts as unmeasured. `giver`, `receiver` and `purpose` are
    stated on the page. Raises `InvalidConfig` if nothing is released or an audit is of something else, `MissingSource`
    or `FormatError`.
    """
    if not shards and run is None and table is None:
        raise InvalidConfig(
            "nothing is released; expected what the receiver will hold", hint="--shards, --run, --table"
        )
    model, opened = None if run is None else Run.open(run), [Shards(path) for path in shards]
    parts: Facts = {
        "shards": across(opened, [shards_facts(folder) for folder in opened]),
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
    """Return what follows from facts and audits: verdict, findings, what is held, and guarantees, as JSON values.

    Raises `InvalidConfig` if an audit is of something else, `FormatError` if it is invalid or contradicts itself.
    """
    with understanding():
        findings = judge(parts, audits)
        return {
            "verdict": verdict(findings),
            "unmeasured": [f"{finding.subject}: {finding.found}" for finding in findings if not finding.measured],
            "findings": [finding.document() for finding in findings],
            "holds": holdings(parts),
            "guarantees": guarantees(parts),
        }
    raise AssertionError  # unreachable: `understanding` turns every exception into another


def check_parties(**told: str | None) -> dict[str, str | None]:
    """Return giver, receiver and purpose; raise `InvalidConfig` unless each is None or one line of text."""
    for name, text in told.items():
        if text is not None and (len(text) > LONGEST or not text.strip() or not text.isprintable()):
            raise InvalidConfig(f"--{name} is not one line of at most {LONGEST} characters", hint=f'--{name} "..."')
    return told


@contextmanager
def understanding() -> Iterator[None]:
    """Turn any exception that an invalid audit causes in the `with` block into a `FormatError`."""
    try:
        yield
    except (UltError, MemoryError):
        raise
    except Exception as error:  # a field is missing, of another type or out of bounds, wherever it is used
        raise FormatError("an audit has not the contents that ult writes", hint="write it again: ult audit") from error


def read(path: str | Path) -> dict[str, Any]:
    """Return the JSON object of an audit's file. Raises `MissingSource` or `FormatError`."""
    try:
        found = json.loads(regular.read_text(path, _MOST))
    except FileNotFoundError as error:
        raise MissingSource(f"{path} is not there; expected what an audit wrote", hint="ult audit .. --json") from error
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON; expected what an audit wrote", hint="ult audit .. --json") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path} is not an audit that ult wrote", hint="ult audit .. --json")
    return found


def sha256_of_audit(path: str | Path) -> str:
    """Return the SHA-256 of an audit's file, hexadecimal."""
    return hashlib.sha256(regular.read(path, _MOST)).hexdigest()

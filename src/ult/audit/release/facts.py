"""What a receiver will hold, as the facts that a verdict rests on: JSON values, told apart by digests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ult.audit.release.across import describe_across
from ult.audit.release.kept import KeptColumn, describe_kept, shown
from ult.owner.table import Table
from ult.public.guarantee import Guarantee, composed
from ult.public.run import Run
from ult.public.shards import Shards

Facts = dict[str, Any]
_OF_RUN = (
    "task", "parameters", "model", "initial_weights", "from_run", "embeddings", "aligned", "privacy", "shards",
    "targets", "trained_before", "validation",
)  # fmt: skip


def shards_facts(shards: Shards) -> Facts:
    """Return what there is to say of shards, every part of which is read and verified. Raises as `Shards.parts`."""
    for _ in shards.parts():
        pass
    told = asdict(shards.manifest)
    del told["parts"], told["vocabulary_size"]
    told["kept"] = list(told["kept"])
    columns = [_column(one) for one in describe_kept(shards)]
    return {"name": shards.path.name, "digest": shards.manifest.digest, **told, "columns": columns}


def across(many: Sequence[Shards], facts: list[Facts]) -> list[Facts]:
    """Return the facts of shards, the last with what columns of several of them show together: it completes them."""
    if together := [_column(one) for one in describe_across(many)]:
        facts[-1]["columns"] += together
    return facts


def _column(one: KeptColumn) -> Facts:
    return {**asdict(one), "columns": list(one.columns), "examples": list(one.examples)}


def run_facts(run: Run) -> Facts:
    """Return what there is to say of a run. Raises `FormatError` if it has no weights."""
    metrics = {name: run.metrics[name] for name in _OF_RUN if name in run.metrics}
    return {"name": run.path.name, "digest": run.digest(), "metrics": metrics}


def table_facts(table: Table) -> Facts:
    """Return what there is to say of a table."""
    privacy = asdict(table.privacy) if table.privacy else None
    return {"fingerprint": table.fingerprint, "records": table.records, "privacy": privacy, "public": table.public}


def tables_of(run: Facts) -> set[str]:
    """Return the fingerprints of the tables whose shards a run was trained on."""
    return {lot["table"] for lot in _lots(run)}


def trained_on(run: Facts) -> set[str]:
    """Return the digests of the shards that a run, and those it went on from, say they were trained on.

    Older and private runs say none.
    """
    before = run["metrics"].get("trained_before") or []
    return {lot["digest"] for lot in _lots(run) if lot.get("digest")} | set(before)


def planted_in(run: Facts) -> int:
    """Return how many canaries the shards that a run was trained on say were planted among them."""
    return max(((lot.get("canaries") or {}).get("count", 0) for lot in _lots(run)), default=0)


def _lots(run: Facts) -> list[dict[str, Any]]:
    return [*run["metrics"]["shards"], *run["metrics"].get("targets", [])]


def holdings(parts: Facts) -> list[dict[str, str]]:
    """Return what the receiver will hold, and what each tells without any attack."""
    found = []
    for one in parts["shards"]:
        clear = f"{_columns(one['kept'])} in the clear"
        says = f"{one['rows']:,} records as {one['ids']:,} ids, so the length of each; {clear}; the table's fingerprint"
        found.append({"what": "shards", "name": one["name"], "says": says})
    if run := parts["run"]:
        rows = "without its embedding rows, which stay with the owner" if parts["body"] else "with its embedding rows"
        says = f"{run['metrics'].get('parameters', 0):,} weights, {rows}; how it was trained, and on how many records"
        found.append({"what": "model", "name": run["name"], "says": says})
    if table := parts["table"]:
        says = "every phrase and count, and so all that shards of it say"
        found.append({"what": "table", "name": table["fingerprint"], "says": says})
    return found


def _columns(kept: Sequence[str]) -> str:
    """Return columns in words, which a page can show."""
    named = ", ".join(map(shown, kept))
    return "no column" if not kept else f"the column {named}" if len(kept) == 1 else f"the columns {named}"


def guarantees(parts: Facts) -> list[str]:
    """Return, a sentence each, what is promised of every single record, whatever an attacker knows besides."""
    found = []
    if parts["run"] and (account := composed(parts["run"]["metrics"])):
        found.append(f"training: {account}")
    for name, promise in _table_promises(parts["shards"], parts["table"]).items():
        found.append(
            f"table {name[:8]}: ({promise.epsilon:.3g}, {promise.delta:.2g})-differential privacy of its phrases and "
            "counts, which is none for records encoded with it"
        )
    return found


def _table_promises(shards: Sequence[Facts], table: Facts | None) -> dict[str, Guarantee]:
    told = {one["table"]: one["privacy"] for one in shards}
    if table is not None:
        told[table["fingerprint"]] = table["privacy"]
    return {name: Guarantee.read(promise, "the audit") for name, promise in told.items() if promise}

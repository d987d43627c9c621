"""Facts on what a receiver will hold, on which the verdict is based: JSON values, identified by digests."""

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
    "targets", "trained_before", "validation", "members", "averaged", "distilled", "compatible", "federated",
)  # fmt: skip


GUESSABLE = 2**20  # a seed below is found in an hour, by trying which rows fit a body


def shards_facts(shards: Shards) -> Facts:
    """Return the facts on shards, after reading and verifying every part. Raises as `Shards.parts` does."""
    for _ in shards.parts():
        pass
    manifest = asdict(shards.manifest)
    if promised := shards.manifest.privacy:
        manifest["privacy"] = promised.document()
    del manifest["parts"], manifest["vocabulary_size"]
    manifest |= {name: list(manifest[name]) for name in ("kept", "forgotten")}
    columns = [_column(column) for column in describe_kept(shards)]
    return {"name": shards.path.name, "digest": shards.manifest.digest, **manifest, "columns": columns}


def across(many: Sequence[Shards], facts: list[Facts]) -> list[Facts]:
    """Return the facts on shards, with what their columns show together added to the last."""
    if together := [_column(column) for column in describe_across(many)]:
        facts[-1]["columns"] += together
    return facts


def _column(one: KeptColumn) -> Facts:
    return {**asdict(one), "columns": list(one.columns), "examples": list(one.examples)}


def run_facts(run: Run) -> Facts:
    """Return the facts on a run. Raises `FormatError` if it has no weights."""
    metrics = {name: run.metrics[name] for name in _OF_RUN if name in run.metrics}
    seed = run.metrics.get("seed")  # not told itself: it draws the rows that the training began with
    secret = (run.metrics.get("recipe") or {}).get("secret_rows")
    metrics |= {"guessable": isinstance(seed, int) and seed < GUESSABLE and secret is not True}
    return {"name": run.path.name, "digest": run.digest(), "metrics": metrics}


def table_facts(table: Table) -> Facts:
    """Return the facts on a table."""
    privacy = table.privacy.document() if table.privacy else None
    return {"fingerprint": table.fingerprint, "records": table.records, "privacy": privacy, "public": table.public}


def tables_of(run: Facts) -> set[str]:
    """Return the fingerprints of the tables whose shards a run was trained on."""
    return {lot["table"] for lot in _lots(run)}


def trained_on(run: Facts) -> set[str]:
    """Return the digests of the shards that a run, and the runs it went on from, say they were trained on.

    Older and private runs name no digests.
    """
    before = run["metrics"].get("trained_before") or []
    return {lot["digest"] for lot in _lots(run) if lot.get("digest")} | set(before)


def planted_in(run: Facts) -> int:
    """Return how many canaries were planted in the shards that a run was trained on, as their manifests say."""
    return max(((lot.get("canaries") or {}).get("count", 0) for lot in _lots(run)), default=0)


def _lots(run: Facts) -> list[dict[str, Any]]:
    return [*run["metrics"]["shards"], *run["metrics"].get("targets", [])]


def holdings(parts: Facts) -> list[dict[str, str]]:
    """Return what the receiver will hold, each with a sentence on what it reveals without any attack."""
    held = []
    for shards in parts["shards"]:
        clear = f"{_columns(shards['kept'])} in the clear"
        size = f"{shards['rows']:,} records as {shards['ids']:,} ids, so the length of each record"
        says = f"{size}; {clear}; the table's fingerprint"
        held.append({"what": "shards", "name": shards["name"], "says": says})
    if run := parts["run"]:
        rows = "without its embedding rows, which stay with the owner" if parts["body"] else "with its embedding rows"
        says = f"{run['metrics'].get('parameters', 0):,} weights, {rows}; how it was trained, and on how many records"
        held.append({"what": "model", "name": run["name"], "says": says})
    if table := parts["table"]:
        says = "every phrase and its count, and so the content of all shards that it encoded"
        held.append({"what": "table", "name": table["fingerprint"], "says": says})
    return held


def _columns(kept: Sequence[str]) -> str:
    """Return the names of columns in words, safe for a page."""
    named = ", ".join(map(shown, kept))
    return "no column" if not kept else f"the column {named}" if len(kept) == 1 else f"the columns {named}"


def guarantees(parts: Facts) -> list[str]:
    """Return a sentence for each guarantee that every single record has, whatever else an attacker knows."""
    sentences = []
    if parts["run"] and (account := composed(parts["run"]["metrics"])):
        sentences.append(f"training: {account}")
    for name, promise in _table_promises(parts["shards"], parts["table"]).items():
        sentences.append(
            f"table {name[:8]}: its phrases and counts have ({promise.epsilon:.3g}, {promise.delta:.2g})-differential "
            "privacy; records encoded with it have none"
        )
    return sentences


def _table_promises(shards: Sequence[Facts], table: Facts | None) -> dict[str, Guarantee]:
    told = {one["table"]: one["privacy"] for one in shards}
    if table is not None:
        told[table["fingerprint"]] = table["privacy"]
    return {name: Guarantee.read(promise, "the audit") for name, promise in told.items() if promise}

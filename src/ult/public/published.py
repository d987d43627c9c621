"""What a run says of its records: to its owner, in `owner.json`, and to everyone else, in `metrics.json`.

Digests, counts of ids and bytes and a coin's split are exact functions of the records, and so is the fingerprint of a
table that was fitted on them without a promise: each tells two sets of records apart that differ in a single one. What
promises privacy to records says none of it, and what is released says no more of shards than a receiver needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.errors import FormatError
from ult.host.regular import read_text
from ult.public.manifest import UNTOLD
from ult.public.vocabulary import check_format

OWNER = "owner.json"  # never copied to what is released
FORMAT = "ult-owner/1"
_MOST = 2**26  # bytes
_GROUPS = ("shards", "targets")
_HELD = ("shards",)  # of validation
_TOLD = ("table", "codec", "column", "rows", "canaries", "privacy", "public_table")  # of shards, to everyone
_FORGOTTEN = ("rows", "method", "when", "epsilon", "delta", "table")  # of records that were forgotten, to everyone
_OWN = ("digest", "ids", "bytes", "coin")  # of the shards of a private run, to its owner


def parted(metrics: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `metrics.json` of a private run says, and what `owner.json` beside it says."""
    groups: dict[str, Any] = {
        group: [_only(lot, ("name", *_TOLD)) for lot in metrics.get(group, [])] for group in _GROUPS
    }
    if held := metrics.get("validation"):
        groups["validation"] = {
            **held,
            **{group: [_only(lot, ("name", *_TOLD)) for lot in held[group]] for group in _HELD},
        }
    if without := metrics.get("without"):
        groups["without"] = [_only(one, ("rows",)) for one in without]
    own: dict[str, Any] = {group: [_only(lot, _OWN) for lot in metrics.get(group, [])] for group in _GROUPS}
    own |= {"without": without} if without else {}
    before = metrics.get("trained_before")
    return {**metrics, **groups, "trained_before": None}, {"format": FORMAT, **own, "trained_before": before}


def rejoined(metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a run's owner knows of it: `metrics.json` and, if it is in the folder, `owner.json`.

    Raises `FormatError` or `NewerFormat`.
    """
    path = folder / OWNER
    if not path.exists():
        return metrics
    try:
        own = json.loads(read_text(path, _MOST))
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON") from error
    check_format(own, FORMAT, path)
    try:
        groups = {
            group: [lot | _only(mine, _OWN) for lot, mine in zip(metrics.get(group, []), own[group], strict=True)]
            for group in _GROUPS
        }
        groups |= {"without": own["without"]} if own.get("without") else {}
        return {**metrics, **groups, "trained_before": own["trained_before"]}
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{path} does not go with the metrics.json beside it", hint="docs/format.md") from None


def released(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the `metrics.json` of a released run says: of shards neither names, digests, ids nor bytes.

    The seed of a member of a federation is not told, nor the digest of its first weights, by which seeds can be tried:
    where it drew the first rows, what was sent can be read with them. Where the training promised something, a table
    that did not, and is not of public records, is not named either, nor what records cost that the promise is not for.
    """
    hidden = metrics.get("privacy") is not None
    groups = {
        group: [_only(lot, _TOLD) | ({"table": UNTOLD} if hidden and not _free(lot) else {}) for lot in lots]
        for group in _GROUPS
        if (lots := metrics.get(group)) is not None
    }
    held = metrics.get("validation")
    validation = held and {
        name: value for name, value in held.items() if name not in (*_HELD, "bits" if hidden else "")
    }
    if metrics.get("without"):
        groups["without"] = [_only(one, ("rows",)) for one in metrics["without"]]
    forgotten = metrics.get("forgotten")
    told = {"forgotten": _only(forgotten, _FORGOTTEN)} if forgotten else {}
    found = {**metrics, **groups, **told, "validation": validation, "trained_before": None}
    return without_seed(found) if metrics.get("federated") is not None else found


def without_seed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a `metrics.json` says, without what tells the rows that a training began with, or seeds to be tried.

    The trained body still works with those rows, for the most part.
    """
    found = {name: value for name, value in metrics.items() if name not in ("seed", "initial_digest")}
    recipe = metrics.get("recipe")
    return found | {"recipe": {name: value for name, value in recipe.items() if name != "seed"}} if recipe else found


def _free(lot: Mapping[str, Any]) -> bool:
    """Return whether the fingerprint of the table costs no privacy: it is computed of noise, or of public records."""
    return bool(lot.get("privacy")) or lot.get("public_table") is True


def _only(lot: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: lot[name] for name in names if name in lot}

"""Check by the digests in a run's `metrics.json` that it was trained on some shards and not on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ult.errors import InvalidConfig
from ult.owner.coin import drawn_by_coin
from ult.public.metrics import made_of
from ult.public.run import Run
from ult.public.shards import Shards


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of `check_trained`."""

    bound: bool  # whether the digests prove that members were trained on and nonmembers were not
    coin: bool  # whether a coin decided on which side each record is
    notes: list[str]  # what is not proven, and why


def check_trained(run: Run, members: Sequence[Shards], nonmembers: Sequence[Shards]) -> Trained:
    """Compare both sides with the shards that the run, and the runs that it went on from, were trained on.

    Raises `InvalidConfig` if members were not trained on or nonmembers were, for example because they are swapped.
    """
    digests = [lot.get("digest") for lot in lots(run)]
    known = {digest for digest in digests if digest} | set(run.metrics.get("trained_before") or [])
    mine, theirs = (
        {shards.manifest.digest: shards for shards in side if shards.manifest.rows} for side in (members, nonmembers)
    )
    if both := mine.keys() & theirs.keys():
        raise InvalidConfig(f"{theirs[min(both)].path} is on both sides; expected members that are no nonmembers")
    if trained := theirs.keys() & known:
        raise InvalidConfig(
            f"{run.path} was trained on {theirs[min(trained)].path}, which was named with --nonmembers",
            hint="members and nonmembers look swapped" if not mine.keys() & known else "shards that it never saw",
        )
    strange = mine.keys() - known
    if strange and all(digests):
        raise InvalidConfig(
            f"{run.path} was not trained on {mine[min(strange)].path}, which was named with --members",
            hint=f"--members with the very shards: {', '.join(_names(run))}",
        )
    notes = []
    if strange:
        why = "it promises privacy, and names no digests" if run.metrics.get("privacy") else "it is older than digests"
        notes.append(f"nothing shows that {run.path.name} was trained on the members: {why}")
    validation = {lot.get("digest") for lot in (run.metrics.get("validation") or {}).get("shards", [])}
    if seen := theirs.keys() & validation:
        notes.append(f"{theirs[min(seen)].path.name} decided which step of the run was kept: it is not quite unseen")
    if (before := made_of(run.metrics)) and run.metrics.get("trained_before") is None:
        notes.append(
            f"{run.path.name} went on from {', '.join(before)}, and does not say what that was trained on: "
            "nonmembers must not be among it"
        )
    return Trained(not strange and all(digests), by_coin(members, nonmembers), notes)


def by_coin(members: Sequence[Shards], nonmembers: Sequence[Shards]) -> bool:
    """Return whether a coin decided on which side each record is; raise `InvalidConfig` if the halves are swapped."""
    coins = [[shards.manifest.coin for shards in side] for side in (members, nonmembers)]
    for coin_of, side in zip(coins, ("members", "nonmembers"), strict=True):
        for coin in coin_of:
            if coin is not None and coin.side != side:
                raise InvalidConfig(f"the coin made {coin.side} of shards that were named with --{side}", hint="swap")
    return drawn_by_coin(*([shards.manifest for shards in side] for side in (members, nonmembers)))


def lots(run: Run) -> list[dict[str, Any]]:
    """Return the run's metadata on all shards that it was trained on, targets included."""
    return [*run.metrics["shards"], *run.metrics.get("targets", [])]


def planted(run: Run, table: str | None = None) -> int:
    """Return how many canaries were planted in the shards that a run was trained on, of one table or of any."""
    canaries = [lot.get("canaries") or {} for lot in lots(run) if table in (None, lot["table"])]
    return max((planted.get("count", 0) for planted in canaries), default=0)


def _names(run: Run) -> list[str]:
    return [str(lot.get("name", "?")) for lot in lots(run)]

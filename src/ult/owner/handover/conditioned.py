"""Draw records that have given cells, as often as the run would write them if only such records counted.

Each draw is forced to have the cells, and weighs as much as the run finds them likely in that record. Draws are then
taken by their weights: so cells that come later in a record count for those before them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ult.errors import CorruptSymbols, InvalidConfig
from ult.host.shown import count
from ult.owner.given import GivenCells
from ult.public.run import Run
from ult.trainer.generate import generate
from ult.trainer.ids import Ids


@dataclass(frozen=True, slots=True)
class Drawn:
    """Records of ids that have the given cells: `records` were taken from `draws`, that are worth `effective` ones."""

    records: list[Ids]
    draws: int
    effective: float
    distinct: int
    lost: int  # draws that did not come to their end within the context

    def remarks(self) -> list[str]:
        """Return sentences on how the records were drawn."""
        found = []
        if self.draws > len(self.records) or self.distinct < len(self.records):
            found.append(
                f"{self.draws:,} records were drawn, each weighed by how likely the run finds the given cells in it: "
                f"as good as {self.effective:,.0f} unweighed ones; {count(self.distinct, 'different record')} written"
            )
        if self.effective < 0.5 * len(self.records):
            found.append("so few stand for the records with these cells that the written ones repeat: more --draws")
        if self.lost:
            found.append(f"{count(self.lost, 'draw')} did not end within the run's context, and none is written")
        return found


def draw(
    run: Run | Path,
    cells: GivenCells,
    *,
    n: int,
    draws: int,
    max_new: int | None,
    temperature: float,
    seed: int,
    batch_size: int,
    modality: str,
    advance: Callable[[int, int], None],
) -> Drawn:
    """Return `n` records with the given cells, from at most `draws` times as many that are drawn.

    First `n` are drawn, and then as many more as make up for unequal weights, as far as these show by then. Raises
    `InvalidConfig` if no draw has the cells within the run's context.
    """
    if n < 1 or draws < 1:
        raise InvalidConfig(f"{n} records of {draws} draws each were asked for; expected at least 1 of both")
    records: list[Ids] = []
    nats: list[float] = []

    def more(many: int, seed: int) -> None:
        weights = np.zeros(many)

        def weigh(record: int, found: float) -> None:
            weights[record] = found

        new = generate(
            run,
            n=many,
            max_new=max_new,
            temperature=temperature,
            seed=seed,
            batch_size=batch_size,
            modality=modality,
            condition=cells,
            weigh=weigh,
            advance=advance,
        )
        whole = [_holds(cells, ids) for ids in new]
        records.extend(new)
        nats.extend(np.where(whole, weights, -np.inf).tolist())

    more(n, seed)
    for again in range(1, 64):  # the first draws may all miss what weighs most, so more are drawn in turns
        effective = _effective(nats)
        if not 0 < effective < n * (1 - 1e-9) or len(nats) >= draws * n:
            break
        wanted = math.ceil(len(nats) * n / effective)
        more(min(max(wanted - len(nats), 1), draws * n - len(nats)), seed + again)
    lost = int(np.isneginf(nats).sum())
    if lost == len(nats):
        raise InvalidConfig(
            f"none of {count(len(nats), 'draw')} came to an end with the given cells in so few ids as may be written",
            hint="a run trained with a longer --context" if max_new is None else "a greater --max-new",
        )
    taken = _taken(_shares(nats), n, seed)
    return Drawn([records[k] for k in taken], len(records), _effective(nats), len(set(taken)), lost)


def _holds(cells: GivenCells, ids: Ids) -> bool:
    try:
        return cells.holds(cells.table.decode(ids))
    except CorruptSymbols:
        return False


def _shares(nats: Sequence[float]) -> NDArray[np.float64]:
    """Return weights (n,) whose logarithms are given, scaled to 1; all 0 if all are."""
    logs = np.array(nats)
    if not np.isfinite(logs.max()):
        return np.zeros(len(logs))
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _effective(nats: Sequence[float]) -> float:
    """Return how many unweighed draws these are worth: the squared sum of weights over the sum of squares (Kish)."""
    shares = _shares(nats)
    return float(1 / (shares**2).sum()) if shares.any() else 0.0


def _taken(shares: NDArray[np.float64], n: int, seed: int) -> list[int]:
    """Return `n` draws by systematic resampling, in order: draw k comes about `n * shares[k]` times.

    >>> _taken(np.array([0.25, 0.25, 0.25, 0.25]), 4, 0)
    [0, 1, 2, 3]
    """
    at = (np.arange(n) + np.random.default_rng(seed).random()) / n
    found = np.searchsorted(np.cumsum(shares), at, side="right")
    return np.minimum(found, int(np.flatnonzero(shares)[-1])).tolist()  # type: ignore[no-any-return]

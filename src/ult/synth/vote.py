"""Private prediction: members that know disjoint records vote on each id, and a draw hides what one member says.

A run is first trained with noise on all records, at a part of epsilon. Each member goes on from it, without noise, on
its own part of the records. For each next id the logarithm of a member's probability may differ from that of the
private run by at most `clip` either way (InvisibleInk's DClip, arXiv:2507.02974, with members in place of reference
texts). An id is drawn by the private run's logarithm plus the mean of these differences, over the temperature.

Given the private run, one record changes what one of K members says, by at most 2 clip, so each of the summed
logarithms by at most D = 2 clip / (K temperature). The draw is the exponential mechanism: the logarithms of its
probabilities change within a range of 2 D, which is (D^2 / 2)-zCDP (arXiv:2004.07223). The budget therefore is one of
ids: it is divided among as many as may be written. An id that the grammar forces costs nothing. Draws are of exact
integers, by the system's coin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.owner.constrained import TableGrammar
from ult.privacy import concentrated
from ult.privacy.randomness import below
from ult.public.guarantee import Spent
from ult.public.run import Run
from ult.public.vocabulary import EOS
from ult.trainer.models.load import load_trained

with require("torch", extra="train"):
    import torch

MEMBERS = 64  # at most, by default
LEAST_RECORDS = 10  # of a member
LEAST_CLIP, MOST_CLIP = 0.2, 8.0  # below, members say nothing that is heard; above, nothing is clipped
_BATCH = 64  # records that are written at once
_ROUNDED = 1 + 1e-9  # of logarithms in float64
_LOWEST = -200.0  # of the private run's logarithms, in nats
_BITS = 53  # of a float64


class Budget(NamedTuple):
    """What the votes may spend: at most so many ids are drawn, each with differences up to `clip`."""

    ids: int
    members: int
    clip: float
    temperature: float

    def __str__(self) -> str:
        return (
            f"at most {self.ids:,} ids are drawn; what each of {self.members} members adds to the logarithm of a "
            f"probability is clipped to {self.clip:.3g}"
        )


def members_of(records: int) -> int:
    """Return how many members records of such a number are divided among, by default."""
    return max(2, min(MEMBERS, records // 32))


def steps_of(records: int, members: int) -> tuple[int, int]:
    """Return the steps of a member's training and the records of each, by the number of all records."""
    own = max(1, records // members)
    batch = min(8, own)
    return min(max(10 * own // batch, 20), 200), batch


def budget_of(cost: Spent, *, rows: int, room: int, members: int, temperature: float, records: int) -> Budget:
    """Return the budget of `rows` records of at most `room` ids each.

    Raises `InvalidConfig` if it is so little that no member would be heard, or members would have too few records.
    """
    if members < 2 or members * LEAST_RECORDS > records:
        raise InvalidConfig(
            f"{members} members of {records} records; expected at least 2, each with {LEAST_RECORDS} records",
            hint=f"--members {max(2, records // LEAST_RECORDS // 2)}, or --method train",
        )
    rho, ids = concentrated.rho_of(cost.epsilon, cost.delta) / _ROUNDED, rows * room
    clip = members * temperature * math.sqrt(rho / (2 * ids))
    if clip < LEAST_CLIP:
        most = int(rho / 2 * (members * temperature / LEAST_CLIP) ** 2 / room)
        raise InvalidConfig(
            f"the budget is of ids, and {rows:,} records may have {ids:,}: a member's vote would count for {clip:.2g}, "
            f"less than {LEAST_CLIP:g}",
            hint=f"--rows {most} or fewer, more --members, a shorter --context, or --method train"
            if most
            else "more --members, a shorter --context, a greater epsilon, or --method train",
        )
    return Budget(ids, members, min(clip, MOST_CLIP), temperature)


class Voters:
    """The members and the private run that they started from, loaded."""

    def __init__(self, members: Run, private: Run) -> None:
        self.models = [load_trained(one) for one in (private, *members.each())]

    def write(
        self, grammar: TableGrammar, n: int, *, room: int, budget: Budget, advance: Callable[[int], None]
    ) -> list[NDArray[np.uint32]]:
        """Return `n` records of ids (length,) uint32, each of at most `room` ids."""
        found: list[NDArray[np.uint32]] = []
        while len(found) < n:
            some = _Batch(self, grammar, min(_BATCH, n - len(found)), budget)
            for left in range(room, 0, -1):
                if not some.step(left):
                    break
            found += [np.array(ids, np.uint32) for ids in some.ids]
            advance(len(some.ids))
        return found


class _Batch:
    """Records that are written at once, an id each at a time."""

    def __init__(self, voters: Voters, grammar: TableGrammar, n: int, budget: Budget) -> None:
        self.models = voters.models
        self.caches: list[Any] = [None] * len(self.models)
        self.grammar, self.budget = grammar, budget
        self.ids: list[list[int]] = [[] for _ in range(n)]
        self.states: list[Any] = [grammar.start([]) for _ in range(n)]

    def step(self, room: int) -> bool:
        """Draw the next id of each record that has not ended; return whether one goes on."""
        logits = self._logits()
        for row, state in enumerate(self.states):
            if state is None:
                continue
            allowed = np.flatnonzero(self.grammar.allowed(state, room))
            one = int(allowed[0] if len(allowed) == 1 else allowed[self._drawn(logits[:, row, allowed])])
            if one == EOS:
                self.states[row] = None
                continue
            self.ids[row].append(one)
            self.states[row] = self.grammar.advance(state, one)
        return any(state is not None for state in self.states)

    def _logits(self) -> NDArray[np.float64]:
        """Return what each model says of the next id of each record: (1 + members, n, ids)."""
        last = torch.tensor([[ids[-1] if ids else EOS] for ids in self.ids])
        said = []
        with torch.no_grad():
            for k, model in enumerate(self.models):
                known = {} if self.caches[k] is None else {"past_key_values": self.caches[k]}
                found = model(input_ids=last.to(model.device), use_cache=True, **known)
                self.caches[k] = found.past_key_values
                said.append(found.logits[:, -1].double().cpu().numpy())
        return np.stack(said)

    def _drawn(self, logits: NDArray[np.float64]) -> int:
        """Return the place of one of the allowed ids; `logits` (1 + members, allowed) are those of the models."""
        return drawn(scores(logits, self.budget.clip) / self.budget.temperature)


def scores(logits: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Return the logarithms (ids,) of a draw: the first row's, and the mean of what others differ from it, clipped.

    >>> scores(np.log([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]]), 0.1).round(2)
    array([-0.59, -0.79])
    """
    found = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    centre = np.maximum(found[0], _LOWEST)
    return np.asarray(centre + np.clip(found[1:] - centre, -clip, clip).mean(0))


def drawn(logarithms: NDArray[np.float64]) -> int:
    """Return a place, drawn by the exponential of each logarithm (n,), in integers without rounding."""
    weights = []
    for one in np.exp(logarithms - logarithms.max()).tolist():
        mantissa, power = math.frexp(one)
        weights.append(int(mantissa * 2**_BITS) << max(0, power + 2 * int(-_LOWEST) + 64))
    left = below(sum(weights))
    for place, weight in enumerate(weights):
        if left < weight:
            return place
        left -= weight
    raise AssertionError("a draw lies beyond the sum of all weights")

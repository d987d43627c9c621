"""An owner of a group: its shards, the recipe of its training, and its turn in each round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.trainer.federated.body import Body
from ult.trainer.federated.group import Group
from ult.trainer.federated.local import Round, RoundDone, change_since, steps_done
from ult.trainer.federated.plan import NOT_ALONE
from ult.trainer.recipe import OPTIONS, Recipe
from ult.trainer.train import train
from ult.trainer.workdir import KEPT


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner, and where its run appears once all rounds are done."""

    shards: str | Path
    out: Path
    recipe: Recipe
    group: Group

    @classmethod
    def of(cls, shards: str | Path, out: Path, recipe: Recipe, group: Group) -> Owner:
        """Return an owner with the recipe that it follows in the group. Raises `InvalidConfig`."""
        for name in NOT_ALONE:
            if OPTIONS[name].is_set(recipe):
                raise InvalidConfig(
                    f"{name} was given for a federation, whose group decides it", hint=f"leave out {OPTIONS[name].flag}"
                )
        plan = group.plan
        own = replace(recipe, model=str(group.path), steps=plan.steps, checkpoint_every=plan.local_steps)
        return cls(shards, out, own, group)

    def turn(self, number: int, body: Body) -> Body:
        """Train in round `number`, from 0, from the group's body; return how the body changed.

        A round whose steps were done before, by a process that was killed, is not done again.
        """
        first = number * self.group.plan.local_steps
        last = first + self.group.plan.local_steps
        if steps_done(self.out) != last:
            self._train(Round(body, first, last))
        return change_since(body, self.out, last)

    def finish(self, body: Body, told: dict[str, Any]) -> dict[str, Any]:
        """Write the owner's run: the last body, and its own rows; return what its `metrics.json` says."""
        steps = self.group.plan.steps
        return self._train(Round(body, steps, steps, {"federated": told})) or {}

    def _train(self, turn: Round) -> dict[str, Any] | None:
        """Take the turn; return what the run's metrics say, None if there is no run yet."""
        try:
            return train(self.shards, self.out, self.recipe, turn=turn, resume="auto")
        except RoundDone:
            return None
        except BaseException as error:  # who plays the rounds says how to go on, not a training
            error.__notes__ = [note for note in getattr(error, "__notes__", ()) if note != KEPT]
            raise

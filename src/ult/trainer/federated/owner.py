"""An owner of a group: its shards, the recipe of its training, and its turn in each round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.disk import settle
from ult.trainer.federated import asked
from ult.trainer.federated.body import Body, check_change, packed
from ult.trainer.federated.group import Group
from ult.trainer.federated.local import Round, RoundDone, change_since, checkpoint, steps_done
from ult.trainer.federated.masked import check_secrets, label, masked
from ult.trainer.federated.once import Once
from ult.trainer.federated.plan import NOT_ALONE
from ult.trainer.recipe import OPTIONS, Recipe
from ult.trainer.train import train
from ult.trainer.workdir import KEPT, partial_folder


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner, and where its run appears once all rounds are done."""

    shards: str | Path
    out: Path
    recipe: Recipe
    group: Group
    name: str = ""
    secrets: Mapping[str, bytes] = field(default_factory=dict)  # with each other owner, for a masked sum
    seeded: bool = True  # whether the recipe's seed draws its first rows, which whoever tries all seeds then has

    @classmethod
    def of(
        cls,
        shards: str | Path,
        out: Path,
        recipe: Recipe,
        group: Group,
        name: str = "",
        secrets: Mapping[str, bytes] | None = None,
        *,
        seeded: bool = True,
    ) -> Owner:
        """Return an owner with the recipe that it follows in the group. Raises `InvalidConfig`."""
        for one in NOT_ALONE:
            if OPTIONS[one].is_set(recipe):
                raise InvalidConfig(
                    f"{one} was given for a federation, whose group decides it", hint=f"leave out {OPTIONS[one].flag}"
                )
        plan = group.plan
        own = replace(recipe, model=str(group.path), steps=plan.steps, checkpoint_every=plan.local_steps)
        if plan.secure:
            check_secrets(plan.owners, name, secrets or {})
        elif secrets:
            raise InvalidConfig("secrets were given for a group without a masked sum", hint="leave out --secret")
        return cls(shards, out, own, group, name, secrets or {}, seeded)

    def turn(self, number: int, body: Body) -> Body:
        """Train in round `number`, from 0, from the group's body; return how the body changed.

        A round whose steps were done before, by a process that was killed, is not done again. An owner who was lost
        trains the steps of the rounds that it missed first, from this body; what they change in it is told to nobody.
        """
        local = self.group.plan.local_steps
        first = min(steps_done(self.out), number * local)
        for begin in range(first, number * local + 1, local):
            if steps_done(self.out) != begin + local:
                self._train(Round(body, begin, begin + local, seeded=self.seeded))
        return change_since(body, self.out, (number + 1) * local)

    def message(self, number: int, body: Body) -> bytes:
        """Take the turn of a round; return the message that tells the change, or that it is `ready` to be masked.

        The round is on the disk before anything of it is sent: trained again, with other noise, it would be told twice.
        """
        change = self.turn(number, body)
        if self.group.plan.secure:
            return asked.ready(self._once().ready(number, body, change))
        check_change(change, self.name or "this owner")
        settle(checkpoint(self.out, self.group.plan.local_steps * (number + 1)), modes=False)
        return packed(change)

    def masked(self, number: int, members: Mapping[str, str]) -> bytes:
        """Return the change of a round in which this owner is ready, masked for a sum of `members`: see `Once`."""
        told = self._once().told(number, members, self.name)
        others = {name: secret for name, secret in self.secrets.items() if name in members}
        return masked(told.change, self.name, others, label(self.group.digest, number, told.body, members))

    def finish(self, body: Body, told: dict[str, Any]) -> dict[str, Any]:
        """Write the owner's run: the last body, trained on alone if the plan says so, and its own rows.

        Returns what its `metrics.json` says.
        """
        together = self.group.plan.together
        if steps_done(self.out) < together:  # it was lost in the last round
            self.turn(self.group.plan.rounds - 1, body)
        done = steps_done(self.out)  # more than all rounds after a kill
        last = Round(body if done == together else None, done, done, {"federated": told}, self.seeded)
        return self._train(last) or {}

    def _once(self) -> Once:
        return Once(partial_folder(self.out))

    def _train(self, turn: Round) -> dict[str, Any] | None:
        """Take the turn; return what the run's metrics say, None if there is no run yet."""
        try:
            return train(self.shards, self.out, self.recipe, turn=turn, resume="auto")
        except RoundDone:
            return None
        except BaseException as error:  # who plays the rounds says how to go on, not a training
            error.__notes__ = [note for note in getattr(error, "__notes__", ()) if note != KEPT]
            raise

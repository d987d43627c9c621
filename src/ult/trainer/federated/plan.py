"""What the owners of a group agree on, and the options of a training that are then not theirs to choose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ult.errors import InvalidConfig

RULES = ("average", "nesterov")  # what is made of the owners' changes: see `ult.trainer.federated.outer`
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # of an owner
LEAST = 3  # owners of whom a sum tells no single change
MOST = 2**20  # rounds, and steps of a round

# Options that a group decides, or that would end the rounds of one owner before those of the others.
NOT_ALONE = (
    "task", "label", "pool", "attention", "class_weights", "model", "from_run", "embeddings", "rows_per_table", "lora",
    "restrain_ngrams", "steps", "epochs", "members", "member_records", "stop_memorised", "evaluate_every", "patience",
    "checkpoint_every", "report_to",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What the owners of a group agreed on. Raises `InvalidConfig` for what nobody can do.

    >>> Plan(rounds=10, local_steps=50).steps
    500
    """

    rounds: int = 10
    local_steps: int = 50  # of an owner, in each round
    outer: str = "average"  # one of `RULES`
    owners: Sequence[str] = ()  # their names, if they are agreed on
    secure: bool = False  # whether the server is to see no change but the sum of all
    last_alone: int = 0  # steps of each owner after the last round, of which it tells nobody
    at_least: int = 0  # owners without whom no round is closed; 0 for all

    def __post_init__(self) -> None:
        for name in ("rounds", "local_steps"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < MOST:
                raise InvalidConfig(f"{name} is {value!r:.40}; expected an integer of at least 1")
        if type(self.last_alone) is not int or not 0 <= self.last_alone < MOST:
            raise InvalidConfig(f"last_alone is {self.last_alone!r:.40}; expected steps, or 0")
        if type(self.at_least) is not int or not 0 <= self.at_least < MOST:
            raise InvalidConfig(f"at_least is {self.at_least!r:.40}; expected a number of owners")
        object.__setattr__(self, "owners", tuple(self.owners))
        if len(set(self.owners)) != len(self.owners) or not all(
            isinstance(one, str) and NAME.fullmatch(one) for one in self.owners
        ):
            raise InvalidConfig("expected owners with names of their own", hint="--owner north --owner south")
        if self.secure and len(self.owners) < LEAST:
            raise InvalidConfig(
                f"a masked sum was asked for {len(self.owners)} named owners; expected {LEAST} or more: of two, each "
                "takes its own change away and has the other's",
                hint="--owner north --owner south --owner east",
            )
        if self.at_least and not self._least <= self.at_least <= (len(self.owners) or self.at_least):
            raise InvalidConfig(
                f"at_least is {self.at_least}; expected {self._least} to {len(self.owners) or 'all'} owners"
            )
        if self.outer not in RULES:
            raise InvalidConfig(f"outer is {self.outer!r:.40}; expected one of {', '.join(RULES)}")

    @property
    def _least(self) -> int:
        return LEAST if self.secure else 2

    def fewest(self, owners: int) -> int:
        """Return without how many of so many owners no round is closed."""
        return max(self._least, self.at_least or owners)

    @property
    def together(self) -> int:
        """The steps of each owner in all rounds."""
        return self.rounds * self.local_steps

    @property
    def steps(self) -> int:
        """The steps of each owner, those after the last round among them."""
        return self.together + self.last_alone

"""What the owners of a group agree on, and the options of a training that are then not theirs to choose."""

from __future__ import annotations

from dataclasses import dataclass

from ult.errors import InvalidConfig

RULES = ("average", "nesterov")  # what is made of the owners' changes: see `ult.trainer.federated.outer`
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

    def __post_init__(self) -> None:
        for name in ("rounds", "local_steps"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < MOST:
                raise InvalidConfig(f"{name} is {value!r:.40}; expected an integer of at least 1")
        if self.outer not in RULES:
            raise InvalidConfig(f"outer is {self.outer!r:.40}; expected one of {', '.join(RULES)}")

    @property
    def steps(self) -> int:
        """The steps of each owner in all rounds."""
        return self.rounds * self.local_steps

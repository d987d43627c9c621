"""What the maker of synthetic records promises: by the file beside them, or as it was said on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ult.errors import InvalidConfig, MissingSource
from ult.public.synthetic import Synthetic, digest_of

SAID = "said on the command line"


@dataclass(frozen=True)
class Claim:
    """A promise of (epsilon, delta) to each record or person, and where it stands; `wrong` says why it cannot hold."""

    epsilon: float
    delta: float
    unit: str = "record"
    by: str = SAID
    conditions: tuple[str, ...] = ()
    wrong: str = ""

    def document(self) -> dict[str, object]:
        """Return the claim as JSON values."""
        return {"epsilon": self.epsilon, "delta": self.delta, "unit": self.unit, "by": self.by, "wrong": self.wrong}


def claimed(synthetic: Sequence[str], epsilon: float | None, delta: float | None) -> Claim | None:
    """Return the promise of the records in the files `synthetic`, None if there is none.

    What is said beside a file holds only for that very file. Raises `InvalidConfig` if both are said, and differ.
    """
    if delta is not None and epsilon is None:
        raise InvalidConfig("a delta was given without an epsilon", hint="--epsilon 8 --delta 1e-5")
    if epsilon is not None and not epsilon > 0:
        raise InvalidConfig(f"epsilon is {epsilon:g}; expected more than 0")
    if delta is not None and not 0 <= delta < 1:
        raise InvalidConfig(f"delta is {delta:g}; expected 0 to 1")
    beside = _beside(synthetic)
    if epsilon is None:
        return beside
    if beside is not None and not beside.wrong:
        raise InvalidConfig(
            f"{beside.by} claims an epsilon of {beside.epsilon:g}, and --epsilon says {epsilon:g}",
            hint="leave out --epsilon",
        )
    return Claim(epsilon, 0.0 if delta is None else delta)


def _beside(synthetic: Sequence[str]) -> Claim | None:
    if len(synthetic) != 1:
        return None
    (path,) = synthetic
    try:
        told = Synthetic.read(path)
    except MissingSource:
        return None
    if told.epsilon is None or told.delta is None:
        return None
    name = Path(path).name
    wrong = "" if told.digest == digest_of(path) else f"{name} was changed since, or is another file"
    return Claim(told.epsilon, told.delta, told.unit, f"{name}.synth.json", told.conditions, wrong)

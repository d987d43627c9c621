"""How a model is split between its owners and the server, and how owners train their side of it (arXiv:2407.17533)."""

from __future__ import annotations

from dataclasses import dataclass

from ult.errors import InvalidConfig

WIRES = ("float16", "float32")  # types that hidden states and their gradients travel as


@dataclass(frozen=True, slots=True)
class Split:
    """What an owner holds, and what it does in a round. Raises `InvalidConfig` for what nobody can do.

    >>> Split(blocks=2).prompts
    16
    """

    blocks: int  # of the model that an owner holds at either end; the server holds those between
    prompts: int = 16  # vectors before each block of ids
    prune: float = 0.5  # the share of its records that an owner does not ask the server about
    self_update: int = 1  # passes over all of its records that an owner trains without the server, each round
    wire: str = "float16"  # one of `WIRES`

    def __post_init__(self) -> None:
        for name in ("blocks", "prompts", "self_update"):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value < 2**16:
                raise InvalidConfig(f"{name} is {value!r:.40}; expected an integer of at least 1")
        if type(self.prune) not in (int, float) or not 0 <= self.prune < 1:
            raise InvalidConfig(f"prune is {self.prune!r:.40}; expected a share from 0 to below 1")
        if self.wire not in WIRES:
            raise InvalidConfig(f"wire is {self.wire!r:.40}; expected one of {', '.join(WIRES)}")

    def check(self, layers: int, context: int) -> None:
        """Raise `InvalidConfig` unless a model of so many blocks, that sees so many ids at once, can be split so."""
        if 2 * self.blocks >= layers:
            most = (layers - 1) // 2
            raise InvalidConfig(
                f"{self.blocks} blocks at either end leave the server none of the model's {layers}; expected at most "
                f"{most}",
                hint=f"--split {most}" if most else "a run of --model small, which has 6",
            )
        if self.prompts > context:
            raise InvalidConfig(
                f"{self.prompts} prompts are more than the {context} ids that the model sees at once",
                hint=f"--prompts {context} or fewer, or a larger --context",
            )

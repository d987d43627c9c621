"""An owner's change in the round at hand, kept until the next one, and masked for one set of owners at most.

Two sums of the same changes, of which one owner is in one alone, would show that owner's change; and two changes masked
with the same stream their difference. So what an owner tells is written down before it is sent: whoever is killed tells
the very same again, and whoever is asked for something else refuses.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.errors import FormatError, TrainingError, writing
from ult.host.disk import sync
from ult.host.extras import require
from ult.trainer.federated.body import Body, digest

with require("safetensors", extra="train"):
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save

NAME = "told.safetensors"  # in the hidden folder of an owner's training


@dataclass(frozen=True, slots=True)
class Told:
    """What an owner told in a round: its change, what it drew for it, and for whom it was masked, if it was."""

    round: int
    body: str  # the digest of the body that it changed
    change: Body
    drawn: str
    members: Mapping[str, str] | None = None  # what each owner of the sum drew, by name


class Once:
    """The folder of an owner's training, in which what it told is written down."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def ready(self, number: int, body: Body, change: Body) -> str:
        """Write down the change of a body in a round; return what was drawn for it.

        Raises `TrainingError` for a second change of a round.
        """
        told, of = self._told(), digest(body)
        if told is not None and (told.round, told.body) == (number, of) and digest(told.change) == digest(change):
            return told.drawn
        if told is not None and (told.round > number or (told.round == number and told.members is not None)):
            raise TrainingError(
                f"another change of round {number} was asked for, after one of round {told.round} was told: what the "
                "two differ by would show",
                hint="a new group: ult federate init",
            )
        drawn = secrets.token_hex(16)
        self._write(Told(number, of, change, drawn))
        return drawn

    def told(self, number: int, members: Mapping[str, str], me: str) -> Told:
        """Return what was told in a round, to be masked for these owners, and write down that it is for no others.

        Raises `TrainingError` if it was masked for others, or if it is not this owner's last change.
        """
        told = self._told()
        if told is None or told.round != number or members.get(me) != told.drawn:
            raise TrainingError(f"the server asks for a change of round {number} that this owner has not told")
        if told.members is None:
            self._write(replace(told, members=members))
        elif dict(told.members) != dict(members):
            raise TrainingError(
                f"the server asks once more for the change of round {number}, in a sum of other owners: what the two "
                "sums differ by would show",
                hint="a new group: ult federate init",
            )
        return told

    def _told(self) -> Told | None:
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                told: dict[str, Any] = json.loads(file.metadata()["told"])
                change = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
            return Told(told["round"], told["body"], change, told["drawn"], told["members"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{self.path} does not say what this owner told", hint="a new group: ult federate init"
            ) from error

    def _write(self, told: Told) -> None:
        """Write it down, on the disk, before anything of it is sent."""
        members = None if told.members is None else dict(told.members)
        says = json.dumps({"round": told.round, "body": told.body, "drawn": told.drawn, "members": members})
        fresh = self.path.with_suffix(".tmp")
        with writing(self.path):
            with fresh.open("wb") as file:
                file.write(save(dict(told.change), {"told": says}))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            sync(self.path.parent)

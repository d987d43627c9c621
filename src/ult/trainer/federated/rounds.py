"""The rounds of a group that are done, kept in a folder so that a server that is killed goes on to the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ult.errors import writing
from ult.host.disk import remove
from ult.trainer.federated import masked, outer
from ult.trainer.federated.body import Body, check_change, packed, received, unpacked
from ult.trainer.federated.group import Group


class Rounds:
    """The rounds of a group that are done, in a folder: the body and the velocity after each, and what was sent."""

    def __init__(self, group: Group, folder: Path, owners: int) -> None:
        self.group, self.folder, self.owners = group, folder, owners
        self.shapes = group.shapes()
        found = [int(path.stem.partition("-")[2]) for path in folder.glob("round-*.json")]
        self.done = max(found, default=0)
        self.traffic = {"up": 0, "down": 0}  # bytes of all messages of all owners, from them and to them
        self.missed = [0] * owners  # rounds that were closed without each owner
        self.given_up = 0  # rounds that changed nothing, as an owner was lost after it was named for a masked sum
        if self.done:
            held = json.loads((folder / f"round-{self.done}.json").read_text(encoding="utf-8"))
            self.traffic, self.missed, self.given_up = held["traffic"], held["missed"], held["given_up"]

    def body(self) -> Body:
        """Return the body after the last round that is done."""
        return self._read(f"body-{self.done}") if self.done else self.group.body()

    def told(self, owner: int) -> bytes | None:
        """Return the message in which an owner told its change in the round at hand; None if it has not."""
        path = self.folder / f"change-{self.done + 1}-{owner}"
        return path.read_bytes() if path.exists() else None

    def tell(self, owner: int, message: bytes, name: str) -> None:
        """Keep the message of an owner. Raises `FormatError` or `TrainingError`, naming it, for one that is no body."""
        if self.group.plan.secure:
            received(message, self.shapes, name)
        else:
            check_change(unpacked(message, self.shapes, name), name)
        self.keep(f"change-{self.done + 1}-{owner}", message)

    def members(self) -> dict[int, str] | None:
        """Return the owners of the masked sum of the round at hand, and what each drew; None before that is agreed."""
        path = self.folder / f"members-{self.done + 1}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        return None if found is None else {int(k): drawn for k, drawn in found.items()}

    def agree(self, members: dict[int, str]) -> None:
        """Keep whose the masked sum of the round at hand is: nobody masks for another one, so there is no other."""
        self.keep(f"members-{self.done + 1}.json", json.dumps(members).encode())

    def close(self, *, down: int, up: int = 0) -> None:
        """Make the next body of the changes that were told; `down` bytes were sent to owners.

        A masked sum needs all of its owners: without one of them the round changes nothing. `up` are bytes that came
        beside the changes.
        """
        told = {k: message for k in range(self.owners) if (message := self.told(k)) is not None}
        names = self.group.plan.owners or [f"owner {k}" for k in range(self.owners)]
        who, messages = [names[k] for k in told], list(told.values())
        whole = set(told) >= set(self.members() or told)
        if not whole:
            mean = None
        elif self.group.plan.secure:
            mean = masked.mean_of(messages, self.shapes, who)
        else:
            mean = outer.mean_of([unpacked(one, self.shapes, name) for one, name in zip(messages, who, strict=True)])
        self.missed = [count + (k not in told) for k, count in enumerate(self.missed)]
        self.given_up += not whole
        self.step(mean, down=down, up=up + sum(map(len, messages)))

    def step(self, mean: Body | None, *, down: int, up: int) -> None:
        """Make the next body of the owners' mean change, if any; the round is done once its own file is there."""
        plan, number = self.group.plan, self.done + 1
        body, velocity = self.body(), None
        if plan.outer == "nesterov" and self.done and (self.folder / f"velocity-{self.done}").exists():
            velocity = self._read(f"velocity-{self.done}")
        if mean is not None:
            body, velocity = outer.step(body, mean, plan.outer, velocity)
        if velocity is not None:
            self.keep(f"velocity-{number}", packed(velocity))
        self.keep(f"body-{number}", packed(body))
        self.traffic = {"up": self.traffic["up"] + up, "down": self.traffic["down"] + down}
        held = {"traffic": self.traffic, "missed": self.missed, "given_up": self.given_up}
        self.keep(f"round-{number}.json", json.dumps(held).encode())
        for name in [f"body-{self.done}", f"velocity-{self.done}", f"round-{self.done}.json", f"members-{number}.json"]:
            self.forget(name)
        for k in range(self.owners):
            self.forget(f"change-{number}-{k}")
        self.done = number

    def _read(self, name: str) -> Body:
        return unpacked((self.folder / name).read_bytes(), self.shapes, str(self.folder / name))

    def keep(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, as far as a killed process goes."""
        fresh = self.folder / f"{name}.tmp"
        with writing(self.folder):
            fresh.write_bytes(data)
            fresh.replace(self.folder / name)

    def forget(self, name: str) -> None:
        """Remove a file of the folder, if it is there."""
        if (self.folder / name).exists():
            remove(self.folder / name)


def told_of(rounds: Rounds) -> dict[str, Any]:
    """Return what a trained group, and the run of each owner, say of the federation."""
    lost = {"missed": rounds.missed, "given_up": rounds.given_up} if any(rounds.missed) or rounds.given_up else {}
    return {"group": rounds.group.digest, **asdict(rounds.group.plan), "owners": rounds.owners,
            "traffic": rounds.traffic, **lost}  # fmt: skip


def beginning(group: Group) -> dict[str, Any]:
    """Return what a trained group says of what it began as."""
    return {name: value for name, value in group.told.items() if name not in ("format", "weights", "body")}

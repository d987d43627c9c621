"""The rounds of a group that are done, kept in a folder so that a server that is killed goes on to the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ult.errors import writing
from ult.host.disk import remove
from ult.trainer.federated import masked, outer
from ult.trainer.federated.body import Body, packed, received, unpacked
from ult.trainer.federated.group import Group


class Rounds:
    """The rounds of a group that are done, in a folder: the body and the velocity after each, and what was sent."""

    def __init__(self, group: Group, folder: Path, owners: int) -> None:
        self.group, self.folder, self.owners = group, folder, owners
        self.shapes = group.shapes()
        found = [int(path.stem.partition("-")[2]) for path in folder.glob("round-*.json")]
        self.done = max(found, default=0)
        self.traffic = {"up": 0, "down": 0}  # bytes of all messages of all owners, from them and to them
        if self.done:
            self.traffic = json.loads((folder / f"round-{self.done}.json").read_text(encoding="utf-8"))

    def body(self) -> Body:
        """Return the body after the last round that is done."""
        return self._read(f"body-{self.done}") if self.done else self.group.body()

    def told(self, owner: int) -> bytes | None:
        """Return the message in which an owner told its change in the round at hand; None if it has not."""
        path = self.folder / f"change-{self.done + 1}-{owner}"
        return path.read_bytes() if path.exists() else None

    def tell(self, owner: int, message: bytes, name: str) -> None:
        """Keep the message of an owner. Raises `FormatError` or `TrainingError`, naming it, for one that is no body."""
        (received if self.group.plan.secure else unpacked)(message, self.shapes, name)
        self._write(f"change-{self.done + 1}-{owner}", message)

    def close(self, *, down: int) -> None:
        """Make the next body once all owners have told their changes; `down` bytes were sent to them."""
        messages = [self.told(k) or b"" for k in range(self.owners)]
        names = self.group.plan.owners or [f"owner {k}" for k in range(self.owners)]
        if self.group.plan.secure:
            mean = masked.mean_of(messages, self.shapes, names)
        else:
            mean = outer.mean_of([unpacked(one, self.shapes, who) for one, who in zip(messages, names, strict=True)])
        self.step(mean, down=down, up=sum(map(len, messages)))

    def step(self, mean: Body, *, down: int, up: int) -> None:
        """Make the next body of the owners' mean change; the round is done once its own file is there."""
        plan, number = self.group.plan, self.done + 1
        before = self._read(f"velocity-{self.done}") if plan.outer == "nesterov" and self.done else None
        body, velocity = outer.step(self.body(), mean, plan.outer, before)
        if velocity is not None:
            self._write(f"velocity-{number}", packed(velocity))
        self._write(f"body-{number}", packed(body))
        traffic = {"up": self.traffic["up"] + up, "down": self.traffic["down"] + down}
        self._write(f"round-{number}.json", json.dumps(traffic).encode())
        for name in [f"body-{self.done}", f"velocity-{self.done}", f"round-{self.done}.json"]:
            self._forget(name)
        for k in range(self.owners):
            self._forget(f"change-{number}-{k}")
        self.done, self.traffic = number, traffic

    def _read(self, name: str) -> Body:
        return unpacked((self.folder / name).read_bytes(), self.shapes, str(self.folder / name))

    def _write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, as far as a killed process goes."""
        fresh = self.folder / f"{name}.tmp"
        with writing(self.folder):
            fresh.write_bytes(data)
            fresh.replace(self.folder / name)

    def _forget(self, name: str) -> None:
        if (self.folder / name).exists():
            remove(self.folder / name)


def told_of(group: Group, owners: int, traffic: dict[str, int]) -> dict[str, Any]:
    """Return what a trained group, and the run of each owner, say of the federation."""
    return {"group": group.digest, **asdict(group.plan), "owners": owners, "traffic": traffic}


def beginning(group: Group) -> dict[str, Any]:
    """Return what a trained group says of what it began as."""
    return {name: value for name, value in group.told.items() if name not in ("format", "weights", "body")}

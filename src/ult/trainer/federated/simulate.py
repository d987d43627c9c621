"""Play a whole federation on this machine: every owner in turn, by the same messages that would travel.

A simulation works in the hidden folder of its output. A body is written there once its round is done, and a change once
its owner has told it; so a simulation that is killed at any moment goes on to the very same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, OutputExists, TrainingError, writing
from ult.host.atomic import Claim, hidden
from ult.host.disk import remove
from ult.host.free import check_free
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.packing import open_shards, summary
from ult.trainer.federated import outer
from ult.trainer.federated.body import Body, packed, unpacked
from ult.trainer.federated.group import KIND, OWNERS, Group, begin, model_of, write
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import JOURNAL, Resume, partial_folder

Sent = Callable[[str, int, bytes], None]  # called with each message: "body" or "change", the owner's number, its bytes
_KEPT = "what is done is kept: the same command with --resume goes on from it"


def simulate(
    shards: Sequence[str | Path],
    out: str | Path,
    recipe: Recipe,
    *,
    start: str | None = None,
    group: str | Path | None = None,
    plan: Plan | None = None,
    sent: Sent = lambda what, owner, message: None,
    resume: Resume = False,
    force: bool = False,
) -> Group:
    """Train the body of a group with the owners of `shards`, one folder each; return the group that came of it.

    `group` is one that `begin` wrote; without one the body begins as `start`, a preset or a run, and goes by `plan`.
    `out` holds the body after the last round, and each owner's run in `owners/0`, `owners/1`, ..: that body and the
    owner's own rows. The recipe is every owner's; owner k takes `seed + k`.

    Raises as `ult.train`, and `InvalidConfig` for fewer than two owners and for options that a group decides.
    """
    out = Path(out)
    if len(shards) < 2:
        raise InvalidConfig(f"{len(shards)} owner was given; expected two or more", hint="a.shards b.shards c.shards")
    if group is not None and (start is not None or plan is not None):
        raise InvalidConfig("a group and what one is made of were both given; expected one of them", hint="--group")
    opened = [open_shards([one])[0] for one in shards]
    about = {
        "recipe": recipe.shaping(),
        "data": summary(opened),
        "group": Group.open(group).digest if group else {"start": start or "tiny", **asdict(plan or Plan())},
    }
    with _working(out, about, resume=resume, force=force) as work:
        if group is None and not (work / "start").exists():
            begin(start or "tiny", plan or Plan(), work / "start", seed=recipe.seed)
        began = Group.open(group or work / "start")
        owners = [
            Owner.of(one, work / "run" / OWNERS / str(k), replace(recipe, seed=recipe.seed + k), began)
            for k, one in enumerate(shards)
        ]
        rounds = Rounds(began, work, len(owners))
        while rounds.done < began.plan.rounds:
            rounds.play(owners, sent)
            say(f"{out.name}: round {rounds.done} of {began.plan.rounds}, {len(owners)} owners")
        body = rounds.body()
        told = told_of(began, len(owners), rounds.traffic)
        for owner in owners:
            if not owner.out.exists():
                owner.finish(body, told)
        write(work / "run", model_of(began), body, {**_began(began), **told}, out)
    return Group.open(out)


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

    def play(self, owners: Sequence[Owner], sent: Sent) -> None:
        """Play one round: the body to every owner, a change from each, and the outer step."""
        message, changes = packed(self.body()), []
        for k, owner in enumerate(owners):
            sent("body", k, message)
            name = f"change-{self.done + 1}-{k}"
            if not (self.folder / name).exists():
                self._write(name, packed(owner.turn(self.done, unpacked(message, self.shapes, "the group"))))
            sent("change", k, (self.folder / name).read_bytes())
            changes.append(self._read(name))
        self.step(outer.mean_of(changes), down=len(message) * len(owners), up=sum(len(packed(one)) for one in changes))

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


def _began(group: Group) -> dict[str, Any]:
    return {name: value for name, value in group.told.items() if name not in ("format", "weights", "body")}


@contextmanager
def _working(out: Path, about: dict[str, Any], *, resume: Resume, force: bool) -> Iterator[Path]:
    """Yield the hidden folder of `out`, as it was left or new; in the end `run` in it becomes `out`.

    Raises `OutputExists` or `TrainingError` as `ult.trainer.workdir.working_folder`.
    """
    if resume and force:
        raise InvalidConfig("resume and force were both given; expected one of them")
    check_free(out, KIND, force=force)
    asked, partial = json.loads(json.dumps(about)), partial_folder(out)
    with Claim(out, journal=JOURNAL) as claim:
        there = claim.keep = (partial / JOURNAL).exists()
        if there and resume:
            _check_same(partial / JOURNAL, asked, out)
        elif there and not force:
            raise OutputExists(f"an unfinished federation of {out} is there", hint="--resume, or --force")
        elif resume is True:
            raise TrainingError(f"no unfinished federation of {out} to resume", hint="leave out --resume")
        else:
            with writing(out):
                claim.clear()
                fresh = partial / f"{JOURNAL}.tmp"
                fresh.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
                fresh.replace(partial / JOURNAL)
        claim.keep = False
        try:
            yield partial
        except BaseException as error:
            claim.keep = any(hidden(partial / "run" / OWNERS / "0").glob("checkpoint-*")) or any(
                partial.glob("change-*")
            )
            if claim.keep:
                error.add_note(_KEPT)
            raise
        check_free(out, KIND, force=force)
        claim.publish(partial / "run")


def _check_same(journal: Path, asked: dict[str, Any], out: Path) -> None:
    try:
        before = json.loads(journal.read_text(encoding="utf-8"))
        changed = [name for name in asked if before[name] != asked[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"the unfinished federation of {out} is damaged", hint="--force to start again") from error
    if changed:
        raise TrainingError(
            f"the unfinished federation of {out} was started with another {', '.join(changed)}",
            hint="the same options, or --force to start again",
        )

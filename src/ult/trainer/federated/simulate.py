"""Play a whole federation on this machine: every owner in turn, by the same messages that would travel.

A simulation works in the hidden folder of its output. A body is written there once its round is done, and a change once
its owner has told it; so a simulation that is killed at any moment goes on to the very same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ult.errors import InvalidConfig
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.packing import open_shards, summary
from ult.trainer.federated.asked import read_ready
from ult.trainer.federated.body import packed, unpacked
from ult.trainer.federated.group import OWNERS, Group, begin, model_of, write
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds, beginning, told_of
from ult.trainer.federated.working import working
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import Resume

Sent = Callable[[str, int, bytes], None]  # called with each message: "body" or "change", the owner's number, its bytes


def check_given(shards: Sequence[str | Path], group: str | Path | None, start: str | None, plan: Plan | None) -> None:
    """Raise `InvalidConfig` for fewer than two owners, and for a group beside what one is made of."""
    if len(shards) < 2:
        raise InvalidConfig(f"{len(shards)} owner was given; expected two or more", hint="a.shards b.shards c.shards")
    if group is not None and (start is not None or plan is not None):
        raise InvalidConfig("a group and what one is made of were both given; expected one of them", hint="--group")


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
    check_given(shards, group, start, plan)
    opened = [open_shards([one])[0] for one in shards]
    about = {
        "recipe": recipe.shaping(),
        "data": summary(opened),
        "group": Group.open(group).digest if group else {"start": start or "tiny", **asdict(plan or Plan())},
    }
    with working(out, about, resume=resume, force=force) as work:
        if group is None and not (work / "start").exists():
            begin(start or "tiny", plan or Plan(), work / "start", seed=recipe.seed)
        began = Group.open(group or work / "start")
        names = began.plan.owners or tuple(map(str, range(len(shards))))
        if len(names) != len(shards):
            raise InvalidConfig(f"{len(shards)} shards folders were given; the group has {len(names)} owners")
        owners = [
            Owner.of(one, work / "run" / OWNERS / str(k), replace(recipe, seed=recipe.seed + k), began, names[k],
                     _secrets(names, k) if began.plan.secure else None)
            for k, one in enumerate(shards)
        ]  # fmt: skip
        rounds = Rounds(began, work, len(owners))
        while rounds.done < began.plan.rounds:
            _play(rounds, owners, sent)
            say(f"{out.name}: round {rounds.done} of {began.plan.rounds}, {len(owners)} owners")
        body = rounds.body()
        told = told_of(rounds)
        for owner in owners:
            if not owner.out.exists():
                owner.finish(body, told)
        write(work / "run", model_of(began), body, {**beginning(began), **told}, out)
    return Group.open(out)


def _play(rounds: Rounds, owners: Sequence[Owner], sent: Sent) -> None:
    """Play one round: the body to every owner, a change from each, and the outer step."""
    message, answers = packed(rounds.body()), {}
    for k, owner in enumerate(owners):
        sent("body", k, message)
        if rounds.told(k) is None and rounds.members() is None:
            answers[k] = owner.message(rounds.done, unpacked(message, rounds.shapes, "the group"))
            if not rounds.group.plan.secure:
                rounds.tell(k, answers[k], f"owner {k}")
    if rounds.group.plan.secure:
        _mask(rounds, owners, answers)
    for k in range(len(owners)):
        sent("change", k, rounds.told(k) or b"")
    rounds.close(down=len(message) * len(owners))


def _mask(rounds: Rounds, owners: Sequence[Owner], answers: dict[int, bytes]) -> None:
    """Have every owner mask its change for all others."""
    if (members := rounds.members()) is None:
        members = {k: read_ready(answer, owners[k].name) for k, answer in answers.items()}
        rounds.agree(members)
    named = {owners[k].name: drawn for k, drawn in members.items()}
    for k, owner in enumerate(owners):
        if rounds.told(k) is None:
            rounds.tell(k, owner.masked(rounds.done, named), owner.name)


def _secrets(names: Sequence[str], k: int) -> dict[str, bytes]:
    """Return what stands for the secrets of an owner: nobody listens to a simulation, and masks leave no trace."""
    return {other: f"{min(names[k], other)} {max(names[k], other)}".encode() for other in names if other != names[k]}

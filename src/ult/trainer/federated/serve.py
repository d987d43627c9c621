"""The server of a group: gives owners the body, takes their changes, and makes the next body of them.

It works in the hidden folder of its output as a simulation does: what an owner told is kept, and a body once its round
is done. A server that is killed goes on from there, and asks for nothing that it was told; an owner that is asked twice
tells the same twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig, OutputExists
from ult.host.free import check_free
from ult.trainer.callbacks.progress import say
from ult.trainer.federated.asked import read_ready, ready, task
from ult.trainer.federated.body import HEADER, Body, packed, weights
from ult.trainer.federated.channel import Certificates, Desk, Served
from ult.trainer.federated.group import KIND, Group, is_group, model_of, write
from ult.trainer.federated.plan import NAME
from ult.trainer.federated.rounds import Rounds, beginning, told_of
from ult.trainer.federated.working import working
from ult.trainer.workdir import Resume

WAIT = 600.0  # seconds that a round waits for owners beyond those whom it needs
LAST = 60.0  # seconds that a server whose rounds are all done waits for owners to take the last body


def serve(
    group: str | Path,
    out: str | Path,
    owners: Sequence[str],
    address: str,
    *,
    certificates: Certificates | None = None,
    wait: float | None = None,
    resume: Resume = False,
    force: bool = False,
) -> Group:
    """Serve a group to its `owners`, by name, until all rounds are done; return the group that came of it.

    `out` is the group with its last body. A group whose plan says `at_least` closes a round without owners who do not
    answer within `wait` seconds. With `resume`, a group that is there already is given to owners who were lost at the
    end. Raises `InvalidConfig`, `MissingSource`, `OutputExists`, `OutputError`, or
    `FormatError` and `TrainingError`, naming the owner, for an answer that is no body.
    """
    out = Path(out)
    there = Group.open(out) if resume and not force and is_group(out) else None
    if there is None:
        check_free(out, KIND, force=force)
    began = Group.open(group)
    if there is not None and there.told.get("group") != began.digest:
        raise OutputExists(f"{out} is of another group than {began.path}", hint="another --out")
    if began.plan.owners and owners and set(owners) != set(began.plan.owners):
        raise InvalidConfig(f"the group's owners are {', '.join(began.plan.owners)}", hint="leave out --owner")
    owners = list(began.plan.owners or owners)
    if len(owners) < 2 or len(set(owners)) != len(owners) or not all(NAME.fullmatch(one) for one in owners):
        raise InvalidConfig(
            "expected two or more owners, each with a name of its own", hint="--owner north --owner south"
        )
    if len(owners) < began.plan.at_least:
        raise InvalidConfig(f"{len(owners)} owners were given; the group agreed on {began.plan.at_least} or more")
    if wait is not None and not began.plan.at_least:
        raise InvalidConfig(
            "wait was given for a group that waits for all of its owners", hint="ult federate init --at-least 3"
        )
    most = 4 * weights(began.shapes()) + HEADER
    if there is not None:
        desk = Desk(owners, most)
        with Served(desk, address, certificates) as served:
            say(f"{out.name}: all rounds are done; the last body is at port {served.port} for {LAST:.0f} seconds")
            _give(desk, began, there.body(), there.told, out)
        return there
    about = {"group": began.digest, "owners": list(owners)}
    with working(out, about, resume=resume, force=force) as work:
        (work / "run").mkdir(exist_ok=True)
        rounds = Rounds(began, work, len(owners))
        desk = Desk(owners, most)
        with Served(desk, address, certificates) as served:
            say(f"{out.name}: waiting for {', '.join(owners)} at port {served.port}")
            while rounds.done < began.plan.rounds:
                missed = rounds.missed
                _round(rounds, desk, WAIT if wait is None else wait)
                lost = [name for name, old, new in zip(owners, missed, rounds.missed, strict=True) if new > old]
                say(
                    f"{out.name}: round {rounds.done} of {began.plan.rounds}"
                    + (f", without {', '.join(lost)}" if lost else "")
                )
            body, told = rounds.body(), told_of(rounds)
            _give(desk, began, body, told, out)
        write(work / "run", model_of(began), body, {**beginning(began), **told}, out)
    return Group.open(out)


def _give(desk: Desk, began: Group, body: Body, told: dict[str, Any], out: Path) -> None:
    """Give the last body to all owners, and say who did not take it."""
    last = task({"group": began.digest, "done": told}, packed(body))
    if lacking := sorted(set(desk.owners) - set(desk.ask(dict.fromkeys(desk.owners, last), LAST))):
        say(f"note: {', '.join(lacking)} did not take the last body: serve {out.name} again with --resume")


def _round(rounds: Rounds, desk: Desk, wait: float) -> None:
    """Ask every owner that has not told its change in this round, and make the next body."""
    plan, owners = rounds.group.plan, desk.owners
    told = task({"group": rounds.group.digest, "round": rounds.done}, packed(rounds.body()))
    patience, least = (wait, plan.fewest(len(owners))) if plan.at_least else (None, 0)
    asked = {name: k for k, name in enumerate(owners) if rounds.told(k) is None}
    done = len(owners) - len(asked)
    if not plan.secure:
        for name, answer in desk.ask(dict.fromkeys(asked, told), patience, max(0, least - done)).items():
            rounds.tell(asked[name], answer, name)
        rounds.close(down=len(told) * sum(rounds.told(k) is not None for k in range(len(owners))))
        return
    if rounds.members() is None:
        answers = desk.ask(dict.fromkeys(asked, told), patience, least)
        rounds.agree({asked[name]: read_ready(answer, name) for name, answer in answers.items()})
    _sum(rounds, desk, patience, down=len(told))


def _sum(rounds: Rounds, desk: Desk, patience: float | None, *, down: int) -> None:
    """Ask the owners of a masked sum for their changes; `down` bytes were sent to each before."""
    members = rounds.members() or {}
    named = {desk.owners[k]: drawn for k, drawn in members.items()}
    told = task({"group": rounds.group.digest, "round": rounds.done, "with": named})
    lacking = {desk.owners[k]: k for k in members if rounds.told(k) is None}
    for name, answer in desk.ask(dict.fromkeys(lacking, told), patience).items():
        rounds.tell(lacking[name], answer, name)
    if lost := sorted(name for name, k in lacking.items() if rounds.told(k) is None):
        say(f"note: round {rounds.done + 1} changes nothing: {', '.join(lost)} was lost after saying it was ready")
    up = sum(len(ready(drawn)) for drawn in members.values())
    rounds.close(down=(down + len(told)) * len(members), up=up)

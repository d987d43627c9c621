"""The server of a group: gives owners the body, takes their changes, and makes the next body of them.

It works in the hidden folder of its output as a simulation does: what an owner told is kept, and a body once its round
is done. A server that is killed goes on from there, and asks for nothing that it was told; an owner that is asked twice
tells the same twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig
from ult.host.free import check_free
from ult.trainer.callbacks.progress import say
from ult.trainer.federated.body import HEADER, packed, unpacked, weights
from ult.trainer.federated.channel import Certificates, Desk, Line, Served
from ult.trainer.federated.group import KIND, Group, model_of, write
from ult.trainer.federated.local import steps_done
from ult.trainer.federated.owner import Owner
from ult.trainer.federated.plan import NAME
from ult.trainer.federated.rounds import Rounds, beginning, told_of
from ult.trainer.federated.working import working
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import RUN, Resume

PATIENCE = 600.0  # seconds that an owner tries to reach a server
LAST = 60.0  # seconds that a server whose rounds are all done waits for owners to take the last body


def serve(
    group: str | Path,
    out: str | Path,
    owners: Sequence[str],
    address: str,
    *,
    certificates: Certificates | None = None,
    resume: Resume = False,
    force: bool = False,
) -> Group:
    """Serve a group to its `owners`, by name, until all rounds are done; return the group that came of it.

    `out` is the group with its last body. Raises `InvalidConfig`, `MissingSource`, `OutputExists`, `OutputError`, or
    `FormatError` and `TrainingError`, naming the owner, for an answer that is no body.
    """
    out = Path(out)
    check_free(out, KIND, force=force)
    began = Group.open(group)
    owners = list(owners) or list(began.plan.owners)
    if began.plan.owners and set(owners) != set(began.plan.owners):
        raise InvalidConfig(f"the group's owners are {', '.join(began.plan.owners)}", hint="leave out --owner")
    if len(owners) < 2 or len(set(owners)) != len(owners) or not all(NAME.fullmatch(one) for one in owners):
        raise InvalidConfig(
            "expected two or more owners, each with a name of its own", hint="--owner north --owner south"
        )
    about = {"group": began.digest, "owners": list(owners)}
    with working(out, about, resume=resume, force=force) as work:
        (work / "run").mkdir(exist_ok=True)
        rounds = Rounds(began, work, len(owners))
        desk = Desk(owners, 4 * weights(rounds.shapes) + HEADER)
        with Served(desk, address, certificates) as served:
            say(f"{out.name}: waiting for {', '.join(owners)} at port {served.port}")
            while rounds.done < began.plan.rounds:
                _round(rounds, desk)
                say(f"{out.name}: round {rounds.done} of {began.plan.rounds}")
            body, told = rounds.body(), told_of(began, len(owners), rounds.traffic)
            task = _task({"group": began.digest, "done": told}, packed(body))
            lacking = set(owners) - set(desk.ask(dict.fromkeys(owners, task), LAST))
        if lacking:
            say(f"note: {', '.join(sorted(lacking))} did not take the last body: serve {out.name} again with --resume")
        write(work / "run", model_of(began), body, {**beginning(began), **told}, out)
    return Group.open(out)


def _round(rounds: Rounds, desk: Desk) -> None:
    """Ask every owner that has not told its change in this round, and make the next body."""
    task = _task({"group": rounds.group.digest, "round": rounds.done}, packed(rounds.body()))
    asked = {name: k for k, name in enumerate(desk.owners) if rounds.told(k) is None}
    for name, answer in desk.ask(dict.fromkeys(asked, task)).items():
        rounds.tell(asked[name], answer, name)
    rounds.close(down=len(task) * len(desk.owners))


def join(
    group: str | Path,
    shards: str | Path,
    out: str | Path,
    recipe: Recipe,
    address: str,
    owner: str,
    *,
    certificates: Certificates | None = None,
    secrets: Mapping[str, bytes] | None = None,
    patience: float = PATIENCE,
) -> dict[str, Any]:
    """Take part in a group as one of its owners; write its run `out`, the last body with its own rows.

    The owner has the group's folder itself: the server can neither change the plan nor ask for another weight. The same
    call goes on after the owner or the server was killed. Returns what the run's `metrics.json` says. Raises as
    `ult.train`, and `TrainingError` for a server of another group or one that cannot be reached.
    """
    check_free(out, RUN, force=False)
    began = Group.open(group)
    mine, shapes = Owner.of(shards, Path(out), recipe, began, owner, secrets), began.shapes()
    line = Line(address, owner, certificates, most=4 * weights(shapes) + HEADER)
    found: dict[str, Any] = {}

    def work(task: bytes) -> bytes | None:
        asked, data = _read(task, began)
        body = unpacked(data, shapes, "the server")
        if "done" in asked:
            found.update(mine.finish(body, _told(asked["done"])))
            return None
        return mine.message(_number(asked.get("round"), began), body)

    try:
        line.tasks(work, patience=patience)
    except BaseException as error:
        if steps_done(mine.out):
            error.add_note("what is done is kept: the same command goes on from it")
        raise
    return found


# ---- what a task says


def _task(says: dict[str, Any], body: bytes) -> bytes:
    return json.dumps(says).encode() + b"\n" + body


def _read(task: bytes, group: Group) -> tuple[dict[str, Any], bytes]:
    """Return what a task asks, and the body in it. Raises `FormatError`."""
    head, _, body = task.partition(b"\n")
    try:
        asked = json.loads(head)
        named = asked["group"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError("the server asks for nothing that a server asks for") from error
    if named != group.digest:
        raise FormatError(f"the server has another group than {group.path}", hint="the group's folder as it is now")
    return asked, body


def _number(value: Any, group: Group) -> int:
    if type(value) is not int or not 0 <= value < group.plan.rounds:
        raise FormatError(f"the server asks for round {value!r:.40} of {group.plan.rounds}")
    return value


def _told(value: Any) -> dict[str, Any]:
    """Return what the server says of the federation, as far as a run's `metrics.json` keeps it."""
    names = ("group", "rounds", "local_steps", "outer", "secure", "owners", "traffic")
    return {name: value[name] for name in names if name in value} if isinstance(value, dict) else {}

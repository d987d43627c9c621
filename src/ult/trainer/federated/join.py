"""An owner's side of a group over a network: it asks the server for tasks, and answers them from its own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.free import check_free
from ult.trainer.federated.asked import members_in, read_task, round_in, told_in
from ult.trainer.federated.body import HEADER, unpacked, weights
from ult.trainer.federated.channel import Certificates, Line
from ult.trainer.federated.group import Group
from ult.trainer.federated.local import steps_done
from ult.trainer.federated.owner import Owner
from ult.trainer.recipe import Recipe
from ult.trainer.workdir import RUN

PATIENCE = 600.0  # seconds that an owner tries to reach a server


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
    seeded: bool = False,
) -> dict[str, Any]:
    """Take part in a group as one of its owners; write its run `out`, the last body with its own rows.

    The owner has the group's folder itself: the server can neither change the plan nor ask for another weight. The same
    call goes on after the owner or the server was killed. No seed draws its first rows, so that nobody else has
    them; with `seeded` the recipe's does, to have the same run again, and whoever tries all seeds has them too.

    Returns what the run's `metrics.json` says. Raises as `ult.train`, `InvalidConfig` for noise that a seed draws, and
    `TrainingError` for a server of another group or one that cannot be reached.
    """
    check_free(out, RUN, force=False)
    began = Group.open(group)
    if recipe.epsilon is not None and not recipe.secure_random:
        raise InvalidConfig(
            "the noise was asked for by a seed: a server that tries all seeds takes it away",
            hint="leave out --no-secure-random; ult federate simulate has it, to try it out",
        )
    mine = Owner.of(shards, Path(out), recipe, began, owner, secrets, seeded=seeded)
    shapes = began.shapes()
    line = Line(address, owner, certificates, most=4 * weights(shapes) + HEADER)
    found: dict[str, Any] = {}

    def work(task: bytes) -> bytes | None:
        asked, data = read_task(task, began)
        if "with" in asked:
            return mine.masked(round_in(asked, began), members_in(asked, began))
        body = unpacked(data, shapes, "the server")
        if "done" in asked:
            found.update(mine.finish(body, told_in(asked, began)))
            return None
        return mine.message(round_in(asked, began), body)

    try:
        line.tasks(work, patience=patience)
    except BaseException as error:
        if steps_done(mine.out):
            error.add_note("what is done is kept: the same command goes on from it")
        raise
    return found

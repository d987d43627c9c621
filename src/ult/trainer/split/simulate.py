"""Play a split training on this machine: every owner in turn, and the server, by the very messages that would travel.

A simulation works in the hidden folder of its output, as one of a whole body does: what an owner keeps of a round, and
then its change, are written there once it has trained, and the group's weights once the round is done. So a simulation
that is killed at any moment goes on to the very same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.distribution import versions
from ult.host.extras import require
from ult.public.metrics import FORMAT
from ult.public.shards import Shards
from ult.trainer.callbacks.progress import say
from ult.trainer.datasets.blocks import Blocks
from ult.trainer.datasets.packing import open_shards, pack, summary
from ult.trainer.federated.body import Body, body_of, packed, put, unpacked
from ult.trainer.federated.group import OWNERS, Group, begin, model_of, write
from ult.trainer.federated.plan import Plan
from ult.trainer.federated.rounds import Rounds, beginning, told_of
from ult.trainer.federated.simulate import Sent, check_given
from ult.trainer.federated.working import working
from ult.trainer.models.build import from_checkpoint
from ult.trainer.models.earlier import began_with
from ult.trainer.models.prompted import Prompted
from ult.trainer.recipe import OPTIONS, Recipe
from ult.trainer.split.client import DOWN, FLOPS, UP, Client, Kept
from ult.trainer.split.cut import Server, shared_of
from ult.trainer.split.plan import Split
from ult.trainer.workdir import Resume, founding, save

with require("transformers", extra="train"):
    from transformers import set_seed

OPTIONS_OF = (
    "context",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "warmup",
    "seed",
)  # of a recipe, that count here


@dataclass(frozen=True, slots=True)
class Ends(Group):
    """A group of which owners average no more than what they hold: `weights` take the place of its body."""

    weights: Body = field(default_factory=dict)

    def body(self) -> Body:
        """Return what owners average."""
        return self.weights


def simulate(
    shards: Sequence[str | Path],
    out: str | Path,
    recipe: Recipe,
    split: Split,
    *,
    start: str | None = None,
    group: str | Path | None = None,
    plan: Plan | None = None,
    sent: Sent = lambda what, owner, message: None,
    resume: Resume = False,
    force: bool = False,
) -> Group:
    """Train the ends of a model with the owners of `shards`, one folder each; return the group that came of it.

    What is between the ends is that of a run, `start` or the one that `group` was made of, and stays as it is. Other
    arguments, and `out`, are those of `ult.trainer.federated.simulate`. The runs of owners are of whole models, soft
    prompts among their weights. `sent` is called with "weights" and "change", and with "hidden states" and "gradients",
    each up and down.

    Raises as `ult.train`, and `InvalidConfig` for what cannot be split, and for options that a split training has not.
    """
    out = Path(out)
    check_given(shards, group, start, plan)
    for name, one in OPTIONS.items():
        if one.is_set(recipe) and name not in OPTIONS_OF:
            raise InvalidConfig(
                f"{name} was given for a split training, which has it not", hint=f"leave out {one.flag}"
            )
    opened = [open_shards([one])[0] for one in shards]
    about = {
        "recipe": recipe.shaping(),
        "data": summary(opened),
        "group": Group.open(group).digest if group else {"start": start, **asdict(plan or Plan())},
        "split": asdict(split),
    }
    with working(out, about, resume=resume, force=force) as work:
        if group is None and not (work / "start").exists():
            begin(start or "tiny", plan or Plan(), work / "start", seed=recipe.seed)
        began = Group.open(group or work / "start")
        _check(began, len(shards))
        set_seed(recipe.seed)
        whole = Prompted.of(model_of(began), split.prompts)
        split.check(len(whole.model.layers), recipe.context)
        server = Server(whole, split.blocks, split.wire)
        rounds = Rounds(Ends(began.path, began.plan, began.told, shared_of(whole, split.blocks)), work, len(shards))
        owners = [_client(one, began, split, replace(recipe, seed=recipe.seed + k)) for k, one in enumerate(opened)]
        while rounds.done < began.plan.rounds:
            _play(rounds, owners, server, sent)
            say(f"{out.name}: round {rounds.done} of {began.plan.rounds}, {len(owners)} owners")
        told = told_of(rounds)
        kept = [Kept.read(_kept(rounds, k, rounds.done)) for k in range(len(owners))]
        told["split"] = {**asdict(split), "operations": [one.counted[FLOPS] for one in kept]}
        of_all = {**began_with(replace(recipe, model=str(began.path))), "federated": told}
        for k, (client, last) in enumerate(zip(owners, kept, strict=True)):
            put(client.whole, {**rounds.body(), **{name: last.tensors[name] for name in client.rows}})
            if not (path := work / "run" / OWNERS / str(k)).exists():
                with founding(
                    path, opened[k].vocabulary, _metrics(client, opened[k], last, of_all), force=False
                ) as folder:
                    save(client.whole, folder, path)
        put(whole, rounds.body())
        write(work / "run", whole, body_of(whole), {**beginning(began), **told}, out)
    return Group.open(out)


def _check(group: Group, owners: int) -> None:
    """Raise `InvalidConfig` for a group whose model is not to be split, or whose plan is of other things."""
    plan = group.plan
    if len(plan.owners or range(owners)) != owners:
        raise InvalidConfig(f"{owners} shards folders were given; the group has {len(plan.owners)} owners")
    if group.told["from_run"] is None:
        raise InvalidConfig(
            "the server's blocks stay as they begin, and this group's are drawn at random; expected those of a run",
            hint="--start RUN, a run on public records",
        )
    for name in ("secure", "last_alone", "at_least"):
        if getattr(plan, name):
            raise InvalidConfig(f"the group's plan says {name}, which a split training has not", hint="--start RUN")


def _client(shards: Shards, began: Group, split: Split, recipe: Recipe) -> Client:
    """Return an owner, with rows drawn by its seed."""
    set_seed(recipe.seed)
    whole = Prompted.of(from_checkpoint(str(began.path), shards.vocabulary), split.prompts)
    with tempfile.TemporaryDirectory(prefix="ult-") as folder:
        pack([shards], Path(folder))
        mapped = Blocks.open(Path(folder), context=recipe.context)
        data = Blocks(mapped.stream.copy(), mapped.ends.copy(), recipe.context)
    return Client(whole, data, recipe, split, began.plan.rounds, began.plan.local_steps)


def _play(rounds: Rounds, owners: Sequence[Client], server: Server, sent: Sent) -> None:
    """Play one round: the group's weights to every owner, its turn with the server, its change, and the outer step."""
    message, number = packed(rounds.body()), rounds.done
    up, down = 0, len(message) * len(owners)
    for k, owner in enumerate(owners):

        def ask(what: str, asked: bytes, k: int = k) -> bytes:
            answer = server.answer(what, asked, f"owner {k}")
            sent(f"{what} up", k, asked)
            sent(f"{what} down", k, answer)
            return answer

        sent("weights", k, message)
        before = Kept.read(_kept(rounds, k, number)) if number else None
        if rounds.told(k) is None:
            change, kept = owner.turn(number, unpacked(message, rounds.shapes, "the group"), before, ask)
            rounds.keep(_kept(rounds, k, number + 1).name, kept.packed())
            rounds.tell(k, packed(change), f"owner {k}")
        sent("change", k, rounds.told(k) or b"")
        after = Kept.read(_kept(rounds, k, number + 1))
        up += after.counted[UP] - (before.counted[UP] if before else 0)
        down += after.counted[DOWN] - (before.counted[DOWN] if before else 0)
    rounds.close(down=down, up=up)
    for k in range(len(owners)):
        rounds.forget(_kept(rounds, k, number).name)


def _kept(rounds: Rounds, owner: int, number: int) -> Path:
    """Return where an owner keeps what it has after so many rounds."""
    return rounds.folder / f"kept-{number}-{owner}"


def _metrics(client: Client, shards: Shards, kept: Kept, told: dict[str, Any]) -> dict[str, Any]:
    """Return what `metrics.json` says of an owner's run; `told` is what it says of the federation and its beginning."""
    recipe, each = client.recipe, client.alone + client.local
    return {
        "format": FORMAT,
        "task": recipe.task,
        "context": recipe.context,
        "recipe": asdict(recipe) | {"model": "start"},
        "model": "start",
        "embeddings": "fresh",
        "initial_weights": "loaded",
        "steps": recipe.steps,
        "batch_size": recipe.batch_size,
        "learning_rate": client.rate,
        "weight_decay": recipe.weight_decay,
        "warmup_steps": recipe.warmup_steps,
        "seed": recipe.seed,
        "parameters": client.whole.num_parameters(),
        "label": None,
        "classes": [],
        "modality_token": False,
        "privacy": None,
        "loss": [[each * (number + 1), loss] for number, loss in enumerate(kept.losses)],
        "shards": summary([shards]),
        "targets": [],
        "validation": None,
        "versions": versions("torch", "transformers", "numpy"),
        **told,
    }

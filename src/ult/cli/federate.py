"""`ult federate`: one body that several owners train together; tables and embedding rows stay where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.options import Force
from ult.cli.train import recipe_of, with_options
from ult.errors import InvalidConfig
from ult.trainer.federated.plan import NOT_ALONE, RULES, Plan
from ult.trainer.split.plan import WIRES, Split

_PLAN, _ONE, _SPLIT = Plan(), Split(1), "A model that is split between owners and server"
Rounds = Annotated[
    int | None, typer.Option(min=1, help=f"How often owners tell how the body changed.  [default: {_PLAN.rounds}]")
]
LocalSteps = Annotated[
    int | None,
    typer.Option(min=1, metavar="STEPS", help=f"Steps of each owner in a round.  [default: {_PLAN.local_steps}]"),
]
Outer = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help=f"What is made of the owners' changes: average adds their mean, nesterov gives it momentum, as DiLoCo "
        f"does.  [default: {_PLAN.outer}; one of {', '.join(RULES)}]",
    ),
]


def _of_split(name: str, default: object) -> Any:
    """Return how an option of a split model is shown."""
    return {"rich_help_panel": _SPLIT, "help": f"{name}; with --split.  [default: {default}]"}


SplitBlocks = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="BLOCKS",
        rich_help_panel=_SPLIT,
        help="Owners hold rows and so many blocks at either end of the model of a run, and the server those between, "
        "which stay as they are. It sees hidden states, which can be turned back into ids: see docs/howto/federate.  "
        "[default: owners train whole models]",
    ),
]
Prompts = Annotated[
    int | None,
    typer.Option(min=1, **_of_split("Vectors before each block of ids, which are learned", _ONE.prompts)),
]
Prune = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        **_of_split(
            "The share of its records that an owner does not ask the server about, those that are predicted best",
            _ONE.prune,
        ),
    ),
]
SelfUpdate = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="PASSES",
        **_of_split(
            "Passes over its records in which an owner trains the ends alone, each round, before it asks the server",
            _ONE.self_update,
        ),
    ),
]
Wire = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        **_of_split(f"What hidden states and gradients travel as, one of {', '.join(WIRES)}", _ONE.wire),
    ),
]
NoSplit = Annotated[int | None, typer.Option("--split", hidden=True)]  # to say what to type instead


def init(
    start: Annotated[
        str,
        typer.Argument(
            metavar="START", help="tiny, small or smollm2-135m, drawn at random; or a run, whose body is taken."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the group to write.")],
    rounds: Rounds = None,
    local_steps: LocalSteps = None,
    outer: Outer = None,
    owner: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The name of an owner, if they are agreed on; repeatable.")
    ] = None,
    secure: Annotated[
        bool, typer.Option("--secure", help="Let the server see no change but the sum of all; three owners or more.")
    ] = False,
    at_least: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="OWNERS",
            help="Close a round without owners who are lost, if so many are there.  [default: all]",
        ),
    ] = None,
    last_alone: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Steps of each owner after the last round, told to nobody.")
    ] = _PLAN.last_alone,
    seed: Annotated[int, typer.Option(min=0, help="What the body is drawn by.")] = 0,
    split: NoSplit = None,
    force: Force = False,
) -> None:
    """Write a group: the body that it begins with, without embedding rows, and the plan that its owners agree on."""
    from ult.cli.console import note, say
    from ult.trainer.federated.group import begin

    _check_whole(split)
    plan = replace(
        _plan(rounds, local_steps, outer) or _PLAN, owners=owner or (), secure=secure, at_least=at_least or 0
    )
    group = begin(start, plan, out, seed=seed, force=force)
    _tell(group.told, out)
    if group.told["from_run"]:
        note(
            "whoever has that run's rows may find out by them what ids a change was learnt on: see docs/howto/federate"
        )
    say(f"next: ult federate simulate A.shards B.shards --group {out} -o together")


@with_options("force", without=NOT_ALONE)
def simulate(
    shards: Annotated[list[Path], typer.Argument(metavar="SHARDS...", help="Shards folders, one for each owner.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write: the body, and in owners/ each one's run.")
    ],
    group: Annotated[
        Path | None, typer.Option(help="What ult federate init wrote: the body to begin with, and the plan.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="START", help="Without --group: as of ult federate init.  [default: tiny]")
    ] = None,
    rounds: Rounds = None,
    local_steps: LocalSteps = None,
    outer: Outer = None,
    split: SplitBlocks = None,
    prompts: Prompts = None,
    prune: Prune = None,
    self_update: SelfUpdate = None,
    wire: Wire = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Options by name, as ult train --write-config writes them.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with an interrupted simulation; as --resume auto, also begin one.")
    ] = False,
    resume_auto: Annotated[bool, typer.Option("--resume-auto", hidden=True)] = False,
    force: Force = False,
    **options: Any,
) -> None:
    """Play a federation on this machine: every owner in turn, by the very messages that would travel."""
    from ult.cli.console import note, say

    whole: dict[str, Any] = {
        "start": start,
        "group": group,
        "plan": _plan(rounds, local_steps, outer),
        "resume": "auto" if resume_auto else resume,
        "force": force,
    }
    asked = _split(split, {"prompts": prompts, "prune": prune, "self_update": self_update, "wire": wire})
    if asked is None:
        from ult.trainer.federated.simulate import simulate as run

        told = run(shards, out, recipe_of(config, options), **whole).told
    else:
        from ult.trainer.split.simulate import simulate as run_split

        told = run_split(shards, out, recipe_of(config, options), asked, **whole).told
        note("a server sees hidden states, which can be turned back into ids: see docs/howto/federate")
    _tell(told, out)
    sent = told["traffic"]
    say(f"{out}: {sent['down']:,} bytes to {told['owners']} owners, {sent['up']:,} from them")
    say(f"next: ult evaluate {out / 'owners' / '0'} {shards[0]}")


Address = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the server is.")]
Root = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The certificate that signed everybody's, PEM; 127.0.0.1 needs none."),
]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="One's own certificate, PEM; an owner's common name is its name.")
]
Key = Annotated[Path | None, typer.Option(metavar="FILE", help="The key of that certificate, PEM.")]


def serve(
    group: Annotated[Path, typer.Argument(metavar="GROUP", help="What ult federate init wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The group with its last body, to write.")],
    address: Address,
    owner: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An owner who takes part; repeatable.  [default: those of the group]"),
    ] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="How long a round waits for owners who may be left out.  [default: 600]"
        ),
    ] = None,
    root: Root = None,
    certificate: Certificate = None,
    key: Key = None,
    resume: Annotated[bool, typer.Option(help="Go on after an interrupt; as --resume auto, also begin.")] = False,
    resume_auto: Annotated[bool, typer.Option("--resume-auto", hidden=True)] = False,
    split: NoSplit = None,
    force: Force = False,
) -> None:
    """Serve a group to its owners: the body to each, the mean of their changes to all, round after round."""
    from ult.trainer.federated.serve import serve as run

    _check_whole(split)
    shown = _certificates(root, certificate, key)
    told = run(
        group,
        out,
        owner or [],
        address,
        certificates=shown,
        wait=wait,
        resume="auto" if resume_auto else resume,
        force=force,
    ).told
    _tell(told, out)


@with_options("root", without=NOT_ALONE)
def join(
    group: Annotated[Path, typer.Argument(metavar="GROUP", help="The group's folder, from whom it was agreed with.")],
    shards: Annotated[Path, typer.Argument(metavar="SHARDS", help="One's own shards.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run to write: the last body with one's own rows.")],
    server: Address,
    owner: Annotated[str, typer.Option(metavar="NAME", help="One's name in the group.")],
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="What one shares with another owner and nobody else, of a group with --secure; one for each.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Options by name, as ult train --write-config writes them.")
    ] = None,
    root: Root = None,
    certificate: Certificate = None,
    key: Key = None,
    split: NoSplit = None,
    **options: Any,
) -> None:
    """Take part in a group with one's own shards. The same command goes on if it was interrupted.

    Without --seed no seed draws one's first rows. With it the same run can be had again, and whoever tries all 2^31
    seeds has those rows, and reads by them what ids the first change was learnt on.
    """
    from ult.cli.console import note, say
    from ult.trainer.federated.join import join as run

    _check_whole(split)
    if seeded := options["seed"] is not None:
        note("--seed draws one's first rows: a server that tries all 2^31 reads by them what ids were learnt")
    metrics = run(
        group,
        shards,
        out,
        recipe_of(config, options),
        server,
        owner,
        certificates=_certificates(root, certificate, key),
        secrets=_secrets(secret or []),
        seeded=seeded,
    )
    say(f"{out}: {metrics['steps']:,} steps in {metrics['federated']['rounds']} rounds with others")
    say(f"next: ult evaluate {out} {shards}; ult release --private-embeddings keeps its rows apart, encrypted")


def _check_whole(split: int | None) -> None:
    """Raise `InvalidConfig` for a split model over a network."""
    if split is not None:
        raise InvalidConfig(
            "a split model is played on one machine alone: each batch asks the server and waits for it, and the rounds "
            "of a network have one message to an owner and one back",
            hint="ult federate simulate A.shards B.shards --start RUN --split 1, or whole bodies: leave out --split",
        )


def _secrets(given: list[str]) -> dict[str, bytes]:
    from ult.trainer.federated.masked import secret_in

    found = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or name in found:
            raise InvalidConfig(
                "expected --secret NAME=FILE, once for each other owner", hint="--secret north=north.key"
            )
        found[name] = secret_in(Path(path))
    return found


def _certificates(root: Path | None, certificate: Path | None, key: Path | None) -> Any:
    from ult.trainer.federated.channel import Certificates

    if root is None and certificate is None and key is None:
        return None
    if root is None or certificate is None or key is None:
        raise InvalidConfig("only some of root, certificate and key were given; expected all three")
    return Certificates(root, certificate, key)


def _plan(rounds: int | None, local_steps: int | None, outer: str | None) -> Plan | None:
    """Return the plan that a command gives, None if it gives nothing of it."""
    given = {"rounds": rounds, "local_steps": local_steps, "outer": outer}
    given = {name: value for name, value in given.items() if value is not None}
    return Plan(**given) if given else None  # type: ignore[arg-type]


def _split(blocks: int | None, given: dict[str, Any]) -> Split | None:
    """Return how a command splits a model; None if owners train whole ones."""
    given = {name: value for name, value in given.items() if value is not None}
    if blocks is None and given:
        raise InvalidConfig(f"{min(given)} was given without split", hint="--split 1")
    return None if blocks is None else Split(blocks, **given)


def _tell(told: dict[str, Any], out: Path) -> None:
    from ult.cli.console import say

    plan = told["plan"]
    say(
        f"{out}: a body of {told['weights']:,} weights, {plan['rounds']} rounds of {plan['local_steps']} steps, "
        f"changes by {plan['outer']}"
    )

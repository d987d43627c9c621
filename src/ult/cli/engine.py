"""How a command names the engine that its work runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ult.errors import InvalidConfig

if TYPE_CHECKING:
    from ult.owner.pipeline.engine import Engine

Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", "-w", min=1, help="Processes, or tasks at a time of Ray; all by default. No byte changes."
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="local: processes of this machine; ray: a Ray cluster. No byte changes.")
]
Address = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the Ray cluster; by default RAY_ADDRESS, or one that is started on this machine."),
]


def choose(engine: str, address: str | None, workers: int | None) -> Engine:
    """Return the engine; raise `InvalidConfig` unless it is local or ray, and an address is ray's."""
    if engine not in ("local", "ray"):
        raise InvalidConfig(f"engine is {engine!r}; expected local or ray", hint="--engine ray")
    if engine == "ray":
        from ult.owner.pipeline.ray_engine import Ray

        return Ray(address, workers=workers)
    if address is not None:
        raise InvalidConfig("an address is of a Ray cluster; the engine is local", hint="--engine ray --address ...")
    from ult.owner.pipeline.engine import Local

    return Local(workers)

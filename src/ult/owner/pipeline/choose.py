"""Which engine work runs on, as a caller names it."""

from __future__ import annotations

from ult.errors import InvalidConfig
from ult.owner.pipeline.engine import Engine, Local


def choose(engine: str, address: str | None, workers: int | None) -> Engine:
    """Return the engine; raise `InvalidConfig` unless it is local or ray, and an address is ray's."""
    if engine not in ("local", "ray"):
        raise InvalidConfig(f"engine is {engine!r}; expected local or ray", hint="--engine ray")
    if engine == "ray":
        from ult.owner.pipeline.ray_engine import Ray

        return Ray(address, workers=workers)
    if address is not None:
        raise InvalidConfig("an address is of a Ray cluster; the engine is local", hint="--engine ray --address ...")
    return Local(workers)

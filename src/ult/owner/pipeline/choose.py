"""Choose the engine that work runs on, by its name."""

from __future__ import annotations

from ult.errors import InvalidConfig
from ult.owner.pipeline.engine import Engine, Local


def choose(engine: str, address: str | None, workers: int | None) -> Engine:
    """Return the engine with this name, "local" or "ray", and so many workers; None lets the engine choose.

    `address` is that of a Ray cluster. Raises `InvalidConfig` for another name, or for an address with "local".
    """
    if engine not in ("local", "ray"):
        raise InvalidConfig(f"engine is {engine!r}; expected local or ray", hint="--engine ray")
    if engine == "ray":
        from ult.owner.pipeline.ray_engine import Ray

        return Ray(address, workers=workers)
    if address is not None:
        raise InvalidConfig("an address is of a Ray cluster; the engine is local", hint="--engine ray --address ...")
    return Local(workers)

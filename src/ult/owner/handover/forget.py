"""`ult.forget`: find records that are to be forgotten, and take them out of runs, shards and tables.

The functions do what the commands `ult forget find`, `ult forget run` and so on do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ult.public.gone import Gone
    from ult.trainer.forgetting.forget import Forgotten
    from ult.trainer.forgetting.forget import forget as run

__all__ = ["Forgotten", "Gone", "run"]

_HOME = {
    "Forgotten": ("ult.trainer.forgetting.forget", "Forgotten"),
    "Gone": ("ult.public.gone", "Gone"),
    "run": ("ult.trainer.forgetting.forget", "forget"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ult.forget' has no attribute {name!r}")
    module, found = _HOME[name]
    return getattr(import_module(module), found)


def __dir__() -> list[str]:
    return sorted(__all__)

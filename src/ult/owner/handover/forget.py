"""`ult.forget`: find records that are to be forgotten, and take them out of runs, shards and tables.

The functions do what the commands `ult forget find`, `ult forget run` and so on do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ult.owner.forgetting.find import Found, find
    from ult.owner.forgetting.table import Refitted
    from ult.owner.forgetting.table import refit as table
    from ult.public.gone import Gone
    from ult.trainer.forgetting.forget import Forgotten
    from ult.trainer.forgetting.forget import forget as run
    from ult.trainer.forgetting.lineage import Lineage, lineage
    from ult.trainer.forgetting.shards import Taken
    from ult.trainer.forgetting.shards import take_out as shards

__all__ = ["Forgotten", "Found", "Gone", "Lineage", "Refitted", "Taken", "find", "lineage", "run", "shards", "table"]

_HOME = {
    "Forgotten": ("ult.trainer.forgetting.forget", "Forgotten"),
    "Found": ("ult.owner.forgetting.find", "Found"),
    "Gone": ("ult.public.gone", "Gone"),
    "Lineage": ("ult.trainer.forgetting.lineage", "Lineage"),
    "Refitted": ("ult.owner.forgetting.table", "Refitted"),
    "Taken": ("ult.trainer.forgetting.shards", "Taken"),
    "find": ("ult.owner.forgetting.find", "find"),
    "lineage": ("ult.trainer.forgetting.lineage", "lineage"),
    "run": ("ult.trainer.forgetting.forget", "forget"),
    "shards": ("ult.trainer.forgetting.shards", "take_out"),
    "table": ("ult.owner.forgetting.table", "refit"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ult.forget' has no attribute {name!r}")
    module, found = _HOME[name]
    return getattr(import_module(module), found)


def __dir__() -> list[str]:
    return sorted(__all__)

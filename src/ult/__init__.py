"""Unified Lookup Tables: records become ids through a table that stays with its owner.

>>> import ult
>>> records = [f"the cat sat on mat {n}" for n in range(20)]
>>> table = ult.Table.fit(records, codec="text/bytes", vocabulary=ult.Vocabulary(size=512))
>>> table.decode(table.encode("the cat"))
'the cat'
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ult.host.distribution import __version__ as __version__

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from ult import audit, errors, synth
    from ult.codecs import CODECS
    from ult.codecs.base import Codec
    from ult.codecs.patches import Patches
    from ult.data.columns.describe import describe
    from ult.data.parts.split import split
    from ult.owner.decode import decode
    from ult.owner.encode import encode
    from ult.owner.fit import fit
    from ult.owner.handover import forget
    from ult.owner.handover.generate import generate
    from ult.owner.handover.predict import predict
    from ult.owner.table import Table
    from ult.owner.update import update_table
    from ult.public.run import Run
    from ult.public.shard_writer import ShardWriter
    from ult.public.shards import Shards
    from ult.public.vocabulary import Vocabulary
    from ult.trainer.adopt import adopt
    from ult.trainer.average import average
    from ult.trainer.distil import distil
    from ult.trainer.evaluation import evaluate
    from ult.trainer.recipe import Recipe
    from ult.trainer.training import train
    from ult.trainer.translation import translate

__all__ = [
    "CODECS",
    "Codec",
    "Patches",
    "Recipe",
    "Run",
    "ShardWriter",
    "Shards",
    "Table",
    "Vocabulary",
    "adopt",
    "audit",
    "average",
    "decode",
    "describe",
    "distil",
    "encode",
    "errors",
    "evaluate",
    "fit",
    "forget",
    "generate",
    "predict",
    "split",
    "synth",
    "train",
    "translate",
    "update_table",
]

_HOME = {
    "CODECS": "ult.codecs",
    "Codec": "ult.codecs.base",
    "Patches": "ult.codecs.patches",
    "Recipe": "ult.trainer.recipe",
    "Run": "ult.public.run",
    "ShardWriter": "ult.public.shard_writer",
    "Shards": "ult.public.shards",
    "Table": "ult.owner.table",
    "Vocabulary": "ult.public.vocabulary",
    "adopt": "ult.trainer.adopt",
    "average": "ult.trainer.average",
    "decode": "ult.owner.decode",
    "describe": "ult.data.columns.describe",
    "distil": "ult.trainer.distil",
    "encode": "ult.owner.encode",
    "evaluate": "ult.trainer.evaluation",
    "fit": "ult.owner.fit",
    "generate": "ult.owner.handover.generate",
    "predict": "ult.owner.handover.predict",
    "split": "ult.data.parts.split",
    "train": "ult.trainer.training",
    "translate": "ult.trainer.translation",
    "update_table": "ult.owner.update",
}
_MODULES = {"audit": "ult.audit", "errors": "ult.errors", "forget": "ult.owner.handover.forget", "synth": "ult.synth"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import ult` is instant."""
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'ult' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Moved:
    """Finds modules that have another name today, by the name that they had."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """Return what imports a module of ours that moved; Python asks here last."""
        if not name.startswith("ult."):
            return None
        from ult.host.moved import spec

        return spec(name)


sys.meta_path.append(_Moved)

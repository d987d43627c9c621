"""Synthetic records: made by a run that was trained on real ones, under one account of epsilon.

`synthesise` does what the command `ult synth` does, and returns `Synthesised`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ult.synth.making import synthesise
    from ult.synth.result import Synthesised

__all__ = ["Synthesised", "synthesise"]

_HOME = {"Synthesised": "ult.synth.result", "synthesise": "ult.synth.making"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ult.synth' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Import optional packages: one error names all that are missing, and the command that installs them.

    with require("torch", "transformers", extra="train"):
        import torch
        from transformers import Trainer

A command that needs several extras calls `require_all` before its first import, so that one error names all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeVar

from ult.errors import MissingExtra
from ult.host.distribution import install

T = TypeVar("T")
_MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn"}  # modules whose name is not that of the distribution


@contextmanager
def require(*packages: str, extra: str) -> Iterator[None]:
    """Raise `MissingExtra` if an import in the block fails; the error names all `packages` that are not installed."""
    try:
        yield
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        if missing := [package for package in packages if not is_installed(package)]:
            raise MissingExtra(*missing, extra=extra, hint=install(extra)) from error
        raise MissingExtra(*packages, extra=extra, because=str(error), hint=install(extra)) from error


def require_all(packages: Mapping[str, Sequence[str]]) -> None:
    """Raise one `MissingExtra` that names every package that is not installed; `packages` lists them by extra."""
    if missing := [name for names in packages.values() for name in names if not is_installed(name)]:
        extra = ",".join(packages)
        raise MissingExtra(*missing, extra=extra, hint=install(extra))


def is_installed(package: str) -> bool:
    """Return whether the module of a distribution can be found, without importing it."""
    module = _MODULES.get(package, package.replace("-", "_"))
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except ImportError:  # from an import finder that hides the module
        return False


def if_installed(load: Callable[[], T]) -> T | None:
    """Return what `load` imports for another package; None if something that it needs is not installed."""
    try:
        return load()
    except ImportError:
        return None

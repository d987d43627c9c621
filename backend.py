"""The build backend: that of setuptools, which also asks for zig's compiler where the system has none."""

from __future__ import annotations

import os
import shutil
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # what an installer calls besides
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]


def compiler() -> str | None:
    """Return the system's C compiler, as `setup.py` looks for it; None if there is none. Windows has its own ways."""
    return "cl" if os.name == "nt" else next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """Return what a wheel needs to be built."""
    return [*build_meta.get_requires_for_build_wheel(config_settings), *([] if compiler() else ["ziglang>=0.13"])]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """Return what an editable install needs to be built."""
    return [*build_meta.get_requires_for_build_editable(config_settings), *([] if compiler() else ["ziglang>=0.13"])]


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    """Return what a source distribution needs to be built."""
    return [*build_meta.get_requires_for_build_sdist(config_settings)]

"""Builds the kernels in C: one library of plain functions for every Python, with the system's compiler or with zig's.

Where neither is there, the install goes on without them, and the kernels in Numba do their work.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))
from backend import compiler  # noqa: E402  # an installer does not put this folder on the path

FOLDER = Path("src/ult/native")


def digest() -> str:
    """Return the digest by which the library is told from one of other sources."""
    return str(runpy.run_path(str(ROOT / "src/ult/host/native.py"))["sources"](ROOT / FOLDER))


class Build(build_ext):
    """Compiles a library that is loaded by its path, not imported."""

    def get_export_symbols(self, ext: Any) -> list[str]:
        """Return nothing: the sources say themselves what is called from outside."""
        return []

    def build_extensions(self) -> None:
        """Compile, with zig if the system has no compiler."""
        if compiler() is None and find_spec("ziglang"):
            zig = [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline", "-s"]
            self.compiler.set_executables(compiler_so=[*zig, "-fPIC"], linker_so=[*zig, "-shared"])
        super().build_extensions()


kernels = Extension(
    "ult.native.kernels",
    sources=[str(path) for path in sorted(FOLDER.glob("*.c"))],
    depends=[str(path) for path in sorted(FOLDER.glob("*.h"))],
    define_macros=[("ULT_SOURCES", f'"{digest()}"')],
    extra_compile_args=[] if os.name == "nt" else ["-O3", "-std=c11", "-fvisibility=hidden"],
    py_limited_api=True,
    optional=True,
)

setup(ext_modules=[kernels], cmdclass={"build_ext": Build}, options={"bdist_wheel": {"py_limited_api": "cp311"}})

"""Compile functions with Numba, and cache the machine code in a folder where no other user can put code.

Numba's own cache has four faults. It fails if neither the source folder nor $HOME can be written to, as in a read-only
installation without a home. It unpickles what it reads, so whoever can write to the folder can run code here. A torn
file makes every later run fail. It checks only a function's own file, so after an upgrade a function may call the old
code of another. Here the folder is named by a digest of all sources with kernels. It is used only if it and all folders
above it belong to this user, to root or to the owner of the source. Code that cannot be read or written is compiled
again. If there is no such folder, functions are compiled in memory, which takes some seconds per process.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ult.host import cache, compiling, distribution

PACKAGE = Path(__file__).resolve().parent.parent  # the whole package, because kernels call kernels of other modules
_DISUSED = 14 * 24 * 3600.0  # seconds without use after which the machine code of other sources is removed
_LOCK = threading.RLock()


def __getattr__(name: str) -> Any:
    if name == "config":  # of Numba; its settings come from the environment
        return import_module("numba").config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Later(ABC):
    """What Numba knows when it is needed, so that Numba, a quarter of a second, is imported by who needs it alone.

    Compiled functions take it for what `now` returns.
    """

    @abstractmethod
    def now(self) -> Any:
        """Return the thing itself."""


class Elsewhere(Later):
    """A function by the name that it has in a module; with `given`, the one that it returns for that."""

    def __init__(self, module: str, name: str, *given: Any) -> None:
        self._place, self._given = (module, name), given
        self._made: Any = None

    def now(self) -> Any:
        """Return the function."""
        with _LOCK:
            if self._made is None:
                module, name = self._place
                found = getattr(import_module(module), name)
                self._made = found(*self._given) if self._given else found
        return self._made


class Kernel(Later):
    """A function that Numba compiles when it is first called."""

    def __init__(self, function: Callable[..., Any], *, cache: bool, **options: Any) -> None:
        functools.update_wrapper(self, function)
        self._function, self._cache, self._options = function, cache, options
        self._made: Any = None

    def __call__(self, *args: Any) -> Any:
        """Call the compiled function."""
        return self.now()(*args)

    def now(self) -> Any:
        """Return the function as Numba has it, which its module has by its name from now on."""
        with _LOCK:
            if self._made is None:
                _teach()
                self._made = _compiled(self._function, cache=self._cache, **self._options)
                home = self._function.__globals__
                if home.get(self._function.__name__) is self:
                    home[self._function.__name__] = self._made
        return self._made


def njit(*, cache: bool, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return Numba's decorator of the same name; with `cache`, the machine code is kept on the disk if possible."""
    return functools.partial(Kernel, cache=cache, **options)


@functools.cache
def _teach() -> None:
    """Tell Numba what `Later` things are of which compiled functions speak."""
    from numba.core.registry import cpu_target
    from numba.extending import typeof_impl

    context = cpu_target.typing_context

    @typeof_impl.register(Later)
    def _(later: Later, _: object) -> Any:
        found = later.now()
        context.refresh()  # it may have been made just now
        return context.resolve_value_type(found)


def _compiled(function: Callable[..., Any], *, cache: bool, **options: Any) -> Any:
    import numba

    config: Any = numba.config
    where = folder() if cache else None
    if where is None:
        return numba.njit(**options)(function)
    before, config.CACHE_DIR = config.CACHE_DIR, str(where)  # Numba reads it in the next call only
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # for example, the disk is full
        return numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before
    _ignore_cache_errors(dispatcher)
    return dispatcher


def _ignore_cache_errors(dispatcher: Any) -> None:
    """Make a compiled function ignore errors of its cache files, so that it is compiled again, and say when it is."""
    kept = dispatcher._cache
    load, save = kept.load_overload, kept.save_overload

    def loaded(*args: Any) -> Any:
        found = None
        try:
            found = load(*args)
        except Exception:  # a torn pickle may raise anything
            with contextlib.suppress(OSError):
                kept.flush()
        if found is None:
            compiling.begin()
        return found

    def saved(*args: Any) -> None:
        compiling.end()
        with contextlib.suppress(OSError):
            save(*args)

    kept.load_overload, kept.save_overload = loaded, saved


@functools.cache
def folder() -> Path | None:
    """Return the folder for the machine code of these sources, and make it if necessary; None if none is safe."""
    import numba

    name = f"kernels-{digest()}"
    config: Any = numba.config  # whose type stubs lack what it takes from the environment
    if chosen := config.CACHE_DIR:  # NUMBA_CACHE_DIR
        return Path(chosen) / name
    found = next((path for above in _places() if (path := cache.ready(above, name))), None)
    if found is not None:
        _sweep(found)
    return found


@functools.cache
def digest() -> str:
    """Return a digest of every source file that mentions Numba, 16 hexadecimal digits."""
    return distribution.digest_of_sources(lambda source: b"njit" in source or b"numba" in source)


def _places() -> Iterator[Path]:
    """Yield the folders that may hold machine code, the preferred one first."""
    yield PACKAGE / "__pycache__"
    yield from cache.places()


def _sweep(path: Path) -> None:
    """Remove the machine code of other sources that has not been used for `_DISUSED` seconds."""
    for other in path.parent.glob("kernels-*"):
        if other.stat().st_mtime < time.time() - _DISUSED:
            shutil.rmtree(other, ignore_errors=True)

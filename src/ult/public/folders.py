"""Shards and runs as callers give them: open, as what a function returned that wrote them, or as a folder's path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ult.host.arguments import one_or_more, path_or
from ult.host.remote import Address
from ult.public.run import Run
from ult.public.shards import Shards


class HasShards(Protocol):
    """What wrote shards, such as the result of `ult.encode`."""

    @property
    def shards(self) -> Shards:
        """The shards, opened."""


Folder = Shards | HasShards | str | Path
Folders = Folder | Sequence[Folder]
_ONE = "shards: a folder's path, ult.Shards, or what ult.encode returned"


def opened(folder: Folder) -> Shards:
    """Return shards, opened unless they are. Raises what `Shards` raises."""
    if isinstance(folder, Shards):
        return folder
    return Shards(folder) if isinstance(folder, str | Path) else folder.shards


def paths(folders: Folders) -> list[str | Path]:
    """Return the paths, or the addresses, of shards folders, one or several."""
    several = folders if isinstance(folders, Sequence) and not isinstance(folders, str) else [folders]
    places = [one if isinstance(one, str | Path) else opened(one).path for one in several]
    return [str(one) if isinstance(one, Address) else one for one in places]


def run_path(run: Run | str | Path) -> Path:
    """Return the path of a run's folder."""
    return run.path if isinstance(run, Run) else Path(run)


def _are_shards(value: Any) -> bool:
    return isinstance(value, Shards) or isinstance(getattr(type(value), "shards", None), property)


# ---- the same as checks of arguments

shards_argument = path_or(_ONE, _are_shards, remote=True)
folders_argument = one_or_more(shards_argument, _ONE)
folders_or_none = one_or_more(shards_argument, _ONE, none=True)
run_argument = path_or("a run: its folder's path, or ult.Run", lambda value: isinstance(value, Run))
runs_argument = one_or_more(run_argument, "runs", none=True)

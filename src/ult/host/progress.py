"""How far long work has come: what does it tells a callback the stage, and how many more records are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[str, int], None]  # told of the stage that is on, and of how many more records it is done
Notice = Callable[[str], None]  # told at once, in a sentence, what is worth knowing before the work ends


def silent(stage: str, more: int) -> None:
    """Say nothing of how far work has come."""


def on_stderr(stage: str, more: int) -> None:
    """Stand for what `ult.host.bar.shown` puts in its place: a bar, or lines where neither terminal nor notebook is."""


def unheard(what: str) -> None:
    """Say nothing of what is worth knowing."""


def counted(items: Iterable[T], progress: Progress, stage: str, size: Callable[[T], int]) -> Iterator[T]:
    """Give the items on, and tell `progress` of the size of each once it is done."""
    for item in items:
        yield item
        progress(stage, size(item))

"""Callbacks for the progress of long work: they get the present stage and the number of further records done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
Progress = Callable[[str, int], None]  # called with the present stage and the number of further records done
Notice = Callable[[str], None]  # called with a sentence that the user should read before the work ends


def silent(stage: str, more: int) -> None:
    """Ignore progress."""


def on_stderr(stage: str, more: int) -> None:
    """Mark the default: `ult.host.bar.shown` replaces it by a bar, or by lines without a terminal or a notebook."""


def unheard(what: str) -> None:
    """Ignore notices."""


def counted(items: Iterable[T], progress: Progress, stage: str, size: Callable[[T], int]) -> Iterator[T]:
    """Yield the items, and call `progress` with the stage and the size of each item when the next one is asked for."""
    for item in items:
        yield item
        progress(stage, size(item))

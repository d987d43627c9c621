"""Signs of life of what takes minutes: stage and count, on a terminal at once, else a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

EVERY = 5.0  # seconds from a line to the next, where stderr is no terminal


@contextmanager
def stages(doing: str, *, every: float = EVERY) -> Iterator[Callable[[str, int], None]]:
    """Give what to tell which stage is on, and of how many more records it is done; a new stage counts from 0."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from ult.cli.show import err

    began, stage, done_of = time.perf_counter(), "starting", 0

    def said() -> str:
        return f"{doing}: {stage}" + (f", {done_of:,} records" if done_of else "")

    done = Event()

    def speak() -> None:
        while not done.wait(every):
            err.print(f"{said()} ({time.perf_counter() - began:.0f} s)", markup=False, soft_wrap=True)

    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(said(), total=None)
        speaker = None if err.is_terminal else Thread(target=speak, daemon=True)

        def tell(name: str, records: int) -> None:
            nonlocal stage, done_of
            stage, done_of = name, records + (done_of if name == stage else 0)
            bar.update(task, description=said())

        if speaker is not None:
            speaker.start()
        try:
            yield tell
        finally:
            done.set()
            if speaker is not None:
                speaker.join()

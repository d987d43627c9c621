"""The stages of an audit as they go: their names and counts, on a terminal at once, else in a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stages(doing: str) -> Iterator[Callable[[str, int], None]]:
    """Give what to tell which stage is on, and of how many more records it is done; a new stage counts from 0."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from ult.cli.console import err, plain
    from ult.host.pulse import Pulse

    stage, records = "starting", 0

    def said() -> str:
        return f"{doing}: {stage}" + (f", {records:,} records" if records else "")

    def count(name: str, more: int) -> None:
        nonlocal stage, records
        stage, records = name, more + (records if name == stage else 0)

    if not err.is_terminal:
        with Pulse(lambda text: err.print(plain(text), markup=False, soft_wrap=True), said):
            yield count
        return
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task(said(), total=None)

        def show(name: str, more: int) -> None:
            count(name, more)
            bar.update(task, description=said())

        yield show

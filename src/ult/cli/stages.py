"""The stages of long work as they go: their names and counts, on a terminal at once, else in a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ult.host.progress import Progress


@contextmanager
def stages(doing: str, *, named: bool = False) -> Iterator[Progress]:
    """Give what to tell which stage is on, and of how many more records it is done; a new stage counts from 0.

    `doing` is shown until the first stage is told; if it is `named`, before the stages too.
    """
    from rich.progress import Progress as Bar
    from rich.progress import TextColumn, TimeElapsedColumn

    from ult.cli.console import err, plain
    from ult.host.pulse import Pulse

    stage, records = "starting" if named else doing, 0

    def said() -> str:
        name = f"{doing}: {stage}" if named else stage
        return name + (f"{',' if named else ':'} {records:,} records" if records else "")

    def count(name: str, more: int) -> None:
        nonlocal stage, records
        stage, records = name, more + (records if name == stage else 0)

    if not err.is_terminal:
        with Pulse(lambda text: err.print(plain(text), markup=False, soft_wrap=True), said):
            yield count
        return
    bar = Bar(TextColumn("{task.description}"), TimeElapsedColumn(), console=err, transient=True)
    task = bar.add_task(said(), total=None)

    def show(name: str, more: int) -> None:
        count(name, more)
        bar.update(task, description=said())
        bar.start()  # not before: a passphrase may be asked for first

    try:
        yield show
    finally:
        bar.stop()

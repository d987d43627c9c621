"""Progress of work in stages on stderr: on a terminal continuously, elsewhere by a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ult.host import bar
from ult.host.progress import Progress


@contextmanager
def stages(doing: str, *, named: bool = False) -> Iterator[Progress]:
    """Yield `tell(stage, n)` as `ult.host.bar.stages` does, which shows it on stderr."""
    from ult.cli.console import err

    with bar.stages(doing, named=named, console=err) as tell:
        yield tell

"""Show the progress of long work: a bar on a terminal or in a notebook, and elsewhere a line from time to time."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from ult.host import compiling
from ult.host.notebook import NotebookBar, in_notebook
from ult.host.progress import Progress, on_stderr
from ult.host.pulse import Pulse

Draw = Callable[[str, str, int | None, int | None], None]
P = ParamSpec("P")
T = TypeVar("T")


class Bar:
    """Shows the progress of work while its `with` block runs. `ends` says that the number of steps is known.

    Where there is no bar, the first line comes after `ult.host.pulse.FIRST` seconds, so shorter work prints nothing.
    """

    def __init__(self, doing: str, *, text: str = "", ends: bool = False) -> None:
        self.doing, self.text = doing, text  # the two parts of a line: the work, and its progress
        self._ends, self._step = ends, ""
        self._stack = ExitStack()
        self._open: Callable[[], Draw] | None = None
        self._draw: Draw | None = None

    def __enter__(self) -> Self:
        if in_notebook():
            self._draw = self._stack.enter_context(NotebookBar(self.doing)).show
        elif sys.stderr is not None and sys.stderr.isatty():
            self._open = self._on_a_terminal  # at the first `show`, as a passphrase may be asked for before
        else:
            self._stack.enter_context(Pulse(self._say, self._line))
        return self

    def _on_a_terminal(self) -> Draw:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Left
        from rich.text import Text

        class Told(TextColumn):
            def render(self, task: Task) -> Text:
                return Text(compiling.told(task.fields["text"]))

        doing, text = TextColumn("{task.description}", markup=False), Told("")
        columns: tuple[Any, ...] = (doing, text, TimeElapsedColumn())
        if self._ends:
            columns = (doing, BarColumn(), MofNCompleteColumn(), text, Left())
        bar = self._stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        task = bar.add_task(self.doing, total=None, text="")

        def draw(doing: str, text: str, done: int | None, total: int | None) -> None:
            bar.update(task, description=doing, text=text, completed=done or 0, total=total)

        return draw

    def show(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Show the progress: `text`, and `done` of `total` steps if the number of steps is known."""
        self.text = text
        self._step = f"step {done:,} of {total:,}" if done is not None and total is not None else ""
        if self._open is not None:
            self._draw, self._open = self._open(), None
        if self._draw is not None:
            self._draw(self.doing, text, done, total)

    def _line(self) -> str:
        done = ": ".join(filter(None, (self.doing, ", ".join(filter(None, (self._step, self.text))))))
        return compiling.told(done)

    def mute(self) -> None:
        """Stop showing anything; of several processes only one should show the progress."""
        self._draw = self._open = None
        self._stack.close()

    def _say(self, text: str) -> None:
        if sys.stderr is not None:  # else Python would print it on stdout
            print(_escaped(text), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, where)


@contextmanager
def counting(doing: str, of: str = "records") -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`, which counts n more records as done, or n more of what `of` names."""
    done = 0
    with Bar(doing) as bar:
        bar.show("")

        def advance(more: int) -> None:
            nonlocal done
            done += more
            bar.show(f"{done:,} {of}")

        yield advance


@contextmanager
def stages(doing: str, *, named: bool = False) -> Iterator[Progress]:
    """Yield `tell(stage, n)`, which shows the name of the present stage and counts n more of its records as done.

    `doing` is shown until the first call, or with `named` also before each stage. Each new stage counts from 0.
    """
    stage, records = "", 0
    with Bar(doing, text="starting" if named else "") as bar:

        def tell(name: str, more: int) -> None:
            nonlocal stage, records
            stage, records = name, more + (records if name == stage else 0)
            if not named:
                bar.doing = stage
            bar.show(", ".join([stage] * named + [f"{records:,} records"] * (records > 0)))

        yield tell


def shown(doing: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a library function that takes `progress`; unless the caller passes one, stages are shown on stderr."""

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(work)
        def run(*args: P.args, **options: P.kwargs) -> T:
            if options.get("progress", on_stderr) is not on_stderr:
                return work(*args, **options)
            with stages(doing) as tell:
                options["progress"] = tell
                return work(*args, **options)

        return run

    return decorate


def _escaped(text: str) -> str:
    """Return a line with control characters escaped, so that a terminal does not act on them."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)

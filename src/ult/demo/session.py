"""A session on the command line that a program types: it is shown while it runs, and kept for the report."""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape

from ult.errors import UltError

WIDTH = 80  # columns of the terminal output
REPORT = "report.html"
Command = Callable[[Sequence[str]], object]  # the command line as a function of its arguments


@dataclass(slots=True)
class Typed:
    """A command, who typed it, and what it printed."""

    who: str
    command: str
    said: str


@dataclass(slots=True)
class Step:
    """A chapter of the story. `results` are sentences with the measured figures."""

    title: str
    text: str
    typed: list[Typed] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Session:
    """Runs commands in this process and tells the story on stdout."""

    def __init__(self, command: Command) -> None:
        self.steps: list[Step] = []
        self._command = command
        self._console = Console(highlight=False, width=min(WIDTH, Console().width))
        self._started = time.perf_counter()

    def step(self, title: str, text: str) -> None:
        """Begin a chapter with a title and an introduction."""
        self.close()
        self.steps.append(Step(title, text))
        self._console.print(f"\n[bold cyan]{len(self.steps)}  {escape(title)}[/]\n{escape(text)}")

    def close(self) -> None:
        """Record the seconds that the chapter took."""
        now = time.perf_counter()
        if self.steps:
            self.steps[-1].seconds = now - self._started
        self._started = now

    def run(
        self,
        who: str,
        *args: str,
        quiet: bool = False,
        shown: slice = slice(None),
        refused: type[UltError] | None = None,
    ) -> str:
        """Run `ult` with `args`, show the command and, unless `quiet`, its output, and return the output.

        The terminal shows only the lines `shown` of the output; the report shows all. With `refused`, the command must
        raise this error, which is shown in the form of the command line.
        """
        command = folded(["ult", *args])
        self._console.print(f"\n[green]{who} $[/] [bold]{escape(command)}[/]", soft_wrap=True)
        said = io.StringIO()
        try:
            with redirect_stdout(said):
                self._command(args)
        except UltError as error:
            if refused is None or not isinstance(error, refused):
                raise
            said.write(f"error: {error.what}\nhint: {error.hint}\n")
        else:
            if refused is not None:
                raise AssertionError(f"ult {args[0]} was to raise {refused.__name__}")
        text = said.getvalue()
        self.steps[-1].typed.append(Typed(who, command, "" if quiet else text.rstrip()))
        if not quiet:
            lines = text.splitlines(keepends=True)
            if hidden := len(lines) - len(lines[shown]):
                self._console.print(f"[dim]({hidden} lines that {REPORT} has)[/]")
            sys.stdout.write("".join(lines[shown]))
            sys.stdout.flush()
        return text

    def result(self, sentence: str) -> None:
        """Show a sentence with a measured figure, and keep it for the report."""
        self.steps[-1].results.append(sentence)
        self._console.print(f"[yellow]=>[/] {escape(sentence)}")

    def quote(self, what: str, text: str) -> None:
        """Show a sample of the data on the terminal only."""
        self._console.print(f"   [dim]{escape(what)}:[/] {escape(text)}")

    def say(self, text: str) -> None:
        """Print a text that is not part of the story."""
        self._console.print(text, soft_wrap=True)


def folded(args: Sequence[str], width: int = WIDTH - 12) -> str:
    """Return a command as typed into a shell; lines of more than `width` characters are broken before an option."""
    words = [shlex.quote(arg) for arg in args]
    groups: list[str] = []  # an option and its value stay together
    for word in words:
        if groups and not word.startswith("-") and groups[-1].startswith("-") and " " not in groups[-1]:
            groups[-1] += f" {word}"
        else:
            groups.append(word)
    lines = [groups[0]]
    for group in groups[1:]:
        if len(lines[-1]) + len(group) + 1 > width:
            lines.append(f"    {group}")
        else:
            lines[-1] += f" {group}"
    return " \\\n".join(lines)

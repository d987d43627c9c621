"""`ult demo`: the whole path on data from installed packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.options import Force


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="The seed of all trainings and draws.")] = 0,
    force: Force = False,
) -> None:
    """Show the whole path, offline, in under three minutes: two owners, a trainer, an adversary, a report."""
    from ult.demo import demo as show

    root: Any = context.find_root().command

    def command(args: Sequence[str]) -> object:
        return root.main(args=list(args), prog_name="ult", standalone_mode=False)

    show(out, command=command, seed=seed, force=force)

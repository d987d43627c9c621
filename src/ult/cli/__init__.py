"""The command line: one short function for each verb, which imports heavy packages inside."""

from __future__ import annotations

import typer

from ult.cli.command import Ult
from ult.cli.ending import report as report
from ult.cli.help import EXAMPLES

app = typer.Typer(
    name="ult",
    help="Encode records to ids with a table that stays yours; train any model on the ids; decode what it writes.",
    cls=Ult,
    epilog=f"{EXAMPLES['fit']}\n{EXAMPLES['encode']}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would print records
    rich_markup_mode=None,  # `ult.cli.help` writes the help
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def version(show: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Print the version."""
    if show:
        from ult.host.distribution import __version__, build, commit

        found = commit()
        print(f"ult {__version__} ({f'commit {found}; ' if found else ''}build {build()})")
        raise typer.Exit

"""`python -m ult` and the `ult` command: one-line errors on stderr, exit status 1; 2 for a command that is not one."""

import os
import sys


def main() -> None:
    """Run the command line."""
    from ult.cli import app, report

    try:
        status = app(standalone_mode=False)
    except BaseException as error:
        status = report(error)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `ult inspect ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 141
    sys.exit(status or 0)


if __name__ == "__main__":
    main()

"""`python -m ult` and the `ult` command: one-line errors on stderr, exit status 1.

2 for a command that is not one, 128 and its number for a signal that ended it.
"""

import sys
from contextlib import suppress


def main() -> None:
    """Run the command line."""
    from ult.host import streams

    streams.open_all()
    from ult.cli import app, report
    from ult.cli.signals import heed

    _leave_no_core()
    heed()
    try:
        try:
            status = app(standalone_mode=False)
        except BaseException as error:
            status = report(error)
        sys.stdout.flush()
    except BrokenPipeError:
        status = streams.LOST
    if status == streams.LOST:
        streams.lead_nowhere()
    sys.exit(status or 0)


def _leave_no_core() -> None:
    """Keep the memory of this process, and of those that it starts, off the disk if one of them dies."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()

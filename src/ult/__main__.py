"""`python -m ult` and the `ult` command: one-line errors on stderr, exit status 1.

2 for a command that is not one, 128 and its number for a signal that ended it.
"""

import gc
import sys


def main() -> None:
    """Run the command line."""
    gc.disable()  # imports make many objects, of which few are ever freed; a verb begins with it enabled
    try:
        _run()
    finally:
        gc.enable()


def _run() -> None:
    from ult.host import portable, streams

    streams.open_all()
    from ult.cli import app, report
    from ult.cli.console import warnings_as_notes
    from ult.cli.signals import heed

    portable.leave_no_core()
    heed()
    try:
        try:
            with warnings_as_notes():
                status = app(standalone_mode=False)
        except BaseException as error:
            status = report(error)
        sys.stdout.flush()
    except BrokenPipeError:
        status = streams.LOST
    if status == streams.LOST:
        streams.lead_nowhere()
    sys.exit(status or 0)


if __name__ == "__main__":
    main()

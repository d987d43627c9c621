"""`python taken_away.py locks|none`: ult without all that only some systems have, for `test_portable.py`.

With `locks` there are Windows's, played with those of this system; with `none` there are none at all. Every module that
imports without an extra is imported, and a CSV goes to ids and back twice.
"""

import asyncio  # noqa: F401
import csv
import importlib
import multiprocessing.connection
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
from typing import Any

import numba
import numpy as np
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json
import pyarrow.parquet
import pyrage
import rich.progress
import typer

import msvcrt_played

LACKING = {
    os: "sched_getaffinity sched_setaffinity geteuid getuid getgid link sync fork forkpty wait4 setsid killpg getpgid "
    "mkfifo chown fchmod fchown lchown statvfs fstatvfs pread pwrite posix_fadvise posix_fallocate fdatasync sysconf "
    "getloadavg nice sendfile copy_file_range memfd_create openpty ttyname setuid setgid "
    "O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_NOCTTY O_CLOEXEC O_SYNC O_DSYNC O_PATH",
    signal: "SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGKILL SIGSTOP SIGCHLD SIGPIPE pthread_sigmask pthread_kill alarm "
    "setitimer sigwait sigtimedwait siginterrupt",
    select: "poll epoll kqueue",
}
MODULES = ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog", "winreg")
THERE = (
    csv,
    multiprocessing,
    subprocess,
    tempfile,
    numba,
    np,
    pyarrow,
    pyrage,
    rich,
    typer,
)  # look at the system first
EXTRAS = ("ult.trainer", "ult.audit", "ult.synth", "ult.demo", "ult.__main__")


def take_away(*, locks: bool) -> None:
    """Remove the names; what the standard library looked at as it was imported stays with it."""
    lacking: dict[str, Any] = sys.modules  # None there: an import of that name fails
    for name in MODULES:
        lacking[name] = None
    lacking["msvcrt"] = msvcrt_played if locks else None
    for module, names in LACKING.items():
        for name in names.split():
            module.__dict__.pop(name, None)


def ult(*words: str) -> None:
    """Run a command; end with its status if it fails."""
    from ult.__main__ import main

    sys.argv = ["ult", *words]
    try:
        main()
    except SystemExit as done:
        if done.code:
            raise


if __name__ == "__main__":
    take_away(locks=sys.argv[1] == "locks")
    import ult as package

    for module in pkgutil.walk_packages(package.__path__, "ult."):
        if not module.name.startswith(EXTRAS):
            importlib.import_module(module.name)
    for _ in range(2):
        ult("fit", "a.csv", "-o", "t.ult", "--vocabulary-size", "300", "--no-encryption", "-w", "1", "--force")
        ult("encode", "a.csv", "-t", "t.ult", "-o", "shards", "-w", "1", "--force")
        ult("decode", "shards", "-t", "t.ult", "-o", "b.csv", "--force")

"""Windows's `msvcrt.locking`, played with the locks of this system, for `test_portable.py`."""

import errno
import fcntl

LK_NBLCK = 2


def locking(number: int, _mode: int, _nbytes: int) -> None:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EACCES, "locked") from None

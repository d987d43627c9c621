"""When an event was: dates and times as MEDS, FHIR and OMOP write them, in the order of time."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

_FORM = re.compile(
    r"\d{4}(?:-\d\d(?:-\d\d(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d{1,9}))?)?)?"
    r"(?: ?(Z|[+-](?:0\d|1[0-4]):?[0-5]\d))?)?)?",
    re.ASCII,
)
_SECOND = 10**9  # in nanoseconds
UNKNOWN = -(10**20)  # before every time


@lru_cache(2**16)
def moment(text: str) -> int | None:
    """Return nanoseconds since 1970, UTC, or None if `text` is no date or time that exists.

    A year, or a month, is where it begins. A time without a zone is UTC. Second 60 is one that a clock has leapt.

    >>> moment("2020-02-29T10:00:00+01:00") == moment("2020-02-29 09:00"), moment("2020") == moment("2020-01-01")
    (True, True)
    >>> moment("2021-02-29"), moment("2021-02-28T24:00"), moment("29.2.2020")
    (None, None, None)
    """
    match = _FORM.fullmatch(text)
    day = _day(text[:10]) if match else None
    if match is None or day is None:
        return None
    hour, minute, second, fraction, zone = match.groups()
    seconds = day * 86400
    if hour:
        seconds += int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if zone and zone != "Z":
        shift = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds += shift if zone[0] == "-" else -shift
    return seconds * _SECOND + (int(fraction.ljust(9, "0")) if fraction else 0)


@lru_cache(2**16)
def _day(text: str) -> int | None:
    """Return days since 1970 of a date, of the first day of a month or of a year; None if it does not exist."""
    year, month, day = int(text[:4]), int(text[5:7] or 1), int(text[8:10] or 1)
    try:
        return datetime.date(year, month, day).toordinal() - _FIRST
    except ValueError:
        return None


_FIRST = datetime.date(1970, 1, 1).toordinal()

"""When an event was: dates and times as MEDS, FHIR and OMOP write them, in the order of time."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

_FORM = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,12}))?)?)?(?: ?(Z|[+-]\d\d:?\d\d))?)?)?"
)
_FIRST = datetime.date(1, 1, 1).toordinal()
UNKNOWN = -1.0  # before every time


@lru_cache(2**16)
def moment(text: str) -> float | None:
    """Return seconds since the first day of year 1, UTC, or None if `text` is no date or time that exists.

    A year, or a month, is where it begins. A time without a zone is UTC. Second 60 is one that a clock has leapt.

    >>> moment("2020-02-29T10:00:00+01:00") == moment("2020-02-29 09:00"), moment("2020")  == moment("2020-01-01")
    (True, True)
    >>> moment("2021-02-29"), moment("2021-02-28T24:00"), moment("29.2.2020")
    (None, None, None)
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (
        int(part or least) for part, least in zip(match.groups()[:6], _LEAST, strict=True)
    )
    zone = match[8]
    try:
        days = datetime.date(year, month, day).toordinal() - _FIRST
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    shift = 0
    if zone not in (None, "Z"):
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 14 or minutes > 59:
            return None
        shift = (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
    return days * 86400.0 + hour * 3600 + minute * 60 + second + float(f"0.{match[7] or 0}") - shift


_LEAST = (1, 1, 1, 0, 0, 0)

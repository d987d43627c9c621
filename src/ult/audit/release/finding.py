"""What was found, held against its line: one object that the verdict, the page and the command line all show.

All lines stand here, and each finding carries its own in words. A figure is judged by the worse end of its interval:
green is what can be said of every value in it, so that too little data is never green.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ("green", "amber", "red")
READ = (0.05, 0.20)  # of id occurrences, beyond the blind guess
REBUILT = (1.0, 6.0)  # decibels by which images or series are rebuilt better than by the mean of public records
CEILING = 0.5  # of id occurrences that the reference lets an attacker name at all; with less, nothing is green
PUBLIC_BYTES = 100_000  # of public records, or as many as the shards hold; with fewer, nothing is green
FALSE = 0.01  # the share of nonmembers taken for members at which members found are counted
FOUND = (0.01, 0.05)  # of members, beyond which they are found there
AREA = (0.60, 0.70)  # under the curve of members against nonmembers
RECITED = 0.05  # of members completed exactly, which the data must be able to show
UNLIKELY = (0.05, 0.001)  # of exposures at least as great, if nothing was memorised
BITS = 2.5  # of mean exposure, which so many canaries must be able to show
SMALL = 1.0  # an epsilon below which a guarantee alone is a reason for green
MISS = 0.05  # how often a named power may be wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence on what was found, the line that it was held against, and what would better it.

    `value` and its `interval` are the very figures that were graded, `n` of how many records, and `power` is the least
    that so many can show, in the same unit: whatever is below may be there all the same.
    """

    subject: str  # "shards", "model" or "table"
    level: str  # one of `LEVELS`
    found: str
    line: str
    change: str = ""
    topic: str = ""  # what was looked at, for the page's first sentences: one of `ult.audit.release.plain.TOPICS`
    measured: bool = True
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    power: float | None = None

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "interval": None if self.interval is None else list(self.interval)}


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst level; amber if nothing was found out."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="amber")


def worst(findings: Sequence[Finding]) -> Finding:
    """Return the finding of the highest level, of equal ones the first with the greatest upper end."""
    return max(findings, key=lambda one: (LEVELS.index(one.level), one.interval[1] if one.interval else 0.0))


def unmeasured(subject: str, topic: str, found: str, how: str, line: str) -> Finding:
    """Return that something was not measured, or not so that it says anything: amber, and never better."""
    return Finding(subject, "amber", found, line, how, topic, measured=False)


def power(n: int) -> float:
    """Return the least share that `n` records can show: if it were true, one at least would show it 19 times in 20.

    >>> round(power(20), 2)
    0.14
    """
    return float(1 - MISS ** (1 / n)) if n > 0 else 1.0


def told_power(n: int, whose: str) -> str:
    """Return in words what `n` records can show.

    >>> told_power(20, "members")
    '20 members can show nothing below 14%'
    """
    least = power(n)
    return f"{n:,} {whose} can show nothing below {least:.0%}" if least > 0.02 else f"{n:,} {whose}"

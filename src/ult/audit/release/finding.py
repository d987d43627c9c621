"""A finding: a measured figure, graded against a line (a limit), as verdict, page and command line show it.

All lines are defined here, and each finding carries its own in words. A figure is graded by the worse end of its
interval: green holds for every value in the interval, so too little data is never green.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = ("green", "amber", "red")
READ = (0.05, 0.20)  # share of id occurrences read in excess of the blind guess: amber above, red above
REBUILT = (1.0, 6.0)  # dB by which images or series are reconstructed better than by the mean of public records
CEILING = 0.5  # share of id occurrences that the reference can name; with a smaller share nothing is green
PUBLIC_BYTES = 100_000  # bytes of public records (or as many as the shards hold); with fewer nothing is green
FALSE = 0.01  # the false-positive rate at which the true-positive rate is judged
FOUND = (0.01, 0.05)  # true-positive rate at `FALSE`: amber above, red above
AREA = (0.60, 0.70)  # AUC of membership inference: amber above, red above
RECITED = 0.05  # the share of members completed exactly that the data must be able to show
UNLIKELY = (0.05, 0.001)  # p-value of the canaries' exposures: amber below, red below
BITS = 2.5  # the mean exposure, in bits, that the number of canaries must be able to show
SMALL = 1.0  # an epsilon up to which a guarantee alone is a reason for green
MISS = 0.05  # the probability that a stated power is wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one sentence, the line that it was graded against, and what to change.

    `value` and `interval` are the figures that were graded, `n` the number of records they are based on, and `power`
    the smallest value that so many can show, in the same unit: a smaller effect may exist all the same.
    """

    subject: str  # "shards", "model" or "table"
    level: str  # one of `LEVELS`
    found: str
    line: str
    change: str = ""
    topic: str = ""  # selects the words of the page's first sentences: one of `ult.audit.release.plain.TOPICS`
    measured: bool = True
    value: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    power: float | None = None

    def document(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {**asdict(self), "interval": None if self.interval is None else list(self.interval)}


def verdict(findings: Sequence[Finding]) -> str:
    """Return the worst level of the findings, amber if there are none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="amber")


def worst(findings: Sequence[Finding]) -> Finding:
    """Return the finding of the worst level; of several, the first with the largest upper end of its interval."""
    return max(findings, key=lambda one: (LEVELS.index(one.level), one.interval[1] if one.interval else 0.0))


def worst_first(findings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return documents of findings by their level, and in a level those that were not measured last."""
    return sorted(findings, key=lambda one: (-LEVELS.index(one["level"]), not one["measured"]))


def mark(finding: Mapping[str, Any]) -> str:
    """Return how the document of a finding is marked in print: its level, and whether it was measured well enough.

    >>> mark({"level": "amber", "measured": False, "value": None})
    'amber, not measured'
    """
    why = "not measured" if finding["value"] is None else "too little to rely on"
    return f"{finding['level']}{'' if finding['measured'] else f', {why}'}"


def unmeasured(subject: str, topic: str, found: str, how: str, line: str) -> Finding:
    """Return an amber finding for what was not measured, or not measured well enough to mean anything."""
    return Finding(subject, "amber", found, line, how, topic, measured=False)


def power(n: int) -> float:
    """Return the smallest share that `n` records can show: if it were true, at least one record would in 95 % of cases.

    >>> round(power(20), 2)
    0.14
    """
    return float(1 - MISS ** (1 / n)) if n > 0 else 1.0


def told_power(n: int, whose: str) -> str:
    """Return in words what `n` records can show.

    >>> told_power(20, "members")
    '20 members cannot show a share below 14%'
    """
    least = power(n)
    return f"{n:,} {whose} cannot show a share below {least:.0%}" if least > 0.02 else f"{n:,} {whose}"

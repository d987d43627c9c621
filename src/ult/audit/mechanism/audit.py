"""The audit of the private mechanisms themselves: whether the code keeps what `--epsilon` promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ult.distribution import versions
from ult.errors import InvalidConfig

FORMAT = "ult-audit-mechanism/1"
MECHANISMS = ("table", "training")
SETTINGS = ((1.0, 4), (8.0, 1))  # epsilon and patches: faults of the noise show at the first, of the threshold at both
DELTA, TRIALS = 0.05, 4000
MISS = 1e-3  # how often an audit refutes what holds


def audit_mechanism(
    of: Sequence[str] = MECHANISMS,
    *,
    settings: Sequence[tuple[float, int]] = SETTINGS,
    delta: float = DELTA,
    records: int | None = None,
    trials: int = TRIALS,
    miss: float = MISS,
    again: bool = True,
    advance: Callable[[int], None] = lambda trials: None,
) -> dict[str, Any]:
    """Return, as JSON values, what many trials on the real code prove of each promise, and what they would have found.

    `settings` are pairs of an epsilon and the patches that a record counts in; a training has the first epsilon. Fits
    are done `trials` times with a record and as often without, trainings, which take longer, half as often. `delta` is
    large, so that few suffice: the code that keeps it is the same for any. `records` are of a table. All claims
    together are wrongly refuted with probability `miss` at most; what is refuted is tried `again`, with new trials, and
    only what they refute too is called so: `miss` squared. Raises `InvalidConfig` or `MissingExtra`.
    """
    if not of or not set(of) <= set(MECHANISMS):
        raise InvalidConfig(f"mechanisms are {', '.join(of) or 'none'}; expected some of {', '.join(MECHANISMS)}")
    if trials < 2 or not settings:
        raise InvalidConfig(f"trials is {trials}, of {len(settings)} settings; expected at least 2, of at least 1")
    tables, training = (settings if "table" in of else ()), "training" in of
    share: dict[str, Any] = {"miss": miss / (len(tables) + training), "advance": advance}
    found = []
    if tables:
        from ult.audit.mechanism.refits import refit

        for epsilon, patches in tables:
            asked: dict[str, Any] = {"patches": patches, "records": records, "trials": trials, **share}
            found.append(_confirmed(partial(refit, epsilon, delta, **asked), again=again))
    if training:
        from ult.audit.mechanism.resteps import restep

        tried = partial(restep, settings[0][0], delta, trials=trials // 2, **share)
        found.append(_confirmed(tried, again=again))
    return {
        "format": FORMAT,
        "mechanisms": found,
        "refuted": any(claim["refuted"] for one in found for claim in one["claims"]),
        "miss": miss,
        "versions": versions("numpy", "scipy"),
    }


def _confirmed(tried: Callable[[], dict[str, Any]], *, again: bool) -> dict[str, Any]:
    """Return what trials found; a claim that they refute is so only if new ones, kept as `again`, refute it too."""
    found = tried()
    if not (again and any(claim["refuted"] for claim in found["claims"])):
        return found
    for claim, second in zip(found["claims"], tried()["claims"], strict=True):
        if claim["refuted"]:
            claim |= {"again": second, "refuted": second["refuted"]}
    return found

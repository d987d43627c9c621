"""The audit of the private mechanisms: whether the code keeps what `--epsilon` promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ult.errors import InvalidConfig
from ult.host.distribution import versions

FORMAT = "ult-audit-mechanism/1"
MECHANISMS = ("table", "training", "bins")
SETTINGS = ((1.0, 4), (8.0, 1))  # (epsilon, patches): the first shows faults of the noise, both those of the threshold
DELTA, TRIALS = 0.05, 4000
MISS = 1e-3  # the probability that an audit refutes a promise that holds


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
    """Return, as JSON values, whether trials of the real code refute its promises, and which faults they would find.

    `settings` are pairs of an epsilon and the patches in which a record counts; the training, and the edges of bins,
    have the first epsilon. Tables are fitted, and edges are learnt, `trials` times with a record and as often without
    it; trainings, which take longer, half as often.
    `delta` is large so that few trials suffice; the code is the same for any delta. `records` is the number of records
    of a fit. The probability that any claim is wrongly refuted is at most `miss`; with `again`, a refuted claim is
    tried once more and counts as refuted only if new trials refute it too, which makes that `miss` squared.
    `advance(n)` is called for each n finished trials. Raises `InvalidConfig` or `MissingExtra`.
    """
    if not of or not set(of) <= set(MECHANISMS):
        raise InvalidConfig(f"mechanisms are {', '.join(of) or 'none'}; expected some of {', '.join(MECHANISMS)}")
    if trials < 2 or not settings:
        raise InvalidConfig(f"trials is {trials}, of {len(settings)} settings; expected at least 2, of at least 1")
    tables, training, bins = (settings if "table" in of else ()), "training" in of, "bins" in of
    share: dict[str, Any] = {"miss": miss / (len(tables) + training + bins), "advance": advance}
    results = []
    if tables:
        from ult.audit.mechanism.refits import refit

        for epsilon, patches in tables:
            asked: dict[str, Any] = {"patches": patches, "records": records, "trials": trials, **share}
            results.append(_confirmed(partial(refit, epsilon, delta, **asked), again=again))
    if training:
        from ult.audit.mechanism.resteps import restep

        tried = partial(restep, settings[0][0], delta, trials=trials // 2, **share)
        results.append(_confirmed(tried, again=again))
    if bins:
        from ult.audit.mechanism.rebins import rebin

        results.append(_confirmed(partial(rebin, settings[0][0], trials=trials, **share), again=again))
    return {
        "format": FORMAT,
        "mechanisms": results,
        "refuted": any(claim["refuted"] for result in results for claim in result["claims"]),
        "miss": miss,
        "versions": versions("numpy", "scipy"),
    }


def _confirmed(tried: Callable[[], dict[str, Any]], *, again: bool) -> dict[str, Any]:
    """Return the result of the trials; with `again`, refuted claims stay so only if new trials refute them too."""
    result = tried()
    if not (again and any(claim["refuted"] for claim in result["claims"])):
        return result
    for claim, second in zip(result["claims"], tried()["claims"], strict=True):
        if claim["refuted"]:
            claim |= {"again": second, "refuted": second["refuted"]}
    return result

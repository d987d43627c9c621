"""The epsilon that an audit proved at the delta of a promise: epsilons at two deltas cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def proven(found: Mapping[str, Any], delta: float) -> float:
    """Return the epsilon that the scores of one attack prove at `delta`; 0 if the audit kept no bound that says so.

    `found` is what `ult.audit.bounds.summarize` returned. Whoever exceeds an epsilon at some delta exceeds it at every
    smaller one, so that the bound at the nearest delta above counts.

    >>> proven({"epsilon_at_least_by_delta": [[1e-6, 2.5], [1e-4, 2.0]]}, 1e-5)
    2.0
    """
    kept = [*found.get("epsilon_at_least_by_delta", ()), [found.get("delta", 0.0), found.get("epsilon_at_least", 0.0)]]
    return max((float(epsilon) for at, epsilon in kept if at >= delta), default=0.0)

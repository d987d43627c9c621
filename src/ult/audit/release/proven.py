"""The lower bound on epsilon that an audit proved at the delta of a promise, at which alone they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def proven(found: Mapping[str, Any], delta: float) -> float:
    """Return the lower bound on epsilon that one attack proves at `delta`; 0 if the audit has no bound that applies.

    `found` is from `ult.audit.bounds.summarize`. A bound on epsilon at some delta also holds at every smaller delta, so
    the largest bound at `delta` or above counts.

    >>> proven({"epsilon_at_least_by_delta": [[1e-6, 2.5], [1e-4, 2.0]]}, 1e-5)
    2.0
    """
    kept = [*found.get("epsilon_at_least_by_delta", ()), [found.get("delta", 0.0), found.get("epsilon_at_least", 0.0)]]
    return max((float(epsilon) for at, epsilon in kept if at >= delta), default=0.0)

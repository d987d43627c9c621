"""Planted canaries: texts with random digits among the real records; whether synthetic records give the digits away.

A canary is ranked among copies of itself with other random digits, by how long a run of its digits, or of its words, is
found in the synthetic texts. Its exposure is log2 of the number of alternatives, less log2 of its rank: about 1.44 bits
by chance (Carlini et al. 2019).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ult.errors import InvalidConfig
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import stats

ALTERNATIVES = 1000
LEAST, LONG = 4, 8  # digits of a canary; with so many of them nobody writes it by chance
NATS = 0.6931471805599453  # in a bit


def exposed(canaries: Sequence[str], texts: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Return, as JSON values, the exposure of each canary in bits, and how probable so much is by chance.

    Raises `InvalidConfig` for a canary with fewer than `LEAST` digits.
    """
    for number, canary in enumerate(canaries, 1):
        if len(re.sub(r"\D", "", canary)) < LEAST:
            raise InvalidConfig(
                f"canary {number} has fewer than {LEAST} digits; expected texts with random digits",
                hint="plant texts such as those of ult encode --canaries",
            )
    rng, written = np.random.default_rng(seed), _runs(texts)
    exposures, exact = [], 0
    whole = "\n".join(texts)
    for canary in canaries:
        secret = re.sub(r"\D", "", canary)
        exact += (len(secret) >= LONG and secret in written.get(len(secret), set())) or canary in whole
        mine = _longest(secret, written)
        drawn = rng.integers(0, 10, (ALTERNATIVES, len(secret)))
        others = np.array([_longest("".join(map(str, one)), written) for one in drawn.tolist()])
        above, same = int((others > mine).sum()), int((others == mine).sum())
        rank = 1 + above + rng.random() * same  # ties in an order of chance
        exposures.append(float(np.log2((ALTERNATIVES + 1) / rank)))
    total = float(sum(exposures))
    return {
        "canaries": len(exposures),
        "alternatives": ALTERNATIVES,
        "exposures": exposures,
        "mean": total / len(exposures),
        "written": exact,
        "p_value": float(stats.gamma.sf(total * NATS, len(exposures))),
        "power": float(stats.gamma.ppf(0.95, len(exposures)) / len(exposures) / NATS),
    }


def _runs(texts: Sequence[str]) -> dict[int, set[str]]:
    """Return all runs of digits in texts, and their parts, by length; at most 16 digits of each."""
    found: dict[int, set[str]] = {}
    for text in texts:
        for run in re.findall(r"\d+", text):
            for length in range(1, min(len(run), 16) + 1):
                found.setdefault(length, set()).update(run[k : k + length] for k in range(len(run) - length + 1))
    return found


def _longest(secret: str, written: dict[int, set[str]]) -> int:
    """Return the length of the longest part of the digits that is written somewhere."""
    for length in range(min(len(secret), 16), 0, -1):
        there = written.get(length, set())
        if any(secret[k : k + length] in there for k in range(len(secret) - length + 1)):
            return length
    return 0

"""Randomness for private mechanisms: from the operating system, or from a seed (experiments only)."""

from __future__ import annotations

import math
import os
import secrets
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE, NOISE = 1, 2  # the purposes of randomness; each purpose and step has its own stream


class Draw(Protocol):
    """A stream of random numbers for one purpose and step; a `numpy.random.Generator` fits this protocol."""

    def random(self, size: int) -> NDArray[np.float64]:
        """Return uniform numbers (size,) in [0, 1)."""

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Return standard normal numbers of shape `size`, float64."""


class Source(Protocol):
    """Provides the random numbers of all steps."""

    def at(self, purpose: int, step: int) -> Draw:
        """Return the stream for `purpose` in `step`."""


class Seeded:
    """Pseudo-random numbers that depend on seed, purpose and step only: for experiments, never for a run to release."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def at(self, purpose: int, step: int) -> Draw:
        """Return NumPy's generator seeded by seed, purpose and step."""
        return np.random.default_rng([self.seed, purpose, step])


class Secure:
    """Unpredictable numbers from the operating system's generator, 53 bits each.

    A normal number is half the sum of four numbers of the Box-Muller method. The low bits of floating-point noise can
    reveal the value that it was added to (Mironov, CCS 2012); summing four makes that search infeasible
    (arXiv:2107.10138).
    """

    def at(self, purpose: int, step: int) -> Draw:
        """Return itself, because all its numbers are independent."""
        return self

    def random(self, size: int) -> NDArray[np.float64]:
        """Return uniform numbers (size,) in [0, 1)."""
        bits = np.frombuffer(os.urandom(8 * size), np.uint64) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Return standard normal numbers of shape `size`, float64."""
        n = math.prod(size)
        radii = np.sqrt(-2 * np.log1p(-self.random(2 * n)))
        angles = 2 * np.pi * self.random(2 * n)
        pairs = np.stack([radii * np.cos(angles), radii * np.sin(angles)]).reshape(4, n)
        pairs[2:] = np.roll(pairs[2:], 1, axis=1)  # so that no sum has both numbers of a Box-Muller pair, unless n is 1
        return np.asarray(pairs.sum(0).reshape(size) / 2)


def below(total: int) -> int:
    """Return an integer from 0 to `total` - 1, all of them exactly as likely, from the operating system's generator."""
    return secrets.randbelow(total)


def source(*, secure: bool, seed: int) -> Source:
    """Return `Secure` randomness, or, if not `secure`, randomness of `seed`."""
    return Secure() if secure else Seeded(seed)

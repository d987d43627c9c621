"""Read the figures of an audit's JSON, which is untrusted: each must have its type and lie within its bounds.

An absent figure raises `Missing`, which makes a finding unmeasured. An impossible figure, or one that contradicts
another, raises `FormatError`, because somebody changed it.
"""

from __future__ import annotations

import math
from typing import Any

from ult.errors import FormatError


class Missing(KeyError):
    """Raised for a figure that an audit does not have; its argument is the figure's name."""


def number(found: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number between two bounds. Raises `Missing` or `FormatError`."""
    value = field(found, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FormatError(f"an audit says that {name} is {value!r:.40}; expected {low:g} to {high:g}")
    if not math.isfinite(value):
        raise FormatError(f"an audit says that {name} is {value!r}; expected a finite number")
    return float(value)


def share(found: Any, name: str) -> float:
    """Return a figure from 0 to 1. Raises `Missing` or `FormatError`."""
    return number(found, name, 0.0, 1.0)


def count(found: Any, name: str) -> int:
    """Return an integer from 0 on. Raises `Missing` or `FormatError`."""
    value = field(found, name)
    if type(value) is not int or not 0 <= value < 2**53:
        raise FormatError(f"an audit says that {name} is {value!r:.40}; expected a whole number from 0 on")
    return value


def interval(found: Any, name: str, value: float) -> tuple[float, float]:
    """Return both ends, 0 to 1, of an interval, which must contain `value`. Raises `Missing` or `FormatError`."""
    ends = field(found, name)
    if not isinstance(ends, list) or len(ends) != 2:
        raise FormatError(f"an audit says that {name} is {ends!r:.40}; expected two numbers")
    low, high = (number({name: end}, name, 0.0, 1.0) for end in ends)
    if not low - 1e-9 <= value <= high + 1e-9:
        raise FormatError(f"an audit contradicts itself: {value:.4g} lies outside of {name}, {low:.4g} to {high:.4g}")
    return low, high


def part(found: Any, name: str) -> dict[str, Any]:
    """Return an object within an audit. Raises `Missing` if it is null or absent, `FormatError` if it is no object."""
    value = field(found, name)
    if value is None:
        raise Missing(name)
    if not isinstance(value, dict):
        raise FormatError(f"an audit says that {name} is {value!r:.40}; expected an object")
    return value


def several(found: Any, name: str) -> list[Any]:
    """Return a list within an audit. Raises `Missing` if it is absent or empty, `FormatError` if it is no list."""
    value = field(found, name)
    if not isinstance(value, list):
        raise FormatError(f"an audit says that {name} is {value!r:.40}; expected a list")
    if not value:
        raise Missing(name)
    return value


def field(found: Any, name: str) -> Any:
    """Return the value under `name`. Raises `Missing` if it is absent, `FormatError` if `found` is no object."""
    if not isinstance(found, dict):
        raise FormatError(f"an audit says {found!r:.40} where an object with {name} is expected")
    if name not in found:
        raise Missing(name)
    return found[name]


def agree(stated: float, computed: float, name: str) -> None:
    """Raise `FormatError` unless a stated figure equals the one computed from other figures of the audit."""
    if abs(stated - computed) > 1e-6 * max(1.0, abs(computed)):
        raise FormatError(
            f"an audit contradicts itself: {name} is {stated:.6g}, and its other figures make {computed:.6g}",
            hint="audit again: somebody changed it",
        )

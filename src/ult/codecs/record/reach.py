"""How a number that has begun may still end in its bin: the fewest characters that are missing, or that none can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from ult.codecs.record.field import Field

_CORE = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?(?:([eE])([+-]?)([0-9]*))?")
GROUP = "_"  # stands for the mark between thousands
_DIGITS = 400  # more digits than any number of a bin needs


class Interval(NamedTuple):
    """The values from `low` to `high`; None is without bound, and the flags say whether an end belongs to it."""

    low: Fraction | None
    high: Fraction | None
    with_low: bool = True
    with_high: bool = False

    def mirrored(self) -> Interval:
        """Return the interval of the negated values."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Interval(low, high, self.with_high, self.with_low)

    def scaled(self, factor: Fraction) -> Interval:
        """Return the interval of the values times a positive factor."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return Interval(low, high, self.with_low, self.with_high)

    def holds(self, value: Fraction) -> bool:
        """Return whether a value lies in it."""
        above = self.low is None or value > self.low or (self.with_low and value == self.low)
        return above and (self.high is None or value < self.high or (self.with_high and value == self.high))

    def places(self, least: Fraction, span: Fraction, scale: int) -> int | None:
        """Return how many decimal places beyond `scale` a value of [least, least + span) needs to lie in it."""
        low = least if self.low is None else max(least, self.low)
        step = Fraction(1, 10**scale)
        for more in range(_DIGITS):
            value = -(-low // step) * step
            if not self.holds(value) and value == self.low:
                value += step
            if value < least + span and self.holds(value):
                return more
            if self.high is not None and (low > self.high or (low == self.high and not self.holds(low))):
                return None
            if low >= least + span:
                return None
            step /= 10
        return None


def interval_of(edges: tuple[str, ...], number: int) -> Interval:
    """Return the values of bin `number` between `edges`."""
    low = Fraction(edges[number - 1]) if number else None
    return Interval(low, Fraction(edges[number]) if number < len(edges) else None)


def fewest(core: str, within: Interval, field: Field) -> int | None:
    """Return the fewest characters that make of `core`, the beginning of a number, one in `within`; None if none do.

    `core` has a point as its decimal mark, and GROUP between thousands.
    """
    found = _CORE.fullmatch(core.replace(GROUP, ""))
    if found is None:
        return None
    sign, whole, point, fraction, e, e_sign, e_digits = found.groups()
    options = []
    if not sign and not core:
        negative = fewest("-", within, field)
        options += [1 + negative] if negative is not None else []
    size = within.mirrored() if sign == "-" else within
    if e:
        options += _exponents(Fraction(f"{whole or '0'}.{fraction or '0'}"), e_sign, e_digits, size)
    elif point:
        options += _fractions(whole, fraction or "", size, field)
    else:
        options += _wholes(whole, core, size, field)
    return min(options) if options else None


def _exponents(mantissa: Fraction, sign: str, typed: str, size: Interval) -> Iterator[int]:
    """Yield how many characters are missing to each exponent that leads into `size`."""
    for negative in (False, True) if not sign and not typed else (sign == "-",):
        for more in range(3 - len(typed) + 1):
            if not typed and not more:
                continue
            first = int(typed or "0") * 10**more
            for exponent in range(first, first + 10**more):
                power = Fraction(10) ** (-exponent if negative else exponent)
                if size.holds(mantissa * power):
                    yield more + int(negative and not sign)
                    return


def _fractions(whole: str, fraction: str, size: Interval, field: Field) -> Iterator[int]:
    """Yield how many characters are missing to a number that goes on after its point."""
    least, scale = Fraction(f"{whole or '0'}.{fraction or '0'}"), len(fraction)
    more = size.places(least, Fraction(1, 10**scale), scale)
    if more is not None:
        yield max(more, int(not whole and not fraction))
    if field.exponent:
        first = int(not whole and not fraction)
        yield from (first + cost for cost in _scaled(least, Fraction(1, 10**scale), scale, size))


def _wholes(whole: str, core: str, size: Interval, field: Field) -> Iterator[int]:
    """Yield how many characters are missing to a number that has no point yet."""
    grouped = GROUP in core
    open_digits = 3 - len(core.rsplit(GROUP, 1)[1]) if grouped else 0
    for step in range(_DIGITS // 3):
        more = open_digits + 3 * step if grouped else step
        cost = open_digits + (len(field.thousands.encode("utf-8")) + 3) * step if grouped else step
        if not whole and not more:
            continue
        least = Fraction(int(whole or "0") * 10**more)
        if size.high is not None and least > size.high:
            break
        places = size.places(least, Fraction(10**more), 0)
        if places is not None:
            yield cost + (places + 1 if places else 0)
            break
    if not whole:
        yield from (1 + cost for cost in _fractions("", "", size, field))
    if field.exponent:
        first = int(not whole)
        span = Fraction(1) if whole else Fraction(10)
        yield from (open_digits + first + cost for cost in _scaled(Fraction(int(whole or "0")), span, 0, size))


def _scaled(least: Fraction, span: Fraction, scale: int, size: Interval) -> Iterator[int]:
    """Yield how many characters are missing if a value of [least, least + span) takes an exponent."""
    for exponent in sorted(range(-999, 1000), key=abs):
        power = Fraction(10) ** exponent
        target = size.scaled(1 / power)
        below = target.high is not None and target.high < least
        if below or (target.low is not None and target.low > least + span):
            continue
        places = target.places(least, span, scale)
        if places is not None:
            yield places + (1 if places and not scale else 0) + 1 + len(str(exponent))
            return

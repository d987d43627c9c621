"""How a number that has begun may still end in its bin: the fewest characters that are missing, or that none can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

from ult.codecs.record.field import Field
from ult.codecs.record.typed import Plain

_CORE = re.compile(r"([+-]?)([0-9]*)(?:(\.)([0-9]*))?(?:([eE])([+-]?)([0-9]*))?")
_PLAIN = re.compile(r"(-?)(0|[1-9][0-9]*|)(?:(?<=[0-9])(\.)([0-9]*))?")
GROUP = "_"  # stands for the mark between thousands
_DIGITS = 400  # more digits than any number of a bin needs
_POWERS = range(-999, 1000)  # the exponents that a number may have
_EXACT = Context(
    prec=2**13, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation]
)  # of more digits than any number has
_ZERO, _ONE, _TEN = Decimal(0), Decimal(1), Decimal(10)


class Interval(NamedTuple):
    """The values from `low` to `high`; None is without bound, and the flags say whether an end belongs to it."""

    low: Decimal | None
    high: Decimal | None
    with_low: bool = True
    with_high: bool = False

    def mirrored(self) -> Interval:
        """Return the interval of the negated values."""
        low, high = (None if end is None else end.copy_negate() for end in (self.high, self.low))
        return Interval(low, high, self.with_high, self.with_low)

    def both(self, low: Decimal | None, high: Decimal | None) -> Interval:
        """Return the values that lie from `low` to `high`, both included, as well."""
        found = self
        if low is not None and (found.low is None or found.low < low):
            found = found._replace(low=low, with_low=True)
        if high is not None and (found.high is None or found.high > high):
            found = found._replace(high=high, with_high=True)
        return found

    def scaled(self, power: int) -> Interval:
        """Return the interval of the values times 10 to a power."""
        low, high = (None if end is None else end.scaleb(power, _EXACT) for end in (self.low, self.high))
        return Interval(low, high, self.with_low, self.with_high)

    def holds(self, value: Decimal) -> bool:
        """Return whether a value lies in it."""
        above = self.low is None or value > self.low or (self.with_low and value == self.low)
        return above and (self.high is None or value < self.high or (self.with_high and value == self.high))

    def places(self, least: Decimal, span: Decimal, scale: int) -> int | None:
        """Return how many decimal places beyond `scale` a value of [least, least + span) needs to lie in it."""
        if scale == 0 and self.holds(least):
            return 0
        low = least if self.low is None else max(least, self.low)
        end = _EXACT.add(least, span)
        if low >= end or (self.high is not None and (low > self.high or (low == self.high and not self.holds(low)))):
            return None
        for more in range(_DIGITS):
            step = _ONE.scaleb(-scale - more, _EXACT)
            value = low.quantize(step, ROUND_CEILING, _EXACT)
            if value == self.low and not self.with_low:
                value = _EXACT.add(value, step)
            if value < end and self.holds(value):
                return more
        return None

    def holds_power(self, mantissa: Decimal, powers: range) -> bool:
        """Return whether `mantissa`, 0 or above, times 10 to one of consecutive powers lies in it."""
        if not mantissa:
            return self.holds(_ZERO)
        if not powers or (self.high is not None and self.high <= 0):
            return False
        first = powers[0]
        if self.low is not None and self.low > 0:
            first = max(first, self.low.adjusted() - mantissa.adjusted())
        return any(x in powers and self.holds(mantissa.scaleb(x, _EXACT)) for x in (first, first + 1))


def interval_of(edges: tuple[str, ...], number: int) -> Interval:
    """Return the values of bin `number` between `edges`."""
    return _between(edges[number - 1] if number else "", edges[number] if number < len(edges) else "")


@lru_cache(maxsize=2**12)
def _between(low: str, high: str) -> Interval:
    return Interval(Decimal(low) if low else None, Decimal(high) if high else None)


def fewest_plain(core: str, within: Interval, plain: Plain) -> int | None:
    """Return the fewest characters that make of `core` a number in `within`, as a column of a type writes it."""
    found = _PLAIN.fullmatch(core)
    if found is None:
        return None
    sign, whole, point, fraction = found.groups()
    within = within.both(Decimal(plain.low) if plain.low else None, Decimal(plain.high) if plain.high else None)
    size = (within.mirrored() if sign else within).both(Decimal(plain.tiny), None)
    options = [] if core else [1 + more for more in [fewest_plain("-", within, plain)] if more is not None]
    zero = not sign and within.holds(_ZERO)
    if point:
        options += _places_after(whole, fraction or "", size, plain, zero=zero)
    for more in range(plain.whole - len(whole) + 1 if not point else 0):
        begun = whole + "0" * more if whole else "1" + "0" * (more - 1)
        if (whole == "0" and more) or not begun or (not whole and not more):
            continue
        least = Decimal(begun)
        span = _TEN.scaleb(more - 1, _EXACT) if whole else 9 * least
        starts = [(least, span)] if whole or more > 1 else [(_ZERO, _TEN)]
        for low, wide in starts:
            if plain.least == 0 and (size.places(low, wide, 0) == 0 or (zero and low == 0)):
                options.append(more)
            for places in range(max(plain.least, 1), min(plain.most, plain.total - len(begun)) + 1):
                if _ends_at(low, wide, places, size, plain) or (zero and low == 0 and plain.least):
                    options.append(more + 1 + places)
                    break
        if options and min(options) <= more + 1:
            break
    return min(options) if options else None


def _places_after(whole: str, fraction: str, size: Interval, plain: Plain, *, zero: bool) -> Iterator[int]:
    """Yield how many digits are missing after a point, if so many as the type allows lead into `size`."""
    least, span = Decimal(f"{whole}.{fraction or '0'}"), _ONE.scaleb(-len(fraction), _EXACT)
    for places in range(max(len(fraction), plain.least, 1), min(plain.most, plain.total - len(whole)) + 1):
        if _ends_at(least, span, places, size, plain) or (zero and least == 0 and plain.least):
            yield places - len(fraction)
            return


def _ends_at(least: Decimal, span: Decimal, places: int, size: Interval, plain: Plain) -> bool:
    """Return whether a value of [least, least + span) with so many places, the last not 0 unless all are, is held."""
    step = _ONE.scaleb(-places, _EXACT)
    low = least if size.low is None else max(least, size.low)
    value = low.quantize(step, ROUND_CEILING, _EXACT)
    if value == size.low and not size.with_low:
        value = _EXACT.add(value, step)
    if not plain.least and value.as_tuple().digits[-1] == 0:
        value = _EXACT.add(value, step)
    return value < _EXACT.add(least, span) and size.holds(value)


def stays(core: str, within: Interval) -> bool:
    """Return whether every number without an exponent that begins with `core` lies in `within`."""
    sign, (whole, point, fraction) = core[:1], core.lstrip("+-").replace(GROUP, "").partition(".")
    if not (whole + fraction).isdecimal():  # such as half a mark between thousands
        return False
    size = within.mirrored() if sign == "-" else within
    value = Decimal(f"{whole or '0'}.{fraction or '0'}")
    end = _EXACT.add(value, _ONE.scaleb(-len(fraction), _EXACT)) if point else None
    return size.holds(value) and (size.high is None or (end is not None and end <= size.high))


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
        options += _exponents(Decimal(f"{whole or '0'}.{fraction or '0'}"), e_sign, e_digits, size)
    elif point:
        options += _fractions(whole, fraction or "", size, field)
    else:
        options += _wholes(whole, core, size, field)
    return min(options) if options else None


def _exponents(mantissa: Decimal, sign: str, typed: str, size: Interval) -> Iterator[int]:
    """Yield how many characters are missing to an exponent that leads into `size`, if one does."""
    for negative in (False, True) if not sign and not typed else (sign == "-",):
        for more in range(3 - len(typed) + 1):
            if not typed and not more:
                continue
            first, count = int(typed or "0") * 10**more, 10**more
            if size.holds_power(
                mantissa, range(1 - first - count, 1 - first) if negative else range(first, first + count)
            ):
                yield more + int(negative and not sign)
                return


def _fractions(whole: str, fraction: str, size: Interval, field: Field) -> Iterator[int]:
    """Yield how many characters are missing to a number that goes on after its point."""
    least, scale = Decimal(f"{whole or '0'}.{fraction or '0'}"), len(fraction)
    span = _ONE.scaleb(-scale, _EXACT)
    more = size.places(least, span, scale)
    if more is not None:
        yield max(more, int(not whole and not fraction))
    if field.exponent:
        first = int(not whole and not fraction)
        yield from (first + cost for cost in _scaled(least, span, scale, size))


def _wholes(whole: str, core: str, size: Interval, field: Field) -> Iterator[int]:
    """Yield how many characters are missing to a number that has no point yet."""
    grouped = GROUP in core
    open_digits = 3 - len(core.rsplit(GROUP, 1)[1]) if grouped else 0
    for step in range(_DIGITS // 3):
        more = open_digits + 3 * step if grouped else step
        cost = open_digits + (len(field.thousands.encode("utf-8")) + 3) * step if grouped else step
        if not whole and not more:
            continue
        least = Decimal((whole or "0") + "0" * more)
        if size.high is not None and least > size.high:
            break
        places = size.places(least, _TEN.scaleb(more - 1, _EXACT), 0)
        if places is not None:
            yield cost + (places + 1 if places else 0)
            break
    if not whole:
        yield from (1 + cost for cost in _fractions("", "", size, field))
    if field.exponent:
        first = int(not whole)
        span = _ONE if whole else _TEN
        yield from (open_digits + first + cost for cost in _scaled(Decimal(whole or "0"), span, 0, size))


def _scaled(least: Decimal, span: Decimal, scale: int, size: Interval) -> Iterator[int]:
    """Yield how many characters are missing if a value of [least, least + span) takes an exponent.

    The larger the exponent, the more places does the value need, so of all exponents that are as long the smallest one
    is best.
    """
    first, last = _POWERS[0], _POWERS[-1]
    if size.low is not None and size.low > 0:
        first = max(first, size.low.adjusted() - _EXACT.add(least, span).adjusted())
    if size.high is not None and size.high > 0 and least:
        last = min(last, size.high.adjusted() - least.adjusted())
    for begin in (-999, -99, -9, 0, 10, 100):  # of exponents of one length
        for exponent in range(max(begin, first), min(last, max(begin, first) + 2) + 1):
            places = size.scaled(-exponent).places(least, span, scale)
            if places is not None:
                yield places + (1 if places and not scale else 0) + 1 + len(str(exponent))
                break

"""Numbers as they were written: the bin of the value first, then the text, which makes it exact.

A number is read as a decimal and compared with the edges of its field as decimals, so that its bin never depends on
rounding: float64 keeps the order of decimals of up to `EDGE_DIGITS` digits, and longer ones are compared exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells, Known
from ult.codecs.patches import Ends
from ult.codecs.record.field import EDGE_DIGITS, Field
from ult.codecs.record.pattern import (
    Machine,
    Pattern,
    compile_pattern,
    digits,
    either,
    literal,
    maybe,
    one_of,
    repeat,
    sequence,
    texts,
)
from ult.host.kernel import njit

_POWERS = 10.0 ** np.arange(23)  # exact in float64


class Numbers:
    """The texts of a field of numbers: which are numbers, what their values are, and in which bins these lie."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.machine = compile_pattern(
            sequence(texts(sorted(set(field.before))), core(field), texts(sorted(set(field.after))))
        )
        self.named = frozenset(field.missing)
        self.missing = self.named | {""}
        self._group = np.frombuffer(field.thousands.encode("utf-8"), np.uint8)
        self._codes = Known(list(field.edges_by))
        every = [field.edges, *field.edges_by.values()]
        self._edges = np.array([float(edge) for edges in every for edge in edges])
        self._stops = np.cumsum([len(edges) for edges in every])

    def is_number(self, data: NDArray[np.uint8], ends: Ends) -> NDArray[np.bool_]:
        """Return (n,) bool: which of the n texts are numbers of the field's form."""
        return self.machine.matches(data, ends)

    def bins(self, cells: Cells, codes: Cells | None) -> NDArray[np.int64]:
        """Return the bin of each number, (n,); `codes` are the cells of the field `by`, if there is one."""
        which = np.zeros(len(cells), np.int64) if codes is None else self._codes.numbers(codes) + 1
        marks, tables = (ord(self.field.decimal), self.field.exponent, self._group), (self._edges, self._stops, _POWERS)
        bins, sure = _bins(cells.data, cells.ends, which, *marks, *tables, 10**EDGE_DIGITS)
        for i in np.flatnonzero(~sure).tolist():
            edges = self.field.edges_for(None if codes is None else codes[i])
            bins[i] = self.exact_bin(self.plain(cells[i] or ""), edges)
        return bins  # type: ignore[no-any-return]

    def bin_of(self, cell: str, code: str | None) -> int:
        """Return the bin of one number."""
        return int(self.bins(Cells.of([cell]), None if not self.field.by else Cells.of([code]))[0])

    @staticmethod
    def exact_bin(plain: str, edges: Sequence[str]) -> int:
        """Return the bin of a number, which is how many of the edges are not above it."""
        value = Decimal(plain)
        return sum(Decimal(edge) <= value for edge in edges)

    def plain(self, cell: str) -> str:
        """Return the number alone, as Python writes it: without what stands before and after, and a point in it."""
        best = ""
        for before in self.field.before:
            for after in self.field.after:
                inner = cell[len(before) : len(cell) - len(after)] if cell.endswith(after) else ""
                if inner and cell.startswith(before) and self._core.accepts(inner.encode("utf-8", "surrogatepass")):
                    best = max(best, inner, key=len)
        best = best.replace(self.field.thousands, "") if self.field.thousands else best
        return best.replace(self.field.decimal, ".")

    def core_size(self, text: bytes) -> int:
        """Return how many of the first bytes of `text` belong to a number, finished or not."""
        state, size = 0, 0
        for byte in text:
            state = int(self._core.follow[state, byte])
            if state < 0:
                break
            size += 1
        return size

    def is_core(self, text: bytes) -> bool:
        """Return whether `text` is a whole number, without what stands before and after."""
        return self._core.accepts(text)

    @cached_property
    def _core(self) -> Machine:
        return compile_pattern(core(self.field))


def core(field: Field) -> Pattern:
    """Return the pattern of a number without what stands before and after it."""
    point = literal(field.decimal)
    whole = digits(1)
    if field.thousands:
        whole = either(whole, sequence(digits(1, 3), repeat(sequence(literal(field.thousands), digits(3, 3)), 1, None)))
    fraction = either(sequence(whole, maybe(point, digits(0))), sequence(point, digits(1)))
    tail = maybe(one_of("eE"), maybe(one_of("+-")), digits(1, 3)) if field.exponent else sequence()
    return sequence(maybe(one_of("+-")), fraction, tail)


@njit(cache=True)
def _stands(group: NDArray[np.uint8], data: NDArray[np.uint8], at: int, end: int) -> bool:
    """Return whether the bytes `group`, if there are any, stand in `data` at `at`, before `end`."""
    return len(group) > 0 and at + len(group) <= end and np.array_equal(data[at : at + len(group)], group)


@njit(cache=True)
def _bins(
    data: NDArray[np.uint8],
    ends: Ends,
    which: NDArray[np.int64],
    decimal: int,
    exponents: bool,
    group: NDArray[np.uint8],
    edges: NDArray[np.float64],
    stops: NDArray[np.int64],
    powers: NDArray[np.float64],
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the bin of each number, and whether float64 sufficed to tell.

    A number begins with the first sign, digit or decimal mark of its text, and ends before the first byte that belongs
    to none; the bytes `group` stand between thousands.
    """
    bins, sure = np.zeros(len(ends), np.int64), np.zeros(len(ends), np.bool_)
    start = 0
    for i in range(len(ends)):
        mantissa, scale, power, sign = 0, 0, 0, 1
        begun = negative = point = exponent = wide = False
        k = start
        while k < ends[i]:
            byte = data[k]
            k += 1
            if byte == 45 or byte == 43:  # - or +
                begun = True
                if byte == 45 and exponent:
                    sign = -1
                elif byte == 45:
                    negative = True
            elif byte == decimal:
                begun = point = True
            elif 48 <= byte <= 57:
                begun = True
                if exponent:
                    power = 10 * power + byte - 48
                elif mantissa >= most // 10:
                    wide = True
                else:
                    mantissa = 10 * mantissa + byte - 48
                    if point:
                        scale += 1
            elif begun and exponents and (byte == 101 or byte == 69):  # e or E
                exponent = True
            elif begun and _stands(group, data, k - 1, ends[i]):
                k += len(group) - 1
            elif begun:
                break
        start = ends[i]
        power = sign * power - scale
        if wide or power < -22 or power > 22:
            continue
        value = float(mantissa) * powers[power] if power >= 0 else float(mantissa) / powers[-power]
        if negative:
            value = -value
        low = stops[which[i] - 1] if which[i] else 0
        bins[i] = np.searchsorted(edges[low : stops[which[i]]], value, side="right")
        sure[i] = value < 1e15 and value > -1e15
    return bins, sure

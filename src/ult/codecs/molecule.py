"""`molecule/smiles`: SMILES and reaction SMILES, cut into atoms, bonds, rings and brackets; lossless for any `str`.

A symbol is a token of SMILES (Weininger, 1988; opensmiles.org), or a byte. Outside brackets the tokens of more than a
byte are the atoms `Cl` and `Br` and the ring bonds `%10` to `%99`; inside `[...]` they are the elements of two letters,
the aromatic `as`, `se`, `si`, `te`, and `@@`. Everything else is written as its bytes of UTF-8, so any text can be
encoded, valid SMILES or not. Tokens are taken from left to right, the longest first, so the symbols before a cut never
depend on what follows it.

- 0..255: a byte (lone surrogates as in Python's "surrogatepass");
- 256 + i: `UNITS[i]`.

A patch is a molecule with the `.` or `>` that follow it, or `MAX_PATCH` symbols of a longer one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.base import Codec, check_option
from ult.codecs.grammar import REFUSED, Automaton, Follow, utf8_follow
from ult.codecs.patches import Ends, Patches, Symbols
from ult.codecs.text import TextBytes, from_utf8, utf8
from ult.errors import CorruptSymbols
from ult.host.kernel import njit

MAX_PATCH = 256  # symbols
PERCENT, ZERO, DOT, ARROW, OPEN, CLOSE = b"%0.>[]"
OUTSIDE = ("Cl", "Br")
ELEMENTS = """
    He Li Be Ne Na Mg Al Si Cl Ar Ca Sc Ti Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Zr Nb Mo Tc Ru Rh Pd Ag Cd
    In Sn Sb Te Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr
    Ra Ac Th Pa Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
""".split()  # noqa: SIM905
INSIDE = (*ELEMENTS, "as", "se", "si", "te", "@@")
RINGS = tuple(f"%{number}" for number in range(10, 100))
UNITS = (*INSIDE, *RINGS)
_FIRST_RING = 256 + len(INSIDE)


def _pairs() -> NDArray[np.uint16]:
    """Return (2, 128, 128) uint16: the symbol of each pair of bytes outside [0] or inside [1] brackets, or 0."""
    pairs = np.zeros((2, 128, 128), np.uint16)
    for inside, units in enumerate((OUTSIDE, INSIDE)):
        for unit in units:
            pairs[inside, ord(unit[0]), ord(unit[1])] = 256 + UNITS.index(unit)
    return pairs


_PAIRS = _pairs()
_SPELLING = np.zeros((256 + len(UNITS), 3), np.uint8)  # the bytes of each symbol
_SPELLING[:256, 0] = np.arange(256)
_SPELLING[256:] = [[*unit.encode().ljust(3, b"\0")] for unit in UNITS]
_WIDTH = np.array([1] * 256 + [len(unit) for unit in UNITS], np.int64)


class MoleculeSmiles(Codec[str]):
    """Lossless codec of any `str`; `max_length` is in bytes of UTF-8.

    >>> codec = MoleculeSmiles()
    >>> patches = codec.encode("Clc1ccccc1.[Na+].[OH-]>>Oc1ccccc1")
    >>> codec.decode(patches.symbols)
    'Clc1ccccc1.[Na+].[OH-]>>Oc1ccccc1'
    >>> [codec.decode(patch) for patch in np.split(patches.symbols, patches.ends[:-1])]
    ['Clc1ccccc1.', '[Na+].', '[OH-]>>', 'Oc1ccccc1']
    """

    id: ClassVar[str] = "molecule/smiles"
    modality: ClassVar[str] = "molecule"
    lossless: ClassVar[bool] = True
    alphabet = 256 + len(UNITS)
    max_patch = MAX_PATCH

    def __init__(self, *, max_length: int = 2**28) -> None:
        check_option("max_length", max_length, 1, 2**40)
        self.max_length = self.max_symbols = max_length

    def encode(self, record: str) -> Patches:
        """Return the patches of a `str`; raise `InvalidRecord` for another type or a record over `max_length`."""
        return self.encode_batch([record])

    def encode_batch(self, records: Sequence[str]) -> Patches:
        """Return the patches of several records, cut in one pass over their bytes."""
        data = [utf8(record, self.max_length) for record in records]
        stops = np.cumsum([len(d) for d in data], dtype=np.int64)
        return Patches(*_cut(np.frombuffer(b"".join(data), np.uint8), stops))

    def decode(self, symbols: Symbols) -> str:
        """Return the text; raise `CorruptSymbols` unless `encode` of that text gives `symbols`."""
        data, count = _spell(self._check(symbols), self.max_length)
        if count < len(symbols):
            raise CorruptSymbols(f"{self.id} symbol {count} is not the unit that an encoder cuts")
        return from_utf8(data.tobytes())

    def prefixes(self, symbols: Symbols) -> NDArray[np.int64]:
        """Return every k at which a character ends, up to the first symbol that `encode` would not write there."""
        symbols = self._check(symbols)
        data, count = _spell(symbols, self.max_length)
        ends = np.append(0, np.cumsum(_WIDTH[symbols[:count]]))
        return np.flatnonzero(np.isin(ends, TextBytes(max_length=self.max_length).prefixes(data)))

    def nbytes(self, record: str) -> int:
        """Return the length of `record` in UTF-8."""
        return len(utf8(record, self.max_length))

    def config(self) -> dict[str, Any]:
        """Return `max_length`."""
        return {"max_length": self.max_length}

    def grammar(self, values: int = 0) -> Automaton:
        """Return the automaton of the symbols that `encode` writes."""
        return Automaton(*_follow(surrogates=True), _WIDTH, self.max_length)

    def usual_grammar(self, values: int = 0) -> Automaton:
        """Return the automaton of the symbols that `encode` writes of a text without lone surrogates."""
        return Automaton(*_follow(surrogates=False), _WIDTH, self.max_length)


class _Before(NamedTuple):
    """The state that decides which symbols may follow."""

    utf8: int  # a state of `utf8_follow`
    inside: bool  # whether inside brackets
    byte: int = 0  # the last symbol, if another byte could extend it to a longer token; else 0
    byte_inside: bool = False  # whether that symbol stood inside brackets
    ring: bool = False  # whether % and a digit 1-9 came last, so that another digit would complete a ring bond


@functools.cache
def _follow(*, surrogates: bool) -> tuple[Follow, NDArray[np.bool_]]:
    """Return the automaton of what `_unit` cuts, and which of its states may end a record."""
    utf8, _ = utf8_follow(surrogates=surrogates)
    states = {_Before(0, False): 0}
    rows: list[list[int]] = []
    while len(rows) < len(states):
        before = list(states)[len(rows)]
        following = [_after(before, symbol, utf8) for symbol in range(MoleculeSmiles.alphabet)]
        rows.append([REFUSED if after is None else states.setdefault(after, len(states)) for after in following])
    return np.array(rows, np.int16), np.array([state.utf8 == 0 for state in states])


def _after(before: _Before, symbol: int, utf8: Follow) -> _Before | None:
    """Return the state after `symbol`, or None if `encode` would not write it there."""
    data = _SPELLING[symbol, : _WIDTH[symbol]]
    longer = data[0] < 128 and _PAIRS[int(before.byte_inside), before.byte, data[0]] != 0
    if longer or (before.ring and ZERO <= data[0] < ZERO + 10) or _unit(data, 0, len(data), before.inside) != symbol:
        return None
    state = before.utf8
    for byte in data:
        state = utf8[state, byte] if state >= 0 else state
    if state < 0:
        return None
    inside = _next_state(before.inside, symbol)
    percent = before.byte == PERCENT and not before.byte_inside
    ring = percent and ZERO < symbol < ZERO + 10
    starts = symbol < 128 and (_PAIRS[int(before.inside), symbol].any() or (symbol == PERCENT and not before.inside))
    return _Before(int(state), bool(inside), *((symbol, before.inside) if starts else (0, False)), ring=ring)


@njit(cache=True)
def _unit(data: NDArray[np.uint8], at: int, stop: int, inside: bool) -> int:
    """Return the symbol of the longest token that starts at `at`, in a record that ends at `stop`."""
    byte = data[at]
    if byte == PERCENT and not inside and at + 2 < stop:
        tens, ones = data[at + 1] - ZERO, data[at + 2] - ZERO
        if 1 <= tens <= 9 and 0 <= ones <= 9:
            return int(_FIRST_RING + 10 * tens + ones - 10)
    if at + 1 < stop and byte < 128 and data[at + 1] < 128:
        pair = _PAIRS[int(inside), byte, data[at + 1]]
        if pair:
            return int(pair)
    return int(byte)


@njit(cache=True)
def _next_state(inside: bool, symbol: int) -> bool:
    """Return whether the symbol after `symbol` is inside brackets."""
    return symbol == OPEN or (inside and symbol != CLOSE)


@njit(cache=True)
def _cut(data: NDArray[np.uint8], stops: Ends) -> tuple[Symbols, Ends, Ends]:
    """Return the fields of `Patches` for records that end at `stops` in `data`."""
    symbols = np.empty(len(data), np.uint32)
    ends = np.empty(len(data), np.int64)
    records = np.empty(len(stops), np.int64)
    n = patches = at = 0
    for record in range(len(stops)):
        stop, inside, start = stops[record], False, n
        while at < stop:
            symbol = _unit(data, at, stop, inside)
            inside = _next_state(inside, symbol)
            symbols[n] = symbol
            n += 1
            at += _WIDTH[symbol]
            apart = symbol in (DOT, ARROW) and at < stop and data[at] != ARROW
            if apart or n - start == MAX_PATCH or at == stop:
                ends[patches] = n
                patches += 1
                start = n
        records[record] = patches
    return symbols[:n].copy(), ends[:patches].copy(), records


@njit(cache=True)
def _spell(symbols: Symbols, max_length: int) -> tuple[NDArray[np.uint8], int]:
    """Return the bytes of the longest prefix that `_cut` would write, at most `max_length` bytes, and its symbol count.

    Each new symbol is checked with the two before it: together they may form a longer token than the one written.
    """
    data = np.empty(3 * len(symbols), np.uint8)
    at = 0
    inside = np.zeros(len(symbols) + 1, np.bool_)
    for n in range(len(symbols)):
        width = _WIDTH[symbols[n]]
        if at + width > max_length:
            return data[:at], n
        for i in range(width):
            data[at + i] = _SPELLING[symbols[n], i]
        start = at
        for k in range(n, max(n - 3, -1), -1):
            if k < n:
                start -= _WIDTH[symbols[k]]
            if _unit(data, start, at + width, inside[k]) != symbols[k]:
                return data[:at], n
        inside[n + 1] = _next_state(inside[n], symbols[n])
        at += width
    return data[:at], len(symbols)

"""Names of units that are one but for how they are spelled: of one person, `7` in a table and `7.0` in another.

Taken for two, a person would be two records, and a promise for each record would be half a promise for that person. So
such names are refused, as is what stands for no name at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ult.codecs.cells import Cells
from ult.data.missing import MISSING
from ult.data.rows import Chunk
from ult.errors import SourceError

_LONGEST = max(map(len, MISSING))
_NUMBER = re.compile(r"0*(\d+)(?:\.0*)?", re.ASCII)
_UUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.ASCII | re.IGNORECASE)
_UUID_BYTES = 36
_SPACE, _DOT, _ZERO, _NINE, _A, _F, _ASCII = 32, 46, 48, 57, 65, 70, 128
Hashes = NDArray[np.int64]
Units = Callable[[], Iterable[tuple[Chunk, Cells]]]


def plain(unit: str) -> str:
    """Return the name of a unit without what is only spelling.

    That is spaces around it, zeros before it, `.0` behind it, and the case of a UUID.

    >>> plain(" 007.0"), plain("P07"), plain("0"), plain("1.5")
    ('7', 'P07', '0', '1.5')
    """
    folded = (unit if unit.isascii() else unicodedata.normalize("NFKC", unit)).strip()
    if match := _NUMBER.fullmatch(folded):
        return match[1]
    return folded.lower() if len(folded) == _UUID_BYTES and _UUID.fullmatch(folded) else folded


def nameless(units: Cells) -> int:
    """Return the number of the first unit that is empty, blank or one of `MISSING`, -1 if each is a name."""
    sizes = units.sizes
    if not sizes.all():
        return int(np.argmin(sizes > 0))
    first = units.data[units.ends - sizes]
    few = np.flatnonzero((first <= _SPACE) | ((sizes <= _LONGEST) & ((first < _ZERO) | (first > _NINE))))
    texts = units.taken(few).tolist()
    return next((int(few[k]) for k, one in enumerate(texts) if str(one).strip().lower() in MISSING), -1)


class Spellings:
    """The names of units that are not `plain`, each as two hashes: that of its plain name, and its own."""

    def __init__(self) -> None:
        self._pairs: list[Hashes] = []
        self._waiting = self._least = 0

    def add(self, units: Cells) -> None:
        """Note the units of some rows."""
        texts = {str(one) for one in units.taken(_odd(units)).tolist()}
        found = [(hash(name), hash(one)) for one in texts if (name := plain(one)) != one]
        if not found:
            return
        self._pairs.append(np.array(found, np.int64))
        self._waiting += len(found)
        if self._waiting > 2 * self._least + 2**16:
            self._least = self._waiting = len(self.pairs)

    @property
    def pairs(self) -> Hashes:
        """The hashes, (n, 2), each pair once."""
        if self._pairs:
            self._pairs = [np.unique(np.concatenate(self._pairs), axis=0)]
        return self._pairs[0] if self._pairs else np.zeros((0, 2), np.int64)


def check_alike(spellings: Iterable[Spellings], hashes: Callable[[], Iterable[Hashes]], units: Units) -> None:
    """Raise `SourceError`, naming both rows, if two units have one plain name.

    `hashes` returns those of all units, and is called only if some are not plain; `units` yields them with their rows.
    """
    pairs = np.unique(np.concatenate([one.pairs for one in spellings]), axis=0)
    if not len(pairs):
        return
    names, counts = np.unique(pairs[:, 0], return_counts=True)
    twice = set(names[counts > 1].tolist())
    for every in hashes():
        twice |= set(np.intersect1d(names, every).tolist())
    if twice:
        _raise(twice, units())


def spelled_twice(place: str, before: str) -> SourceError:
    """Return the error for a row whose unit is that of the row `before` in another spelling."""
    return SourceError(
        f"{place}: its unit is that of {before} but for spaces, zeros before it, .0 behind it or a UUID's case; "
        "expected one spelling, or one person would be taken for two",
        hint="write it in one way in every row; units that are two need names that differ in more",
    )


def _raise(twice: set[int], units: Iterable[tuple[Chunk, Cells]]) -> None:
    met: dict[str, tuple[str, str]] = {}
    for chunk, i, unit in _rows(units):
        name = plain(unit)
        if hash(name) not in twice:
            continue
        before, place = met.setdefault(name, (unit, chunk.place(i)))
        if before != unit:
            raise spelled_twice(chunk.place(i), place)


def _rows(units: Iterable[tuple[Chunk, Cells]]) -> Iterator[tuple[Chunk, int, str]]:
    for chunk, column in units:
        fresh = np.flatnonzero(~column.repeats())
        for i, unit in zip(fresh.tolist(), column.taken(fresh).tolist(), strict=True):
            yield chunk, i, str(unit)


def _odd(units: Cells) -> Hashes:
    """Return the numbers of the units, none of which is empty, that may not be plain; only some of them are not."""
    data, ends, sizes = units.data, units.ends, units.sizes
    first, last = data[ends - sizes], data[ends - 1]
    found = (first <= _SPACE) | (last <= _SPACE) | (last == _DOT) | ((first == _ZERO) & (sizes > 1))
    found |= _holding(units, data >= _ASCII)
    if (zeros := last == _ZERO).any():
        found |= zeros & _holding(units, data == _DOT)
    if (uuids := sizes == _UUID_BYTES).any():
        found |= uuids & _holding(units, (data >= _A) & (data <= _F))
    return np.flatnonzero(found & ~units.repeats())


def _holding(units: Cells, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n,) bool: which units hold one of these bytes."""
    found = np.zeros(len(units), np.bool_)
    found[np.searchsorted(units.ends, np.flatnonzero(which), "right")] = True
    return found

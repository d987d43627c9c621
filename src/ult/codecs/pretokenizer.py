"""The pretokenizer of `text/bytes`: cuts UTF-8 bytes into words, digit groups, punctuation and white space.

The rule is frozen. It is defined on bytes, not on Unicode's tables, which change between Python versions. A patch is

- a word: letters, after at most one space and at most one apostrophe (`" don"`, `"'t"`, `" 's"`);
- a digit group: up to `DIGITS` digits, after at most one space;
- punctuation: anything else that is not white space, after at most one space;
- white space: a run of spaces, tabs and line breaks, without a last space that belongs to what follows.

A character beyond ASCII is a letter, except in the blocks of punctuation and symbols that `_kind` lists. No patch is
longer than `MAX_PATCH` bytes, so the time to cut and merge a record is linear in its length, whatever it holds.

`_patch_end` states the rule for one patch. `cut_words` runs an automaton over the bytes, which finds the same ends at
half the cost, and calls `_patch_end` for patches that reach `MAX_PATCH`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends
from ult.host.kernel import njit

MAX_PATCH = 64  # bytes
DIGITS = 4
LETTER, DIGIT, SPACE, BREAK, OTHER, APOSTROPHE, INNER, UNSURE = range(8)  # the last three are kinds of bytes only


def _ascii_kinds() -> NDArray[np.uint8]:
    kinds = np.full(128, OTHER, np.uint8)
    for code in range(128):
        character = chr(code)
        if character.isalpha():
            kinds[code] = LETTER
        elif character.isdigit():
            kinds[code] = DIGIT
        elif character == " ":
            kinds[code] = SPACE
        elif character in "\t\n\v\f\r":
            kinds[code] = BREAK
    return kinds


def _byte_kinds() -> NDArray[np.uint8]:
    """Return the kind of each byte: `INNER` continues a character; after `UNSURE` the second byte decides."""
    kinds = np.full(256, LETTER, np.uint8)
    kinds[:128] = _ascii_kinds()
    kinds[39] = APOSTROPHE
    kinds[0x80:0xC0] = INNER
    kinds[[0xC2, 0xE2, 0xE3, 0xF0]] = UNSURE
    return kinds


# The states of the automaton. A state is a bit offset into a 64-bit word, so that one shift finds the next state.
_ONE_SPACE, _SPACES, _BREAKS, _QUOTE, _WORD, _DIGIT, _PUNCTUATION = 0, 6, 12, 18, 24, 30, 54
_STATES = range(0, 60, 6)  # `_DIGIT` is the first of `DIGITS` states, one for each digit of a group
_CUT, _BACK = 1, 2  # flags: a patch ends before this byte; and it ends one byte before that
_START = {
    LETTER: _WORD, DIGIT: _DIGIT, SPACE: _ONE_SPACE, BREAK: _BREAKS, OTHER: _PUNCTUATION, APOSTROPHE: _QUOTE
}  # fmt: skip


def _follow(state: int, kind: int) -> tuple[int, int]:
    """Return the state after a byte of `kind`, and the flags `_CUT` and `_BACK` of a patch that ended before it."""
    if kind == INNER:
        return state, 0
    if state <= _BREAKS and kind in (SPACE, BREAK):
        return _SPACES if kind == SPACE else _BREAKS, 0
    if state == _ONE_SPACE:
        return _START[kind], 0
    if state == _SPACES:
        return _START[kind], _CUT | _BACK
    if state in (_QUOTE, _WORD) and kind == LETTER:
        return _WORD, 0
    if state in (_QUOTE, _PUNCTUATION) and kind in (OTHER, APOSTROPHE):
        return _PUNCTUATION, 0
    if _DIGIT <= state < _PUNCTUATION - 6 and kind == DIGIT:
        return state + 6, 0
    return _START[kind], _CUT


def _automaton() -> NDArray[np.uint64]:
    """Return (8, 2) uint64: for each kind, the next states and the flags, packed at the bit offset of each state."""
    table = np.zeros((8, 2), np.uint64)
    for kind in range(UNSURE):
        for state in _STATES:
            for column, value in enumerate(_follow(state, kind)):
                table[kind, column] |= np.uint64(value << state)
    return table


_ASCII = _ascii_kinds()
_BYTES = _byte_kinds()
_NEXT = _automaton()[_BYTES]
_NEXT_OTHER, _NEXT_LETTER = _automaton()[OTHER], _automaton()[LETTER]
_STARTS = np.array([_START.get(kind, 0) for kind in range(8)], np.uint64)
_ONE, _LOW6 = np.uint64(1), np.uint64(63)


@njit(cache=True)
def _kind(data: NDArray[np.uint8], at: int) -> int:
    """Return the kind of the character that starts at `at`."""
    lead = data[at]
    if lead < 0x80:
        return int(_ASCII[lead])
    second = data[at + 1]
    other = (
        lead == 0xC2  # U+0080 .. U+00BF: controls, Latin-1 punctuation
        or (lead == 0xE2 and second < 0xB0)  # U+2000 .. U+2BFF: punctuation, arrows, mathematics, symbols
        or (lead == 0xE3 and second == 0x80)  # U+3000 .. U+303F: CJK punctuation
        or (lead == 0xF0 and second == 0x9F)  # U+1F000 .. U+1FFFF: pictographs
    )
    return OTHER if other else LETTER


@njit(cache=True)
def _width(lead: int) -> int:
    """Return the bytes of the character whose first byte is `lead`."""
    if lead < 0x80:
        return 1
    if lead < 0xE0:
        return 2
    return 3 if lead < 0xF0 else 4


@njit(cache=True)
def _patch_end(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Return where the patch that starts at `start` ends, in a record that ends at `stop`."""
    limit = min(start + MAX_PATCH, stop)
    at = start
    kind = _kind(data, at)
    if kind in (SPACE, BREAK):
        while at < stop and at <= limit and kind in (SPACE, BREAK):  # stop at the limit, so that long runs stay linear
            at += 1
            kind = _kind(data, at) if at < stop else BREAK
        if at == stop or data[at - 1] != 32:
            return min(at, limit)
        if at - 1 > start:
            return min(at - 1, limit)
        # A single space belongs to what follows.
    if data[at] == 39 and at + 1 < stop and _kind(data, at + 1) == LETTER:
        at += 1
        kind = LETTER
    first = at
    if kind == DIGIT:
        limit = min(limit, first + DIGITS)
    while at < limit:
        lead = data[at]
        if lead < 0x80:
            if _ASCII[lead] != kind:
                break
            at += 1
        else:
            if _kind(data, at) != kind or at + _width(lead) > limit:
                break
            at += _width(lead)
    return at


@njit(cache=True)
def cut_words(data: NDArray[np.uint8], stops: Ends) -> tuple[Ends, Ends]:
    """Return `ends` and `records` of `Patches`, for records that end at `stops` in `data`."""
    ends = np.empty(len(data) + 1, np.int64)  # the loop writes one end ahead of `n`
    records = np.empty(len(stops), np.int64)
    n = at = np.uint64(0)
    for record in range(len(stops)):
        stop = np.uint64(stops[record])
        start = at
        while at < stop:
            state = _STARTS[_sure(data, at)]
            at += _ONE
            while at < stop:
                byte = np.uint64(data[at])
                following, cuts = _NEXT[byte, 0], _NEXT[byte, 1]
                if byte >= 0xC2 and _BYTES[byte] == UNSURE:
                    other = _sure(data, at) == OTHER
                    following, cuts = (_NEXT_OTHER[0], _NEXT_OTHER[1]) if other else (_NEXT_LETTER[0], _NEXT_LETTER[1])
                cuts >>= state
                state = (following >> state) & _LOW6
                ends[n] = end = at - ((cuts >> _ONE) & _ONE)
                n += cuts & _ONE
                start = end if cuts & _ONE else start
                if at - start >= MAX_PATCH:
                    break
                at += _ONE
            if at < stop:  # the patch that starts at `start` has reached MAX_PATCH
                start = at = ends[n] = np.uint64(_patch_end(data, np.int64(start), np.int64(stop)))
                n += _ONE
        if start < stop:
            ends[n] = stop
            n += _ONE
        records[record] = n
    return ends[:n], records


@njit(cache=True)
def _sure(data: NDArray[np.uint8], at: np.uint64) -> int:
    """Return the kind of the character whose first byte is at `at`."""
    kind = int(_BYTES[data[at]])
    return _kind(data, np.int64(at)) if kind == UNSURE else kind

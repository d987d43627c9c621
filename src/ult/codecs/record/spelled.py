"""The state of a text that is being spelled byte by byte."""

from __future__ import annotations

from typing import NamedTuple

from ult.codecs.grammar import utf8_follow
from ult.codecs.record.column import NULL, TEXT
from ult.codecs.record.field import LeftOut
from ult.codecs.record.pattern import Machine

_AFTER: list[list[int]] = utf8_follow()[0].tolist()
_USUAL: list[list[int]] = utf8_follow(surrogates=False)[0].tolist()
_LEFT = (0, 1, 2, 3, 2, 3, 3, 2)  # bytes until a character ends, in each state of UTF-8


class Spelled(NamedTuple):
    """A text so far: the state of UTF-8, and its bytes as long as they matter, else None.

    They matter while they may become the absent cell, and up to `wanted` bytes, for the bins of a code. `nullable` says
    whether NULL may stand in place of the text. If `usual`, there are no lone surrogates, and `shape` is the state of
    the automaton of what the field's type holds, if there is one.
    """

    absent: bytes | None
    nullable: bool
    wanted: int = 0
    text: bytes | None = b""
    utf8: int = 0
    null: bool = False
    usual: bool = False
    shape: int = 0


def without_text(state: Spelled) -> Spelled:
    """Return a state without its bytes, if these cannot become the absent cell."""
    matters = state.text is None or (state.absent or b"").startswith(state.text)
    return state if matters else state._replace(text=None, wanted=0)


def start_text(absent: LeftOut, wanted: int = 0, *, nullable: bool, usual: bool) -> Spelled:
    """Return the state of an empty text."""
    left = absent.encode("utf-8", "surrogatepass") if isinstance(absent, str) else None
    return Spelled(left, nullable, wanted, usual=usual)


def least_bytes(state: Spelled, machine: Machine | None) -> int:
    """Return the fewest bytes that complete a text that is not the absent cell, in a column of what `machine` takes."""
    if state.null:
        return 0
    held = int(machine.missing[state.shape]) if machine is not None and state.usual else 0
    if state.utf8:
        return _LEFT[state.utf8] + held
    same = state.absent is not None and state.text == state.absent
    if held or not same:
        return held
    return 1 + (_fewest_after(machine, state.shape) if machine is not None and state.usual else 0)


def _fewest_after(machine: Machine, shape: int) -> int:
    follow = machine.follow[shape]
    return int(machine.missing[follow[follow >= 0]].min(initial=0))


def spelled(state: Spelled, symbol: int, machine: Machine | None = None) -> Spelled | None:
    """Return the state after a byte, or after NULL at the start; None if no text goes on so.

    `machine` takes what the field's column holds, which matters only if the state is `usual`.
    """
    if symbol == NULL:
        null = state.nullable and state.text == b"" and not state.null and not state.utf8
        return state._replace(null=True) if null else None
    if symbol >= TEXT or state.null:
        return None
    after, shape = (_USUAL if state.usual else _AFTER)[state.utf8][symbol], state.shape
    if machine is not None and state.usual:
        shape = int(machine.follow[shape, symbol])
    if after < 0 or shape < 0:
        return None
    text = None if state.text is None else state.text + bytes([symbol])
    if text is not None and len(text) > state.wanted and not (state.absent or b"").startswith(text):
        text = None
    only = shape and machine is not None and not (machine.follow[shape] >= 0).any()  # which nothing can follow
    return (
        None
        if only and text is not None and text == state.absent
        else state._replace(text=text, utf8=after, shape=shape)
    )

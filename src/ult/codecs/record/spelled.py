"""The state of a text that is being spelled byte by byte."""

from __future__ import annotations

from typing import NamedTuple

from ult.codecs.grammar import utf8_follow
from ult.codecs.record.column import NULL, TEXT
from ult.codecs.record.field import LeftOut

_FOLLOW, _ = utf8_follow()
_AFTER: list[list[int]] = _FOLLOW.tolist()
_LEFT = (0, 1, 2, 3, 2, 3, 3)  # bytes until a character ends, in each state of UTF-8


class Spelled(NamedTuple):
    """A text so far: the state of UTF-8, and its bytes as long as they matter, else None.

    They matter while they may become the absent cell, and up to `wanted` bytes, for the bins of a code. `nullable` says
    whether NULL may stand in place of the text.
    """

    absent: bytes | None
    nullable: bool
    wanted: int = 0
    text: bytes | None = b""
    utf8: int = 0
    null: bool = False

    @property
    def least(self) -> int:
        """The fewest bytes that complete a text that is not the absent cell."""
        if self.utf8:
            return _LEFT[self.utf8]
        return int(self.absent is not None and not self.null and self.text == self.absent)


def without_text(state: Spelled) -> Spelled:
    """Return a state without its bytes, if these cannot become the absent cell."""
    matters = state.text is None or (state.absent or b"").startswith(state.text)
    return state if matters else state._replace(text=None, wanted=0)


def start_text(absent: LeftOut, wanted: int = 0, *, nullable: bool) -> Spelled:
    """Return the state of an empty text."""
    return Spelled(absent.encode("utf-8", "surrogatepass") if isinstance(absent, str) else None, nullable, wanted)


def spelled(state: Spelled, symbol: int) -> Spelled | None:
    """Return the state after a byte, or after NULL at the start; None if no text goes on so."""
    if symbol == NULL:
        null = state.nullable and state.text == b"" and not state.null and not state.utf8
        return state._replace(null=True) if null else None
    if symbol >= TEXT or state.null:
        return None
    after = _AFTER[state.utf8][symbol]
    if after < 0:
        return None
    text = None if state.text is None else state.text + bytes([symbol])
    if text is not None and len(text) > state.wanted and not (state.absent or b"").startswith(text):
        text = None
    return state._replace(text=text, utf8=after)

"""A part of the records of a training, as `--part 2/8` names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ult.errors import InvalidConfig

MOST = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number`, from 0, of `of` parts.

    >>> str(Part.read("2/8"))
    '2/8'
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Part:
        """Return the part that a text names. Raises `InvalidConfig`."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        number, of = map(int, found.groups()) if found else (0, 0)
        if not number < of <= MOST:
            raise InvalidConfig(
                f"part is {text!r:.40}; expected one of 0/OF to OF-1/OF, with OF at most {MOST}", hint="--part 0/4"
            )
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

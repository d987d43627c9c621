"""One account of everything that looks at a record: whoever reads records says for what, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ult.errors import InvalidConfig
from ult.public.guarantee import Spent

_READING: ContextVar[str] = ContextVar("reading", default="")
_ROUNDED = 1 + 1e-9  # sums of parts of a number


class Account:
    """What was promised, and what each look at the records spent of it. Without a promise nothing is charged."""

    def __init__(self, asked: Spent | None) -> None:
        self.asked = asked
        self.parts: list[tuple[str, float, float]] = []

    @contextmanager
    def reading(self, what: str, cost: Spent | None) -> Iterator[None]:
        """Let the block read the records for `what`. Raises `InvalidConfig` if the promise does not cover its cost."""
        if self.asked is not None:
            self._charge(what, cost)
        with _named(what):
            yield

    def _charge(self, what: str, cost: Spent | None) -> None:
        if cost is None or self.asked is None:
            raise InvalidConfig(f"{what} reads records, and nothing was charged for it")
        parts = [*self.parts, (what, *cost)]
        if sum(one for _, one, _ in parts) > self.asked.epsilon * _ROUNDED:
            raise InvalidConfig(f"{what} costs epsilon {cost.epsilon:.3g}, more than is left of {self.asked.epsilon:g}")
        if sum(one for _, _, one in parts) > self.asked.delta * _ROUNDED:
            raise InvalidConfig(f"{what} costs delta {cost.delta:.3g}, more than is left of {self.asked.delta:g}")
        self.parts = parts

    @contextmanager
    def handling(self, what: str) -> Iterator[None]:
        """Let the block read the records for what tells nothing of them but their number, such as encoding them."""
        with _named(what):
            yield


@contextmanager
def _named(what: str) -> Iterator[None]:
    token = _READING.set(what)
    try:
        yield
    finally:
        _READING.reset(token)


def reading() -> str:
    """Return what the records are being read for, by the account; empty if nothing says that they may be."""
    return _READING.get()

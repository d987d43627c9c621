"""What a command says on how files are read, where a file alone leaves a choice; nothing of it is guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ult.data.layout import Layout
from ult.data.rows import listed
from ult.errors import InvalidConfig

_FOR = {
    "layer": (".h5ad",),
    "window": (".hea", ".edf", ".bdf"),
    "layout": (".npy", ".npz"),
}  # the suffixes that have such a choice


@dataclass(frozen=True, slots=True)
class Reading:
    """`layer` is the matrix of a `.h5ad` that holds the records, by default X. `window`, in seconds, cuts a signal.

    `layout` spells the axes of an array of images, as `Layout` reads it.
    """

    layer: str | None = None
    window: float | None = None
    layout: str | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Self:
        """Return the choices of a mapping; raise `InvalidConfig` for an unknown name or a value that is none."""
        names = [field.name for field in fields(cls)]
        if unknown := set(given or {}) - set(names):
            raise InvalidConfig(f"reading has {listed(sorted(unknown))}; expected {listed(names)}")
        reading = cls(**(given or {}))
        if reading.layer is not None and not isinstance(reading.layer, str):
            raise InvalidConfig(f"layer is {reading.layer!r}; expected a name such as layers/counts")
        if reading.layout is not None:
            Layout.of(reading.layout)
        window = reading.window
        if window is not None and not (
            isinstance(window, int | float) and not isinstance(window, bool) and 0 < window < math.inf
        ):
            raise InvalidConfig(f"window is {window!r}; expected seconds, more than 0")
        return reading

    def given(self) -> dict[str, Any]:
        """Return the choices that were made, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def check(self, kind: str) -> None:
        """Raise `InvalidConfig` if inputs of this suffix leave no such choice."""
        for name in self.given():
            if kind not in _FOR[name]:
                raise InvalidConfig(f"--{name} is for {', '.join(_FOR[name])} files; the inputs are {kind}")


AS_IT_IS = Reading()

"""How many synthetic records have each label: as asked, or as the records have them, by counts with noise."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ult.codecs.record.field import Field
from ult.data import Source
from ult.errors import InvalidConfig
from ult.owner import fields
from ult.privacy.randomness import NOISE, Draw, Secure


@dataclass(frozen=True, slots=True)
class Condition:
    """The column of the labels, empty if none is asked for; `asked` are how many records of each, if that is said."""

    column: str = ""
    labels: tuple[str, ...] = ()
    asked: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, column: str, labels: Sequence[str] | Mapping[str, int], rows: int, *, private: bool) -> Condition:
        """Return what was asked. Raises `InvalidConfig` for what contradicts itself or would be read without charge."""
        if not column:
            if labels:
                raise InvalidConfig("labels were given without a condition, their column", hint="--condition outcome")
            return cls()
        if isinstance(labels, Mapping):
            return cls(column, tuple(labels), _checked(labels, rows))
        named = tuple(dict.fromkeys([labels] if isinstance(labels, str) else labels))
        if private and not named:
            raise InvalidConfig(
                f"which labels {column!r} has would be read from the records, which epsilon does not cover; expected "
                "to be told them",
                hint="--label yes --label no; or how many of each, --label yes=500",
            )
        return cls(column, named)

    @property
    def counts(self) -> bool:
        """Whether records are counted by their labels."""
        return bool(self.column) and not self.asked

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"column": self.column, "labels": list(self.labels), "asked": dict(self.asked)}


def _checked(asked: Mapping[str, int], rows: int) -> dict[str, int]:
    if any(type(n) is not int or n < 1 for n in asked.values()) or sum(asked.values()) != rows:
        raise InvalidConfig(
            f"{sum(asked.values()):,} records of labels were asked for, and {rows:,} rows; expected the same",
            hint=f"--rows {sum(asked.values())}",
        )
    return dict(asked)


def counted(source: Source, layout: Sequence[Field], condition: Condition) -> dict[str, int]:
    """Return how many records have each label; without named ones, each that there is. Nothing is added to a count."""
    (place,) = [k for k, one in enumerate(layout) if one.name == condition.column]
    found: Counter[str] = Counter()
    for batch in source.batches():
        found.update(cell for record in batch.records if isinstance(cell := record[place], str))
    if not condition.labels:
        return dict(sorted(found.items()))
    return {label: found[label] for label in condition.labels}


def noisy(counts: Mapping[str, int], epsilon: float, draw: Draw | None = None) -> dict[str, int]:
    """Return counts with integer noise, none below 0. A record has one label, so together they spend `epsilon`.

    The noise is the difference of two geometric numbers, so that k is e^-epsilon times as likely as k - 1.
    """
    draw = Secure().at(NOISE, 0) if draw is None else draw
    uniform = 1 - draw.random(2 * len(counts))  # in (0, 1]
    drawn = np.floor(np.log(uniform) / -epsilon).astype(np.int64)
    return {label: max(0, n + int(noise)) for (label, n), noise in zip(
        counts.items(), drawn[: len(counts)] - drawn[len(counts) :], strict=True
    )}  # fmt: skip


def shared(counts: Mapping[str, float], rows: int) -> dict[str, int]:
    """Return how many of `rows` records get each label, in the proportion of the counts.

    >>> shared({"yes": 30, "no": 70}, 9)
    {'yes': 3, 'no': 6}
    """
    total = sum(counts.values())
    exact = {label: rows * (n / total if total else 1 / len(counts)) for label, n in counts.items()}
    found = {label: math.floor(one) for label, one in exact.items()}
    late = sorted(exact, key=lambda label: found[label] - exact[label])  # by what was cut off, most first
    for label in late[: rows - sum(found.values())]:
        found[label] += 1
    return found


def sequence(counts: Mapping[str, int], seed: int) -> list[str]:
    """Return the label of each record, in an order that the seed draws."""
    every = [label for label, n in counts.items() for _ in range(n)]
    return [every[k] for k in np.random.default_rng(seed).permutation(len(every))]


def check_codec(codec: str, condition: Condition) -> None:
    """Raise `InvalidConfig` if records of the codec have no column of labels."""
    if condition.column and codec != fields.CODEC:
        raise InvalidConfig(
            f"{codec} records have no column {condition.column!r}; expected records of fields",
            hint=f"--codec {fields.CODEC}",
        )

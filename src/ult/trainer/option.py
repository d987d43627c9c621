"""Declare options: the default of each, what it may be, what it goes together with, and its help.

The command line, the file of arguments and the checks are made from these declarations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ult.errors import InvalidConfig

MOST = 2**31  # every integer is below


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a dataclass, as `option` declares it."""

    name: str
    kind: type  # of its value: bool, int, float, str, Path (kept as a string) or tuple (of floats)
    default: Any
    help: str  # a sentence without its full stop, for a person
    panel: str = ""  # the heading under which it stands
    unset: str = ""  # what None means, in words; None is allowed if there are any
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: str = ""  # the name of another option, whose value is the upper bound
    below: float | None = None
    words: tuple[str, ...] = ()  # that stand for a number which the training chooses
    tasks: tuple[str, ...] = ()  # that have it; none if all do
    needs: str = ""  # the name of another option, without which it means nothing
    needs_flag: str = ""  # how that one is called on the command line
    excludes: tuple[str, ...] = ()  # options that cannot be given beside it
    flag: str = ""  # its name on the command line, and
    metavar: str = ""  # what stands there for a value
    shapes_weights: bool = True  # False for what leaves the trained weights as they are

    def is_set(self, values: object) -> bool:
        """Return whether `values`, an object of the dataclass, has another value than the default."""
        return bool(getattr(values, self.name) != self.default)

    def checked(self, value: Any) -> Any:
        """Return a value as it is kept. Raises `InvalidConfig` if it has another type or is out of range."""
        if value is None and self.unset:
            return None
        if self.kind is tuple:
            return self._numbers(value)
        if self.words and isinstance(value, str):
            return value if value in self.words else self._number(value)
        if self.kind is Path and isinstance(value, Path):
            return str(value)
        if self.kind is float and type(value) is int:
            value = float(value)
        right = isinstance(value, str if self.kind is Path else self.kind)
        if not right or (self.kind is not bool and isinstance(value, bool)) or not self._in_range(value):
            raise InvalidConfig(f"{self.name} is {value!r}; expected {self.expected}")
        return value

    @property
    def expected(self) -> str:
        """What the option may be, in words."""
        kinds = {bool: "true or false", int: "an integer", float: "a number", tuple: "numbers"}
        told = self.range if self.choices else f"{kinds.get(self.kind, 'a text')} {self.range}".strip()
        return " or ".join([told, *self.words])

    @property
    def range(self) -> str:
        """The choices or the bounds of the option, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        bounds = (("of at least", self.at_least), ("above", self.above), ("below", self.below))
        return " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)

    @property
    def sentence(self) -> str:
        """The help as a sentence, after the tasks and the option that it needs."""
        condition = ", ".join([*self.tasks, *([f"with {self.needs_flag}"] if self.needs else [])])
        text = f"{condition}: {self.help[0].lower()}{self.help[1:]}." if condition else f"{self.help}."
        return text if self.tasks else text[0].upper() + text[1:]

    @property
    def notes(self) -> str:
        """The default and the range, in words."""
        default = json.dumps(self.default) if isinstance(self.default, bool) else self.default
        said = bool(self.choices) and all(choice in self.help for choice in self.choices)
        limits = "" if said else self.range.removeprefix("of ")
        return "; ".join(filter(None, [f"default: {self.unset or default}", limits]))

    def _in_range(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind not in (int, float):
            return True
        return self._within(value)

    def _number(self, text: str) -> float:
        """Return the number that a text of the command line says."""
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not self._within(found):
            raise InvalidConfig(f"{self.name} is {text!r}; expected {self.expected}")
        return found

    def _numbers(self, value: Any) -> tuple[float, ...]:
        try:
            found = tuple(map(float, value.split(",") if isinstance(value, str) else value))
        except (TypeError, ValueError):
            raise InvalidConfig(
                f"{self.name} is {value!r}; expected numbers with commas", hint=f"{self.flag} 3,1,1"
            ) from None
        if not found or not all(self._within(number) for number in found):
            raise InvalidConfig(f"{self.name} is {value!r}; expected weights above {self.above:g}")
        return found

    def _within(self, number: float) -> bool:
        low = (self.at_least is None or number >= self.at_least) and (self.above is None or number > self.above)
        return low and number < (MOST if self.below is None else self.below)

    def check_beside(self, values: Any, options: Mapping[str, Option]) -> None:
        """Raise `InvalidConfig` if the option of `values` is set and does not go together with the others."""
        if not self.is_set(values):
            return
        value, task = getattr(values, self.name), getattr(values, "task", None)
        if self.tasks and task not in self.tasks:
            raise InvalidConfig(
                f"{self.name} was given for task {task!r}; it is for {' and '.join(self.tasks)}",
                hint=f"--task {self.tasks[0]}, or leave out {self.flag}",
            )
        if self.needs and not options[self.needs].is_set(values):
            raise InvalidConfig(
                f"{self.name} was given without {self.needs}",
                hint=f"{self.needs_flag} {options[self.needs].metavar}".strip(),
            )
        for other in self.excludes:
            if options[other].is_set(values):
                raise InvalidConfig(f"{self.name} and {other} were both given; expected one of them")
        if self.at_most and getattr(values, "epochs", None) is None and value > getattr(values, self.at_most):
            raise InvalidConfig(
                f"{self.name} is {value}; expected at most the {getattr(values, self.at_most)} {self.at_most}"
            )


def option(default: Any, **declared: Any) -> Any:
    """Declare a field of a dataclass as an option; `declared` are fields of `Option`."""
    return field(default=default, metadata={"declared": declared})


def options_of(kind: type) -> dict[str, Option]:
    """Return the options that a dataclass declares, by name, in order."""
    hints, found = get_type_hints(kind), {}
    declared = {one.name: one.metadata.get("declared") for one in fields(kind)}
    flags = {name: (told or {}).get("flag") or f"--{name.replace('_', '-')}" for name, told in declared.items()}
    for one in fields(kind):
        told = declared[one.name]
        if one.default is MISSING or told is None:
            raise TypeError(f"{kind.__name__}.{one.name} is a field, but not declared by option(default, help=...)")
        told = {**told, "flag": flags[one.name], "needs_flag": flags.get(told.get("needs", ""), "")}
        found[one.name] = Option(one.name, _kind(hints[one.name]), one.default, **told)
    return found


def _kind(hint: Any) -> type:
    kinds = [part for part in get_args(hint) or (hint,) if part is not type(None)]
    if Path in kinds:
        return Path
    plain: type = kinds[0] if kinds[0] in (bool, int, float, str) else tuple
    return plain

"""Check the arguments of the library's functions, by name, before a function reads or writes anything.

>>> @checked(path=path, n=integer(1), force=switch)
... def write(path, *, n=1, force=False):
...     return n
>>> write("out", n="2")
Traceback (most recent call last):
ult.errors.InvalidConfig: n is '2'; expected an integer of at least 1
"""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ult.errors import InvalidConfig
from ult.host.remote import scheme_of

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[str, Any], Any]  # called with the name of an argument and its value; returns the value to use
_LONGEST = 40  # characters of a text that an error quotes


def checked(**checks: Check) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function whose arguments are checked at each call; one that is at its default always passes.

    Every argument has a check, except `self`, `cls` and `**options`. A check returns the value to use, or raises
    `InvalidConfig`, which says the argument's name, what it is and what was expected.
    """

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(work)
        given = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        names = [one.name for one in given if one.name not in ("self", "cls")]
        if sorted(names) != sorted(checks):
            raise TypeError(f"{work.__qualname__} takes {names}, and {list(checks)} are checked")

        @functools.wraps(work)
        def run(*args: P.args, **options: P.kwargs) -> T:
            bound = signature.bind(*args, **options)
            for name, value in bound.arguments.items():
                if name in checks and value is not signature.parameters[name].default:
                    bound.arguments[name] = checks[name](name, value)
            return work(*bound.args, **bound.kwargs)

        return run

    return decorate


def refusal(name: str, value: object, expected: str, *, hint: str = "") -> InvalidConfig:
    """Return the error for an argument; it quotes numbers and short texts, and of anything else names the type."""
    plain = value is None or isinstance(value, bool | int | float)
    quoted = plain or (isinstance(value, str) and len(value) <= _LONGEST)
    met = repr(value) if quoted else f"of type {type(value).__name__}"
    return InvalidConfig(f"{name} is {met}; expected {expected}", hint=hint)


def integer(least: int | None = None) -> Check:
    """Return a check for an integer, of Python or NumPy, that is at least `least`; True and False are none."""
    expected = "an integer" if least is None else f"an integer of at least {least}"

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
            raise refusal(name, value, expected)
        return int(value)

    return check


def number(name: str, value: Any) -> float:
    """Check for a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise refusal(name, value, "a number")
    return int(value) if isinstance(value, Integral) else float(value)


def switch(name: str, value: Any) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise refusal(name, value, "True or False")
    return value


def switch_or(word: str) -> Check:
    """Return a check for True, False, or a word that stands for a third way."""

    def check(name: str, value: Any) -> bool | str:
        if not isinstance(value, bool) and value != word:
            raise refusal(name, value, f"True, False or {word!r}")
        return bool(value) if value != word else word

    return check


def text(expected: str = "a text") -> Check:
    """Return a check for a text."""
    return kind(str, expected)


def texts(expected: str) -> Check:
    """Return a check for a text, or a sequence of texts, which may be empty."""
    return one_or_more(text(expected), f"{expected}, or a list of them", none=True)


def secret(name: str, value: Any) -> Any:
    """Check for a secret text, or a function that asks for it; no error quotes it."""
    if not isinstance(value, str) and not callable(value):
        expected = "a text, or a function that asks for one"
        raise InvalidConfig(
            f"the {name} is of type {type(value).__name__}; expected {expected}", hint=f"{name}=getpass.getpass"
        )
    return value


def path_or(expected: str, stands: Callable[[Any], bool] = lambda value: False, *, remote: bool = False) -> Check:
    """Return a check for a path, or for a value that `stands` for one; `expected` says what may be given.

    Unless it may be `remote`, an address is refused, so that nothing leaves this machine by mistake.
    """

    def check(name: str, value: Any) -> Any:
        if stands(value):
            return value
        if isinstance(value, os.PathLike) and isinstance(there := os.fspath(value), str):
            value = value if isinstance(value, Path) else there
        elif not isinstance(value, str):
            raise refusal(name, value, expected)
        if not str(value) or "\0" in str(value):
            met = "a text with a zero byte" if str(value) else "empty"
            raise InvalidConfig(f"{name} is {met}; expected {expected}")
        if not remote and (scheme := scheme_of(value)):
            raise InvalidConfig(
                f"{name} is a {scheme}:// address; expected a local path", hint="copy it to or from this machine"
            )
        return value

    return check


path = path_or("a path")
place = path_or("a path, or an address such as s3://bucket/run", remote=True)


def one_or_more(check: Check, expected: str, *, none: bool = False) -> Check:
    """Return a check for what `check` takes, or a sequence of it, which is empty only if `none` is allowed."""

    def check_all(name: str, value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
            return check(name, value)
        if not value and not none:
            raise InvalidConfig(f"{name} is empty; expected {expected}, or several")
        return [check(f"{name}[{k}]", one) for k, one in enumerate(value)]

    return check_all


def call(name: str, value: Any) -> Any:
    """Check for a function."""
    if not callable(value):
        raise refusal(name, value, "a function")
    return value


def inputs(name: str, value: Any) -> Any:
    """Check for the path of a file with records, or for several."""
    several = [value] if isinstance(value, str | Path) else value
    if isinstance(several, Sequence) and not isinstance(several, bytes | bytearray):
        wrong = [(f"{name}[{k}]", one) for k, one in enumerate(several) if not isinstance(one, str | Path)]
    else:
        wrong = [(name, value)]
    for place, one in wrong:
        hint = "save records as .csv or .parquet first; ult.Table.fit takes records themselves"
        raise refusal(place, one, "paths of files with records", hint=hint)
    return value


def by_name(expected: str) -> Check:
    """Return a check for values by name, of which `expected` gives an example."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value):
            raise refusal(name, value, expected)
        return value

    return check


def kind(of: type | tuple[type, ...], expected: str) -> Check:
    """Return a check for an object of a class, or of one of several."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, of):
            raise refusal(name, value, expected)
        return value

    return check


COLUMNS: dict[str, Check] = {  # of the inputs of a function
    "column": text("the name of one column"),
    "keep": texts("the name of a column"),
    "reading": by_name("what of a file is read, such as {'layer': 'raw/X'}"),
}
KEYS: dict[str, Check] = {  # of a table that is read
    "passphrase": secret,
    "identities": one_or_more(path_or("an age secret key, or the path of a file of some"), "", none=True),
}

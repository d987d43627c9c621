"""What a command says on how files are read, where a file alone leaves a choice; nothing of it is guessed."""

from __future__ import annotations

import codecs
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from ult.data.images.layout import Layout
from ult.errors import InvalidConfig

COMMA_FILES = (".csv", ".tsv", ".data")  # `.data` are those of the UCI repository, which have no header
ENCODED = (*COMMA_FILES, ".txt", ".jsonl", ".ndjson")
_BOOKS = (".xlsx", ".xlsm")
_FOR = {  # the inputs that have such a choice
    "layer": (".h5ad",),
    "window": (".hea", ".edf", ".bdf", ".wav"),
    "layout": (".npy", ".npz"),
    "separator": COMMA_FILES,
    "encoding": ENCODED,
    "header": (*COMMA_FILES, *_BOOKS),
    "sheet": _BOOKS,
    "query": ("sqlite:", "postgresql:"),
    "skip_unreadable": ("image",),
}
_FLAGS = {"header": "--no-header", "skip_unreadable": "--skip-unreadable"}
ONCE = ("skip_unreadable",)  # what a schema does not remember
_SWITCHES = ("header", "skip_unreadable")
_TABS = ("tab", "\\t")  # names of the tab, because few know how to type one in a shell
_NO_TEXT = {"unicode_escape", "raw_unicode_escape", "idna", "punycode", "undefined", "mbcs", "oem", "utf_7"}


@dataclass(frozen=True, slots=True)
class Reading:
    """`layer` is the matrix of a `.h5ad` that holds the records, by default X. `window`, in seconds, cuts a signal.

    `layout` spells the axes of an array of images, as `Layout` reads it.

    `separator` stands between the cells of a line of a `.csv`; by default the comma, in a `.tsv` the tab. `encoding` is
    that of a text file; by default UTF-8, or the UTF-16 that the byte order mark of a `.csv` announces. Without
    `header`, line 1 is a record and the columns are called c1, c2 and so on. `sheet` is the name of a sheet of a
    workbook. `query` is the SQL that a database is asked. `skip_unreadable` leaves out files of a folder of images that
    cannot be read, which are counted. Raises `InvalidConfig`.

    Cells are kept, bytes are not: which cells of a file were in quotes, how its lines ended and its encoding are lost.
    """

    layer: str | None = None
    window: float | None = None
    layout: str | None = None
    separator: str | None = None
    encoding: str | None = None
    header: bool = True
    sheet: str | None = None
    query: str | None = None
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            if name not in ("window", *_SWITCHES) and not isinstance(value, str):
                like = ", such as layers/counts" if name == "layer" else ""
                raise InvalidConfig(f"{name} is {value!r}; expected a text{like}")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise InvalidConfig(f"{name} is {getattr(self, name)!r}; expected True or False")
        window = self.window
        if window is not None and not (
            isinstance(window, int | float) and not isinstance(window, bool) and 0 < window < math.inf
        ):
            raise InvalidConfig(f"window is {window!r}; expected seconds, more than 0")
        if self.layout is not None:
            Layout.of(self.layout)
        if self.separator is not None:
            mark = "\t" if self.separator in _TABS else self.separator
            if len(mark) != 1 or mark in '"\r\n':
                raise InvalidConfig(
                    f"separator is {self.separator!r}; expected one character between two cells",
                    hint="--separator ';', or --separator tab",
                )
            object.__setattr__(self, "separator", mark)
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _encoding(self.encoding))

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Self:
        """Return the choices of a mapping; raise `InvalidConfig` for an unknown name or a value that is none."""
        names = [field.name for field in fields(cls)]
        if unknown := set(given or {}) - set(names):
            shown = [", ".join(map(repr, some)) for some in (sorted(unknown), names)]
            raise InvalidConfig(f"reading has {shown[0]}; expected {shown[1]}")
        return cls(**(given or {}))

    def given(self) -> dict[str, Any]:
        """Return the choices that were made, as JSON values."""
        both = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in both if value != field.default}

    def check(self, kind: str) -> None:
        """Raise `InvalidConfig` if inputs of this kind, a suffix or the start of an address, leave no such choice."""
        for name in self.given():
            if kind not in _FOR[name]:
                flag = _FLAGS.get(name, f"--{name}")
                raise InvalidConfig(
                    f"{flag} is for {', '.join(_FOR[name])} files; the inputs are {kind}", hint=f"leave out {flag}"
                )

    def mark(self, suffix: str) -> str:
        """Return the separator of a file that ends in `suffix`."""
        return self.separator or ("\t" if suffix == ".tsv" else ",")


AS_IT_IS = Reading()


def remembered(
    stored: Mapping[str, str | float], given: Mapping[str, Any] | None, inputs: Sequence[str]
) -> dict[str, str | float]:
    """Return the choices of a schema, as far as inputs leave them, with those that a command gives in their place."""
    fitting = {
        name: value
        for name, value in stored.items()
        if all(one.lower().endswith(_FOR[name]) or one.startswith(_FOR[name]) for one in inputs)
    }
    return {**fitting, **(given or {})}


def typed(reading: Mapping[str, str | float]) -> str:
    """Return choices as they are typed.

    >>> typed({"separator": ";", "header": False})
    "--separator ';' --no-header"
    """
    return " ".join(
        _FLAGS.get(name, f"--{name}") if isinstance(value, bool) else f"--{name} {shlex.quote(str(value))}"
        for name, value in reading.items()
    )


def _encoding(name: str) -> str:
    """Return Python's name of an encoding. Raises `InvalidConfig`."""
    try:
        found = codecs.lookup(name).name
        "a".encode(found)  # refuses those of bytes to bytes, such as hex
    except (LookupError, UnicodeError, ValueError):
        found = ""
    if not found or found.replace("-", "_") in _NO_TEXT:
        raise InvalidConfig(
            f"encoding is {name!r}, which is not known; expected one such as cp1252, latin-1, utf-16 or shift_jis",
            hint="--encoding cp1252, for most files of Western Windows",
        )
    return found

"""What a field of a record is: its name, its kind, and the options that say how its cells are written."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from decimal import Decimal
from enum import Enum
from typing import Any, Self

from ult.errors import InvalidConfig

KINDS = ("number", "category", "date", "text", "list", "molecule", "image", "series", "rows")
DATE_FORMS = ("Y-m-d", "Y/m/d", "Y.m.d", "d.m.Y", "d/m/Y", "d-m-Y", "m/d/Y", "m-d-Y", "Ymd", "Y-m", "Y")
MAX_BINS = 256
EDGE_DIGITS = 15  # float64 keeps the order of decimal numbers of so many digits
_EDGE = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_OF_ALL = {"name", "kind", "type", "absent", "required"}
_OF_KIND = {  # the options that a kind has beside these
    "number": {
        "missing",
        "edges",
        "by",
        "edges_by",
        "decimal",
        "thousands",
        "before",
        "after",
        "exponent",
        "levels",
        "carried",
    },
    "category": {"carried"},
    "date": {"missing", "forms", "carried"},
    "text": set(),
    "list": {"separator"},
    "molecule": set(),
    "image": {"options"},
    "series": {"options"},
    "rows": {"fields"},
}


class Nothing(Enum):
    """What no cell is."""

    NEVER = "never"


NEVER = Nothing.NEVER
LeftOut = str | None | Nothing  # the cell that is written by leaving its field out, or NEVER if none is


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column of a table, or with kind `rows` a list of rows that have fields of their own.

    A cell is a `str` as it was written, or None for null; an array for `image` and `series`; a tuple of rows for
    `rows`. The cell `absent` is written by leaving the field out. A field is `required` if null is none of its usual
    cells: null can be written all the same, but not by leaving the field out, and nothing that is made up holds it;
    required rows are at least one. `missing` are the texts of a number or a date that say that there is no value; the
    empty text always does. `type` is the Arrow type that the column had.

    A number has `edges`, the inner edges of its bins as decimal texts, increasing; `edges_by` are those for single
    values of the category `by`, the field just before it. It is written with `decimal` and `thousands` marks, after one
    of the texts `before` and in front of one of `after`; `exponent` allows `1e5`. With `levels`, one text a bin, only
    the bin is kept, and each bin comes back as its level. A date has one of `forms`. A list has a `separator`.

    In rows, a number, category or date may be `carried`: it is left out where it is as in the row before, and `absent`
    is what it is before the first row.
    """

    name: str
    kind: str
    type: str = "string"
    absent: str | None = None
    required: bool = False
    missing: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    by: str = ""
    edges_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decimal: str = "."
    thousands: str = ""
    before: tuple[str, ...] = ("",)
    after: tuple[str, ...] = ("",)
    exponent: bool = False
    levels: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("Y-m-d",)
    separator: str = "|"
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()
    carried: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise self.wrong(f"kind is {self.kind!r}; expected one of {', '.join(KINDS)}")
        for one in fields(self):
            if one.name not in _OF_ALL | _OF_KIND[self.kind] and not _is_default(self, one):
                raise self.wrong(f"it has the option {one.name!r}, which a {self.kind} has not")
        if self.kind == "number":
            self._check_number()
        if self.kind == "date" and (not self.forms or set(self.forms) - set(DATE_FORMS)):
            raise self.wrong(f"forms are {self.forms!r}; expected some of {', '.join(DATE_FORMS)}")
        if any({f"d{mark}m{mark}Y", f"m{mark}d{mark}Y"} <= set(self.forms) for mark in "/-"):
            raise self.wrong(f"forms are {self.forms!r}; expected the day or the month first, not both")
        if self.kind == "list" and (not self.separator or _has_border(self.separator)):
            raise self.wrong(
                f"separator is {self.separator!r}; expected a text such as '|' that does not end as it begins"
            )
        if self.kind in ("image", "series", "rows") and self.absent is not None:
            raise self.wrong(f"absent is {self.absent!r}; expected null")
        if self.kind == "molecule" and self.absent not in (None, ""):
            raise self.wrong(f"absent is {self.absent!r}; expected null or the empty text")
        if (self.kind == "rows") != bool(self.fields):
            raise self.wrong("its rows have no fields; expected some")
        if any(one.kind == "rows" for one in self.fields):
            raise self.wrong("its rows hold rows themselves; expected fields of other kinds")

    def wrong(self, what: str) -> InvalidConfig:
        """Return the error for this field."""
        return InvalidConfig(f"field {self.name!r}: {what}")

    @property
    def alone(self) -> Field:
        """The field as one that knows of no field before it."""
        return replace(self, by="", edges_by={})

    @property
    def left_out(self) -> LeftOut:
        """The cell that is written by leaving the field out; NEVER if the field is always written."""
        return NEVER if self.required and self.absent is None else self.absent

    def edges_for(self, code: str | None) -> tuple[str, ...]:
        """Return the edges of the bins, given the cell of the field `by`."""
        return self.edges_by.get(code, self.edges) if code is not None else self.edges

    @property
    def bins(self) -> int:
        """The largest number of bins that the field uses."""
        return 1 + max([len(self.edges), *map(len, self.edges_by.values())])

    def _check_number(self) -> None:
        for edges in [self.edges, *self.edges_by.values()]:
            values = [_decimal(self, edge) for edge in edges]
            if any(a >= b for a, b in itertools.pairwise(values)) or len(edges) >= MAX_BINS:
                raise self.wrong(f"edges are {edges!r:.80}; expected fewer than {MAX_BINS}, increasing")
        if self.levels and self.carried:
            raise self.wrong("it is carried and has levels; expected one of the two")
        if self.levels and (self.edges_by or len(self.levels) != len(self.edges) + 1):
            raise self.wrong(f"it has {len(self.levels)} levels; expected one for each of its {self.bins} bins")
        if self.decimal not in (".", ",") or self.thousands not in ("", ".", ",", " ", "'", "\u202f", "\u00a0"):
            raise self.wrong(f"decimal and thousands marks are {self.decimal!r} and {self.thousands!r}")
        if self.decimal == self.thousands:
            raise self.wrong(f"decimal and thousands marks are both {self.decimal!r}; expected different ones")
        marks = set("0123456789+-.,") | set(self.thousands)
        if not self.before or any(set(text) & marks for text in self.before):
            raise self.wrong(f"before is {self.before!r}; expected texts without digits, signs and marks")
        begins = marks | (set("eE") if self.exponent else set())
        if not self.after or any(text[:1] in begins for text in self.after if text):
            raise self.wrong(f"after is {self.after!r}; expected texts that do not begin like a number")

    def document(self) -> dict[str, Any]:
        """Return the field as JSON values, without options that have their default."""
        found: dict[str, Any] = {}
        for one in fields(self):
            if one.name in ("name", "kind") or not _is_default(self, one):
                found[one.name] = _plain(getattr(self, one.name))
        return found

    @classmethod
    def read(cls, document: object) -> Self:
        """Return the field of what `document` returned. Raises `InvalidConfig`."""
        if not isinstance(document, Mapping) or not isinstance(document.get("name"), str):
            raise InvalidConfig(f"a field is {document!r:.60}; expected an object with a name and a kind")
        name, known = document["name"], {one.name for one in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in document.items():
            if key not in known:
                raise InvalidConfig(f"field {name!r} has no option {key!r}; it has {', '.join(sorted(known))}")
            values[key] = _read(name, key, value)
        return cls(**{"kind": "", **values})


_TEXTS = {"missing", "edges", "before", "after", "levels", "forms"}


def _read(name: str, key: str, value: object) -> Any:
    """Return the value of an option as `Field` holds it; raise `InvalidConfig` if it has another type."""
    wrong = InvalidConfig(f"field {name!r}: {key} is {value!r:.60}")
    if key == "fields":
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise wrong
        return tuple(map(Field.read, value))
    if key in _TEXTS:
        if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, str) for one in value):
            raise wrong
        return tuple(value)
    if key in ("edges_by", "options"):
        if not isinstance(value, Mapping) or not all(isinstance(code, str) for code in value):
            raise wrong
        return {code: _read(name, "edges", edges) for code, edges in value.items()} if key == "edges_by" else {**value}
    if key in ("exponent", "carried", "required"):
        if not isinstance(value, bool):
            raise wrong
        return value
    if not isinstance(value, str) and not (key == "absent" and value is None):
        raise wrong
    return value


def _is_default(one: Field, option: Any) -> bool:
    default = option.default_factory() if option.default_factory is not MISSING else option.default
    return bool(getattr(one, option.name) == default)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [one.document() if isinstance(one, Field) else one for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _has_border(text: str) -> bool:
    """Return whether a text ends with its own beginning, so that two of it can overlap."""
    return any(text.endswith(text[:size]) for size in range(1, len(text)))


def _decimal(of: Field, text: str) -> Decimal:
    if not _EDGE.fullmatch(text):
        raise of.wrong(f"edge {text!r} is no number")
    value = Decimal(text)
    if not value.is_finite() or math.isinf(float(value)):
        raise of.wrong(f"edge {text!r} is not finite")
    if len(value.as_tuple().digits) > EDGE_DIGITS:
        raise of.wrong(f"edge {text!r} has more than {EDGE_DIGITS} digits")
    return value


def flat(many: Sequence[Field]) -> Iterator[Field]:
    """Yield the fields in the order of their markers: a field of rows, then the fields of its rows."""
    for one in many:
        yield one
        yield from one.fields


def check_fields(many: Sequence[Field]) -> None:
    """Raise `InvalidConfig` unless names differ, and each `by` names the category just before its field."""
    if not many:
        raise InvalidConfig("there are no fields; expected at least one", hint="ult describe writes a schema of a file")
    for group in [many, *(one.fields for one in many if one.fields)]:
        names = [one.name for one in group]
        if len(set(names)) != len(names):
            again = next(name for name in names if names.count(name) > 1)
            raise InvalidConfig(f"two fields are called {again!r}; expected different names")
        for before, one in itertools.pairwise([None, *group]):
            if one is not None and one.carried and group is many:
                raise one.wrong("it is carried, which only a field of rows can be")
            if one is not None and one.by and (before is None or before.name != one.by or before.kind != "category"):
                raise one.wrong(f"by is {one.by!r}; expected the category field just before it")

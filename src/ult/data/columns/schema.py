"""A schema says how the columns of a table become the fields of a record. It holds names and values of the owner's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ult.codecs.record.field import Field, check_fields
from ult.data.reading import Reading
from ult.errors import FormatError, InvalidConfig, MissingSource, writing
from ult.host.atomic import whole
from ult.host.formats import check_format
from ult.host.regular import read_text

FORMAT = "ult-schema/1"
_ROLES = ("unit", "column", "dropped", "reading")
_NAMES = ("columns", "dropped", "identifiers", "suspects", "inferred")
_MAPS = ("asked", "domains")  # texts by column
CELLS = 1000  # of a column that are declared, at most
_MOST = 2**28  # bytes of a schema file: 10^5 columns with 256 bins each have fewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The fields of a record, and what else turns the columns of a table into records and back.

    With `unit`, all rows that have one value in that column are one record: `fields` are then those that are constant
    in a unit, and fields of kind `rows` for all others, one for each table of data. The column `unit` is always read,
    but encoded only if a field has its name. `columns` are the names of the encoded columns in the order of the table,
    which decoding restores; if not given, that of the fields. `dropped` are columns that nobody reads; a column that is
    neither a field nor dropped nor the unit is refused.

    `suspects` are fields that look like they say who somebody is, and `identifiers` those that the owner has agreed to
    encode. `asked` holds the columns that can be read in more than one way, each with its readings, of which the owner
    has to choose one. `inferred` are fields whose kind, edges and texts were taken from private records. `domains` are
    the cells that fields may have, as is known without the records; of a number or a date one is a range, `0..120`.
    `ult synth` uses them. `reading` is how the files were read, as `ult.data.reading.Reading` takes it, and how others
    are where nothing else is said.
    """

    fields: tuple[Field, ...]
    unit: str = ""
    dropped: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reading: Mapping[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self.fields)
        if bool(self.unit) != any(one.kind == "rows" for one in self.fields):
            raise InvalidConfig("a schema has a unit and fields that hold the unit's rows, or neither")
        names = dict.fromkeys(one.name for one in self.leaves)
        object.__setattr__(self, "columns", self.columns or tuple(names))
        if sorted(self.columns) != sorted(names):
            raise InvalidConfig("the columns of a schema are not the names of its fields, each once")
        if both := set(self.dropped) & names.keys():
            raise InvalidConfig(f"column {min(both)!r} is both a field and dropped; expected one of the two")
        if unknown := self.domains.keys() - names.keys():
            raise InvalidConfig(f"the cells of {min(unknown)!r} are declared, which is no field")

    @property
    def leaves(self) -> tuple[Field, ...]:
        """The fields that hold one column each: those of the record, then those of its rows."""
        return tuple(one for each in self.fields for one in (each.fields or (each,)))

    def without(self, names: Sequence[str]) -> Schema:
        """Return the schema with the columns `names` dropped. Raises `InvalidConfig` if no field is left."""
        gone = set(names)
        left = [one for one in self.fields if set(_names(one)) - gone]
        fields = tuple(_but(one, gone) for one in left)
        if not fields or (self.unit and not any(one.fields for one in fields)):
            raise InvalidConfig("every field is dropped; expected at least one that is encoded")
        names_of: dict[str, Any] = {
            name: tuple(one for one in getattr(self, name) if one not in gone) for name in _NAMES[2:]
        }
        return replace(
            self,
            fields=fields,
            dropped=tuple(dict.fromkeys((*self.dropped, *names))),
            columns=tuple(name for name in self.columns if name not in gone),
            **names_of,
            asked={name: readings for name, readings in self.asked.items() if name not in gone},
            domains={name: cells for name, cells in self.domains.items() if name not in gone},
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """What a table stores: the columns by what they are, as `column age`, and how files are read.

        >>> age = Field(name="age", kind="number")
        >>> Schema(fields=(age,), dropped=("ssn",), reading={"separator": ";"}).roles
        ('column age', 'dropped ssn', 'reading {"separator": ";"}')
        """
        unit = [f"unit {self.unit}"] if self.unit else []
        columns, dropped = (
            [f"{role} {name}" for name in names]
            for role, names in (("column", self.columns), ("dropped", self.dropped))
        )
        reading = [f"reading {json.dumps(dict(self.reading), sort_keys=True)}"] if self.reading else []
        return (*unit, *columns, *dropped, *reading)

    @classmethod
    def of_roles(cls, fields: Sequence[Field], roles: Sequence[str]) -> Self:
        """Return the schema of a table with these fields and `roles`. Raises `InvalidConfig`."""
        parts = [role.partition(" ")[::2] for role in roles]
        if unknown := [role for role, _ in parts if role not in _ROLES]:
            raise InvalidConfig(f"a column is {unknown[0]!r}; expected unit, column or dropped")
        named = {role: tuple(name for one, name in parts if one == role) for role in _ROLES}
        read, wrong = _json("".join(named["reading"]) or "{}")
        if wrong:
            raise InvalidConfig("how files are read is not JSON")
        of: dict[str, Any] = {"dropped": named["dropped"], "columns": named["column"], "reading": _chosen(read)}
        return cls(fields=tuple(fields), unit="".join(named["unit"]), **of)

    def document(self) -> dict[str, Any]:
        """Return the schema as JSON values, as `read` takes them."""
        found: dict[str, Any] = {"format": FORMAT, "fields": [one.document() for one in self.fields]}
        found |= {name: list(getattr(self, name)) for name in _NAMES if getattr(self, name)}
        found |= {"unit": self.unit} if self.unit else {}
        found |= {"reading": dict(self.reading)} if self.reading else {}
        for named in _MAPS:
            if told := getattr(self, named):
                found[named] = {name: list(all_) for name, all_ in told.items()}
        return found

    def write(self, path: str | Path) -> None:
        """Write the schema to `path`, for its owner alone, whole or not at all. Raises `OutputError`."""
        text = json.dumps(self.document(), indent=1, sort_keys=True)
        with whole(path, private=True) as new, writing(Path(path)):
            new.write_text(text + "\n", encoding="ascii")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the schema in a file. Raises `MissingSource`, `FormatError` or `NewerFormat`, naming `path`."""
        try:
            text = read_text(path, _MOST)
        except OSError as error:
            raise MissingSource(f"{path} cannot be read: {error.strerror}", hint="ult describe FILE -o FILE") from error
        except UnicodeDecodeError:
            raise FormatError(f"{path} is not UTF-8; expected a schema", hint="ult describe FILE -o FILE") from None
        document, wrong = _json(text)  # caught there: a JSON error holds the text, and must not be our error's context
        if wrong:
            raise FormatError(f"{path}{wrong}; expected a schema", hint="ult describe FILE -o FILE")
        check_format(document, FORMAT, path)
        try:
            return cls.of(document)
        except InvalidConfig as error:
            raise FormatError(f"{path} holds no valid schema: {error.what}", hint=error.hint) from None
        except RecursionError:
            raise FormatError(f"{path} holds no valid schema: its fields are nested too deeply") from None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Return the schema of what `document` returned. Raises `InvalidConfig`."""
        if more := sorted(document.keys() - {"format", "fields", "unit", "reading", *_NAMES, *_MAPS}):
            raise InvalidConfig(f"a schema has no {more[0]!r}")
        fields, unit = document.get("fields"), document.get("unit", "")
        if not isinstance(fields, list) or not isinstance(unit, str):
            raise InvalidConfig("fields are not a list, or unit is not a name")
        return cls(
            fields=tuple(map(Field.read, fields)),
            unit=unit,
            reading=_chosen(document.get("reading", {})),
            asked=_by_column("asked", document.get("asked", {})),
            domains=_by_column("domains", document.get("domains", {})),
            **{name: _texts(name, document.get(name, [])) for name in _NAMES},
        )


def _but(one: Field, gone: set[str]) -> Field:
    """Return a field without those of its rows that are `gone`; without the category `by`, all have the same edges."""
    inner = tuple(_but(each, gone) for each in one.fields if each.name not in gone)
    return replace(one, by="", edges_by={}, fields=inner) if one.by in gone else replace(one, fields=inner)


def _names(one: Field) -> list[str]:
    """Return the names of the columns that a field holds."""
    return [inner.name for inner in one.fields] or [one.name]


def _chosen(value: object) -> dict[str, str | float]:
    """Return how files are read; raise `InvalidConfig` if a value says something else."""
    if not isinstance(value, dict):
        raise InvalidConfig("reading is no object")
    Reading.of(value)
    return value


def _by_column(name: str, value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise InvalidConfig(f"{name} is not an object")
    return {column: _texts(name, told) for column, told in value.items()}


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidConfig(f"{name} is no list of texts")
    return tuple(value)


def _json(text: str) -> tuple[Any, str]:
    """Return the JSON value of a text, or None and where it ends to be one."""
    try:
        return json.loads(text), ""
    except json.JSONDecodeError as error:
        return None, f", line {error.lineno} is not JSON: {error.msg[0].lower()}{error.msg[1:]}"
    except (ValueError, RecursionError):
        return None, " is not JSON that can be read"

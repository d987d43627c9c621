"""Records of fields from `.jsonl`: a line is an object, and its numbers, truth values, texts and nulls are cells.

An object in an object is flat: `{"patient": {"age": 5}}` has the column `patient.age`. A list of strings is a cell.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ult.data.cells import typed
from ult.data.reading import AS_IT_IS, Reading
from ult.data.rows import Chunk, Rows, listed
from ult.data.text import JsonlRows, json_decoder
from ult.errors import SourceError

_INT64 = range(-(2**63), 2**63)
_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "list": pa.list_(pa.string())}
_TYPES["nested"] = pa.struct([])
_LONE = re.compile("[\ud800-\udfff]")
_NUMBERS = {"int", "float", "written"}


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


class JsonRecordRows(JsonlRows):
    """The fields of JSON objects of one set of names, typed by a first pass over the file.

    Numbers are int64 or float64 if Python writes all of them as the file does, else texts as they are written, which
    `told` says. Raises `SourceError` for a field that is missing, new, or both a text and something else.
    """

    def __init__(self, name: str, column: str, reading: Reading = AS_IT_IS) -> None:
        self._names: tuple[str, ...] = ()
        self._flat = ""  # a field of an object in an object
        super().__init__(name, column, reading)
        self._names = tuple(self.types)
        seen: dict[str, set[str]] = {one: set() for one in self.types}
        for chunk in super().chunks(list(self.types)):
            for one, values in chunk.columns.items():
                for i, value in enumerate(values):
                    _add(seen[one], value, chunk, i, one)
        self.types = {one: _type(kinds) for one, kinds in seen.items()}
        texts = [one for one, kinds in seen.items() if kinds & _NUMBERS and self.types[one] == pa.string()]
        if texts:
            self.told = (f"{name}: numbers of {listed(texts)} come back as texts, for they have several forms",)
        if self._flat:
            self.told = (*self.told, f"{name}: its objects in objects come back flat, as fields such as {self._flat!r}")

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the cells of `columns`: typed as the columns are."""
        for chunk in super().chunks(columns):
            yield replace(chunk, columns={name: self._cells(name, values) for name, values in chunk.columns.items()})

    def kept_schema(self, keep: Sequence[str]) -> pa.Schema:
        """Return the names and types of the columns `keep`."""
        return Rows.kept_schema(self, keep)

    def _cells(self, name: str, values: Sequence[Any]) -> Any:
        kind = self.types[name]
        if kind == _TYPES["nested"]:
            return values
        if kind == _TYPES["list"]:
            return pa.chunked_array([pa.array(values, kind)])
        found = [str(one).lower() if isinstance(one, bool) else None if one is None else str(one) for one in values]
        return found if kind == pa.string() else pa.chunked_array([typed(found, kind)])

    def _decoded(self, line: str) -> Any:
        return _DECODER.decode(line)

    def _value(self, line: str, number: int) -> Any:
        found = super()._value(line, number)
        if isinstance(found, dict) and any(isinstance(value, dict) for value in found.values()):
            found = self._flattened(found, number)
        if self._names and isinstance(found, dict) and (new := [one for one in found if one not in self._names]):
            what = (
                f"{self._place(number)} has fields that the first line has not: {listed(new)}; expected the same in all"
            )
            raise SourceError(
                what,
                hint=_of_resource(self.name) if "resourceType" in self._names else "null for them in the first line",
            )
        return found

    def _flattened(self, found: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the fields of an object and of those in it, by names with dots. Raises `SourceError`."""
        row: dict[str, Any] = {}
        waiting = [("", found)]
        while waiting:
            prefix, inner = waiting.pop()
            for key, value in inner.items():
                name = f"{prefix}{key}"
                if isinstance(value, dict) and value:
                    waiting.append((f"{name}.", value))
                    continue
                if name in row:
                    raise SourceError(
                        f"{self._place(number)} has {name!r} twice, once as a field of an object; expected it once"
                    )
                row[name] = value
                self._flat = self._flat or (name if prefix else "")
        return row


def _of_resource(name: str) -> str:
    """Return a hint on how resources of FHIR are read, which have the fields that they need."""
    return f"{shlex.quote(f'fhir:{name}')} for the events in resources of FHIR"


def _add(kinds: set[str], value: Any, chunk: Chunk, i: int, name: str) -> None:
    """Add of what kind a value is; raise `SourceError` if those of a column cannot be told apart as texts."""
    if value is None:
        return
    kind = "bool" if isinstance(value, bool) else _number(value) if isinstance(value, _Number) else "nested"
    if kind == "nested":
        kind = "text" if isinstance(value, str) else "list" if _is_texts(value) else kind
    kinds.add(kind)
    if len(kinds - _NUMBERS) + bool(kinds & _NUMBERS) > 1:
        raise SourceError(f"{chunk.place(i)}: {name!r} is of another type than above; expected one type in all lines")


def _is_texts(value: Any) -> bool:
    """Return whether a value is a list of strings and nulls; each a text that Arrow holds."""
    one_kind = isinstance(value, list) and all(one is None or type(one) is str for one in value)
    return one_kind and not any(one and _LONE.search(one) for one in value)


def _number(text: str) -> str:
    """Return how Python would write the number as it is: as an int, a float, or not at all."""
    if text.lstrip("-").isdigit():
        same = len(text) < 20 and str(int(text)) == text and int(text) in _INT64
        return "int" if same else "written"
    return "float" if json.dumps(float(text)) == text else "written"


def _type(kinds: set[str]) -> pa.DataType:
    (kind,) = kinds if len(kinds) == 1 else ("written",)
    return _TYPES.get(kind, pa.string())


_DECODER = json_decoder(_Number)

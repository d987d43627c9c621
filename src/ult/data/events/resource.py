"""One resource of FHIR, read from a line of JSON that may hold anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ult.data.events.codes import of_fhir
from ult.data.events.rows import checked
from ult.data.rows import Chunk
from ult.errors import SourceError

_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "iso-8859-1": "latin-1", "windows-1252": "cp1252"}


class Number(str):
    """A number of JSON, as it is written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A JSON object, or a part of one, and its place for errors. A path such as `onsetPeriod.start` names a part."""

    document: dict[str, Any]
    place: str

    @classmethod
    def read(cls, line: bytes, place: str) -> Resource:
        """Return the resource in a line. Raises `SourceError`."""
        try:
            document = _DECODER.decode(line.decode("utf-8").strip())
        except UnicodeDecodeError:
            raise SourceError(f"{place} is not UTF-8; expected a resource of FHIR") from None
        except (ValueError, RecursionError):
            cut = "" if line.endswith(b"\n") else ", or the file is cut short there"
            raise SourceError(f"{place} is not JSON{cut}; expected a resource of FHIR") from None
        if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
            raise SourceError(f"{place} is not a resource of FHIR; expected a JSON object with a resourceType")
        return cls(document, place)

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return str(self.document["resourceType"])

    def has(self, path: str) -> bool:
        """Return whether there is anything at a path."""
        return self._at(path) is not None

    def text(self, path: str) -> str:
        """Return a text, or the empty string if it is not there. Raises `SourceError` if it is something else."""
        found = self._at(path)
        if found is not None and (not isinstance(found, str) or isinstance(found, Number)):
            raise self.wrong(path, "a text")
        return found or ""

    def number(self, path: str) -> str:
        """Return a number as it is written, or the empty string if it is not there."""
        found = self._at(path)
        if found is not None and not isinstance(found, Number):
            raise self.wrong(path, "a number")
        return str(found or "")

    def flag(self, path: str) -> bool | None:
        """Return true or false, or None if it is not there."""
        found = self._at(path)
        if found is not None and not isinstance(found, bool):
            raise self.wrong(path, "true or false")
        return found

    def part(self, path: str) -> Resource | None:
        """Return an object, or None if it is not there."""
        found = self._at(path)
        if found is not None and not isinstance(found, dict):
            raise self.wrong(path, "an object")
        return None if found is None else Resource(found, self.place)

    def parts(self, path: str) -> list[Resource]:
        """Return the objects of a list, which is empty if it is not there."""
        found = self._at(path)
        found = [] if found is None else found
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.wrong(path, "a list of objects")
        return [Resource(one, self.place) for one in found]

    def time(self, *paths: str) -> str | None:
        """Return the first of the times at `paths` that is there, or None. Raises `SourceError` if it cannot be."""
        place = Chunk("", 1, {}, 1, names=(self.place,))
        return checked(next((found for path in paths if (found := self.text(path))), None), place)

    def code(self, path: str) -> str:
        """Return the first code of a CodeableConcept or a Coding as `vocabulary:code`, or the empty string."""
        return next(iter(self.codes(path)), "")

    def codes(self, path: str) -> list[str]:
        """Return the first code of each CodeableConcept or Coding of a list, or of one that stands alone."""
        found = self._at(path)
        concepts = self.parts(path) if isinstance(found, list) else [one for one in [self.part(path)] if one]
        return [code for concept in concepts if (code := concept.first_code())]

    def first_code(self) -> str:
        """Return the first code of this CodeableConcept or Coding, or the empty string."""
        for coding in [self, *self.parts("coding")]:
            if code := coding.text("code"):
                return of_fhir(coding.text("system"), code)
        return f"text:{text}" if (text := self.text("text")) else ""

    def notes(self) -> Iterator[str | None]:
        """Yield the text of each attachment of a DocumentReference, None for one that is no text or is elsewhere."""
        for content in self.parts("content"):
            kind, *parameters = [part.strip().lower() for part in content.text("attachment.contentType").split(";")]
            data = content.text("attachment.data")
            yield self._note(data, parameters) if data and (kind.startswith("text/") or not kind) else None

    def _note(self, data: str, parameters: list[str]) -> str:
        named = next((one.partition("=")[2].strip('" ') for one in parameters if one.startswith("charset")), "utf-8")
        if named not in _CHARSETS:
            raise SourceError(f"{self.place}: a note is in {named[:40]!r}; expected one of {', '.join(_CHARSETS)}")
        try:
            return base64.b64decode("".join(data.split()), validate=True).decode(_CHARSETS[named])
        except UnicodeDecodeError:
            raise SourceError(f"{self.place}: a note is not {named}, as it says") from None
        except ValueError:
            raise SourceError(f"{self.place}: the data of a note is not base64") from None

    def wrong(self, path: str, expected: str) -> SourceError:
        """Return the error for a part that is not what FHIR has there."""
        return SourceError(f"{self.place}: {path} is not as FHIR has it; expected {expected}")

    def _at(self, path: str) -> Any:
        found: Any = self.document
        for name in path.split("."):
            if not isinstance(found, dict):
                raise self.wrong(path, "an object around it")
            found = found.get(name)
            if found is None:
                return None
        return found


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number)  # NaN stays a float, which is no `Number`

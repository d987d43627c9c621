"""The name and version that each JSON file of ours begins with."""

from __future__ import annotations

from ult.errors import FormatError, NewerFormat
from ult.host.distribution import upgrade


def check_format(document: object, expected: str, path: object) -> None:
    """Raise `FormatError` unless `document` is a JSON object of format `expected`, `NewerFormat` if of a later one."""
    found = document.get("format") if isinstance(document, dict) else None
    if found == expected:
        return
    name, _, version = expected.partition("/")
    if isinstance(found, str) and found.startswith(name + "/") and found[len(name) + 1 :].isascii():
        number = found[len(name) + 1 :]
        if number.isdigit() and len(number) < 9 and int(number) > int(version):
            raise NewerFormat(f"{path} is {found}; this version reads {expected}", hint=upgrade())
    raise FormatError(f"{path} is not {expected}")

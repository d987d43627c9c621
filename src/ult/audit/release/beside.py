"""The passages on the owner's copy of the page: what the best attack read, beside the true text.

`ult audit code --pairs` writes them to a separate file, because they are parts of records. Here they are read and
checked against the audit that they belong to; they appear only on the owner's copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.audit.code.telling import FORMAT
from ult.audit.release.candidate import read
from ult.audit.release.figures import Missing, field, interval, share
from ult.errors import FormatError, InvalidConfig
from ult.public.vocabulary import check_format

MOST = 5
FIELDS = 200  # of an attacker, on the page


def beside(path: str | Path, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `pairs` of `page.render`: a sentence `says`, at most `MOST` passages `told`, and `fields`.

    `fields` are, for records of fields, what each attacker reads of each, by name.

    `audit` is from `candidate.assemble`. Raises `InvalidConfig` if the pairs belong to another audit of a code,
    `MissingSource` or `FormatError`.
    """
    found = read(path)
    check_format(found, FORMAT, path)
    code = audit["audits"]["code"]
    if code is None:
        raise InvalidConfig(
            "pairs were given without the audit that read them", hint="--code-audit, as the same command wrote it"
        )
    try:
        if field(found, "subject") != code["subject"]:
            raise InvalidConfig(
                f"{path} is of another audit of a code than the one given", hint="ult audit code --pairs"
            )
        attack, pairs = _text(found, "attack"), field(found, "pairs")
        fields = [_fields(one) for one in _list(found, "fields")] if "fields" in found else []
        of = "cells" if fields else "ids"
        told = [_pair(one, of) for one in (pairs if isinstance(pairs, list) else [])[:MOST]]
    except Missing as lacking:
        raise FormatError(f"{path} does not say its {lacking.args[0]}", hint="ult audit code --pairs") from lacking
    says = f"What the attack \"{attack}\" read best. It needs the ids and public records, but no table." if told else (
        "The attacks with public data read nothing that could be shown."
    )  # fmt: skip
    return {"says": says, "told": told, "fields": fields}


def _fields(one: Any) -> dict[str, Any]:
    """Return an attack's name, and the fields that it reads most of, as they come: the worst first."""
    rows = [
        {
            "field": _text(each, "field"), "read": share(each, "read"), "blind": share(each, "blind"),
            "ends": list(interval(each, "read_interval", share(each, "read"))),
        }
        for each in _list(one, "fields")[:FIELDS]
    ]  # fmt: skip
    return {"attack": _text(one, "attack"), "rows": rows}


def _list(found: Any, name: str) -> list[Any]:
    value = field(found, name)
    if not isinstance(value, list):
        raise FormatError(f"pairs have {name} that are no list", hint="ult audit code --pairs")
    return value


def _pair(one: Any, of: str) -> dict[str, Any]:
    pieces = _list(one, "pieces")
    read_ = [{"text": _text(piece, "text"), "right": field(piece, "right") is True} for piece in pieces]
    return {"read": read_, "truth": _text(one, "truth"), "says": f"{share(one, 'share'):.0%} of its {of} are right."}


def _text(found: Any, name: str) -> str:
    value = field(found, name)
    if not isinstance(value, str):
        raise FormatError(
            f"pairs say that {name} is {type(value).__name__}; expected text", hint="ult audit code --pairs"
        )
    return value

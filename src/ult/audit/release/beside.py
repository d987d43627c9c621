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
from ult.audit.release.figures import Missing, field, share
from ult.errors import FormatError, InvalidConfig
from ult.public.vocabulary import check_format

MOST = 5


def beside(path: str | Path, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `pairs` of `page.render`: a sentence `says`, and at most `MOST` passages `told`.

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
        told = [_pair(one) for one in (pairs if isinstance(pairs, list) else [])[:MOST]]
    except Missing as lacking:
        raise FormatError(f"{path} does not say its {lacking.args[0]}", hint="ult audit code --pairs") from lacking
    says = f"What the attack \"{attack}\" read best. It needs the ids and public records, but no table." if told else (
        "The attacks with public data read nothing that could be shown."
    )  # fmt: skip
    return {"says": says, "told": told}


def _pair(one: Any) -> dict[str, Any]:
    pieces = field(one, "pieces")
    if not isinstance(pieces, list):
        raise FormatError("pairs have pieces that are no list", hint="ult audit code --pairs")
    read_ = [{"text": _text(piece, "text"), "right": field(piece, "right") is True} for piece in pieces]
    return {"read": read_, "truth": _text(one, "truth"), "says": f"{share(one, 'share'):.0%} of its ids are right."}


def _text(found: Any, name: str) -> str:
    value = field(found, name)
    if not isinstance(value, str):
        raise FormatError(
            f"pairs say that {name} is {type(value).__name__}; expected text", hint="ult audit code --pairs"
        )
    return value

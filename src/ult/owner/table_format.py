"""A table as one canonical JSON document, which `docs/format.md` describes. Errors never quote records or phrases."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.codecs import codec_class
from ult.codecs.base import Codec
from ult.errors import FormatError, InvalidConfig, UnknownCodec
from ult.owner.bpe.extended import Base
from ult.public.guarantee import Guarantee
from ult.public.vocabulary import N_SPECIAL, Vocabulary, check_format

FORMAT = "ult-table/1"
PRIVATE = "ult-table/3"  # a table with a guarantee; 2 was never written, and a test vector has it as a newer format
PUBLIC = "ult-table/4"  # a table that its owner declared to be fitted on public records only
DRAWN = "ult-table/5"  # a table whose ids are in a secret order; it may have a guarantee, or be public, or neither
EXTENDED = "ult-table/6"  # a table that begins with the ids of a public one; it may have a guarantee, or be public
UPDATED = "ult-table/7"  # a table whose kept phrases have the ids that they had in an earlier one
_NO_DOCUMENT = object()  # the payload is no JSON document; `None` would mean the document `null`
_EXTRA_FIELDS: dict[str, tuple[set[str], ...]] = {  # sets of further fields that each format may have
    FORMAT: (set(),),
    PRIVATE: ({"privacy"},),
    PUBLIC: ({"public"},),
    DRAWN: (set(), {"privacy"}, {"public"}),
    EXTENDED: ({"base"}, {"base", "privacy"}, {"base", "public"}),
    UPDATED: ({"updated"}, {"updated", "public"}, {"updated", "base"}, {"updated", "base", "public"}),
}
_FIELDS = {"codec", "counts", "fields", "format", "merges", "min_records", "ranks", "records", "vocabulary_size"}


def write(
    *,
    codec: Codec[Any],
    vocabulary: Vocabulary,
    merges: NDArray[np.int32],
    ranks: NDArray[np.int32],
    counts: NDArray[np.int64],
    records: int,
    min_records: int,
    fields: Sequence[str],
    privacy: Guarantee | None = None,
    public: bool = False,
    secret_ids: bool = False,
    base: Base | None = None,
    updated_from: str = "",
) -> bytes:
    """Return the document of a table with these parts: ASCII bytes, keys sorted, no white space."""
    document = {
        "codec": {"config": codec.config(), "id": codec.id},
        "counts": counts.tolist(),
        "fields": list(fields),
        "format": _format(privacy, base, public=public, secret_ids=secret_ids, updated=bool(updated_from)),
        "merges": merges.tolist(),
        "min_records": min_records,
        "ranks": ranks.tolist(),
        "records": records,
        "vocabulary_size": vocabulary.size,
    }
    if privacy is not None:
        document["privacy"] = privacy.document()
    if public:
        document["public"] = True
    if base is not None:
        document["base"] = {"ids": base.ids, "table": base.table}
    if updated_from:
        document["updated"] = {"from": updated_from, "secret_ids": secret_ids}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def _format(privacy: Guarantee | None, base: Base | None, *, public: bool, secret_ids: bool, updated: bool) -> str:
    if updated or base:
        return UPDATED if updated else EXTENDED
    return DRAWN if secret_ids else PUBLIC if public else FORMAT if privacy is None else PRIVATE


def read(payload: bytes, path: object) -> dict[str, Any]:
    """Return the parts that `write` was given. Raises `FormatError` or `NewerFormat`, naming `path`."""
    document = _json(payload)  # caught there: a JSON error holds the payload, and must not be the context of our error
    if document is _NO_DOCUMENT:
        raise FormatError(f"{path} does not hold a table", hint="ult fit writes one")
    if not (isinstance(document, dict) and document.get("format") in tuple(_EXTRA_FIELDS)):
        check_format(document, FORMAT, path)
    try:
        parts = _parts(document, path)
    except (InvalidConfig, UnknownCodec, _Bad) as error:
        raise FormatError(f"{path} holds a damaged table: {error}") from None
    if write(**parts) != payload:
        raise FormatError(f"{path} holds a damaged table: it is not written canonically")
    return parts


class _Bad(ValueError):
    """A document is not a valid table; the message says why."""


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload.decode("ascii"))
    except (ValueError, RecursionError):
        return _NO_DOCUMENT


def _parts(document: dict[str, Any], path: object) -> dict[str, Any]:
    if set(document) not in [_FIELDS | more for more in _EXTRA_FIELDS[document["format"]]]:
        raise _Bad(f"it has fields {sorted(document)}")
    updated_from, secret_ids = _updated(document)
    codec = document["codec"]
    if not isinstance(codec, dict) or set(codec) != {"config", "id"} or not isinstance(codec["config"], dict):
        raise _Bad("codec is not an id and a config")
    if not isinstance(codec["id"], str):
        raise _Bad("codec id is no string")
    try:
        made = codec_class(codec["id"])(**codec["config"])
    except TypeError:
        raise _Bad("codec config has unknown options") from None
    merges = _array(document["merges"], "merges", np.int32, pairs=True)
    ranks = _array(document["ranks"], "ranks", np.int32)
    counts = _array(document["counts"], "counts", np.int64)
    vocabulary = Vocabulary(document["vocabulary_size"])
    units = made.alphabet + len(merges)
    if N_SPECIAL + units > vocabulary.size:
        raise _Bad(f"{units} units do not fit a vocabulary of {vocabulary.size}")
    if (merges.max(axis=1, initial=-1) >= made.alphabet + np.arange(len(merges))).any():
        raise _Bad("a merge joins a later unit")
    keys = np.sort(merges[:, 0].astype(np.int64) << 32 | merges[:, 1])
    if (keys[1:] == keys[:-1]).any():
        raise _Bad("two merges are the same")
    if not np.array_equal(np.sort(ranks), np.arange(units)):
        raise _Bad("ranks are not a permutation of the units")
    base = _base(document["base"], made.alphabet, merges, ranks) if "base" in document else None
    falls = not secret_ids and not updated_from
    if len(counts) != units or (falls and (np.diff(counts[base.ids if base else 0 :]) > 0).any()):
        raise _Bad("counts do not fall with the rank")
    for name in ("records", "min_records"):
        value = document[name]
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**53:
            raise _Bad(f"{name} is not a positive integer")
    if document.get("public", True) is not True:
        raise _Bad("public is not true")
    fields = document["fields"]
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise _Bad("fields are not a list of names")
    return {
        "codec": made,
        "vocabulary": vocabulary,
        "merges": merges,
        "ranks": ranks,
        "counts": counts,
        "records": document["records"],
        "min_records": document["min_records"],
        "fields": fields,
        "privacy": Guarantee.read(document["privacy"], path) if "privacy" in document else None,
        "public": document.get("public", False),
        "secret_ids": secret_ids,
        "base": base,
        "updated_from": updated_from,
    }


def _updated(document: dict[str, Any]) -> tuple[str, bool]:
    """Return the fingerprint of the table that this one updates, or "", and whether ids are in a secret order."""
    if "updated" not in document:
        return "", document["format"] == DRAWN
    told = document["updated"]
    if not isinstance(told, dict) or set(told) != {"from", "secret_ids"} or type(told["secret_ids"]) is not bool:
        raise _Bad("updated is not from and secret_ids")
    if not isinstance(told["from"], str) or not re.fullmatch(r"[0-9a-f]{32}", told["from"]):
        raise _Bad("updated names no table")
    if told["secret_ids"] and "base" in document:
        raise _Bad("its ids are in a secret order and those of base")
    return told["from"], told["secret_ids"]


def _base(document: object, alphabet: int, merges: NDArray[np.int32], ranks: NDArray[np.int32]) -> Base:
    """Return what the table with these merges and ranks takes over of a public one."""
    if not isinstance(document, dict) or set(document) != {"ids", "table"}:
        raise _Bad("base is not ids and a table")
    ids, table = document["ids"], document["table"]
    if not isinstance(table, str) or not re.fullmatch(r"[0-9a-f]{32}", table):
        raise _Bad("base names no table")
    if type(ids) is not int or not alphabet <= ids <= len(ranks) or (ranks[:ids] >= ids).any():
        raise _Bad("the first ids are not those of base")
    return Base(merges[: ids - alphabet], ranks[:ids], table)


def _array(value: object, name: str, dtype: type, *, pairs: bool = False) -> NDArray[Any]:
    if not isinstance(value, list):
        raise _Bad(f"{name} is not a list")
    if pairs and (set(map(type, value)) - {list} or set(map(len, value)) - {2}):
        raise _Bad(f"{name} are not pairs")
    flat = [item for row in value for item in row] if pairs else value
    if set(map(type, flat)) - {int} or not 0 <= min(flat, default=0) <= max(flat, default=0) <= np.iinfo(dtype).max:
        raise _Bad(f"{name} holds something else than indices")
    return np.array(flat, dtype).reshape(-1, 2) if pairs else np.array(flat, dtype)

"""The options of a codec, by name: what it takes, and what of that is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from ult.codecs.base import Codec
from ult.errors import InvalidConfig


def check_options(kind: type[Codec[Any]], options: Mapping[str, Any], *, calibrate: bool = True) -> dict[str, Any]:
    """Return the options; raise `InvalidConfig` at one that `kind` has not.

    Without `calibrate` those that say how the records are looked at are none, as they are not.
    """
    asked = [inspect.signature(how).parameters.values() for how in (kind, *([kind.calibrated] if calibrate else ()))]
    known = {one.name for some in asked for one in some if one.kind is one.KEYWORD_ONLY}
    for name in options:
        if name not in known:
            raise InvalidConfig(f"{kind.id} has no option {name!r}; it has {', '.join(sorted(known)) or 'none'}")
    return dict(options)


def of_config(kind: type[Codec[Any]], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that a codec of `kind` keeps, without those that only say how records are read."""
    return {name: options[name] for name in options if name in inspect.signature(kind).parameters}


def by_column(kind: type[Codec[Any]], names: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options, and that columns are looked at one by one if they have `names` and `kind` can do so."""
    asks = bool(names) and "by_column" in inspect.signature(kind.calibrated).parameters and "columns" not in options
    return {**({"by_column": 1} if asks else {}), **options}

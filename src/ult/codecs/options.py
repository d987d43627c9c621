"""The options of a codec, by name: what it takes, and what of that is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
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

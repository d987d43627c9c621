"""The options of a codec, `--option quality=60`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ult.errors import InvalidConfig

if TYPE_CHECKING:
    from ult.codecs.base import Codec


def codec_options(pairs: Sequence[str] | None, kind: type[Codec[Any]], *, calibrate: bool = True) -> dict[str, Any]:
    """Return the options of `name=value` pairs, the values as JSON; raise `InvalidConfig` at what `kind` has not.

    Without `calibrate` those that say how the records are looked at are none, as they are not.
    """
    asked = [inspect.signature(how).parameters.values() for how in (kind, *([kind.calibrated] if calibrate else ()))]
    known = {one.name for some in asked for one in some if one.kind is one.KEYWORD_ONLY}
    options: dict[str, Any] = {}
    for pair in pairs or ():
        name, _, value = pair.partition("=")
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidConfig(
                f"option {pair!r} is not name=value with a number", hint="--option quality=60"
            ) from None
        if name not in known:
            raise InvalidConfig(f"{kind.id} has no option {name!r}; it has {', '.join(sorted(known)) or 'none'}")
        if name in options:
            raise InvalidConfig(f"option {name!r} is given twice; expected once, for only one of them would count")
        options[name] = read
    return options

"""The options of a codec, `--option quality=60`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ult.errors import InvalidConfig


def codec_options(pairs: Sequence[str] | None) -> dict[str, float]:
    """Return the options of `name=value` pairs, the values as JSON; raise `InvalidConfig` at anything else."""
    options: dict[str, float] = {}
    for pair in pairs or ():
        name, _, value = pair.partition("=")
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidConfig(
                f"option {pair!r} is not name=value with a number", hint="--option quality=60"
            ) from None
        if name in options:
            raise InvalidConfig(f"option {name!r} is given twice; expected once, for only one of them would count")
        options[name] = read
    return options

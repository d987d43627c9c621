"""A command that refuses an option that is given twice, where one value is all it takes: the first would be lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from ult.errors import InvalidConfig


class Once(TyperCommand):
    """A command each of whose single-valued options may stand in its line once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as ever; raise `InvalidConfig` at an option of one value that occurs twice, whatever its values."""
        _, _, met = self.make_parser(ctx).parse_args(args=list(args))
        several = Counter(id(one) for one in met)
        for one in met:
            if several[id(one)] > 1 and _takes_one(one):
                name, n = max(one.opts, key=len), several[id(one)]
                others = " or ".join([name, *one.secondary_opts])
                raise InvalidConfig(f"{name} is given {n} times; expected once, for one alone would count", hint=others)
        return super().parse_args(ctx, args)


def _takes_one(option: Any) -> bool:
    """Return whether a second value of an option would replace the first: not of `--keep`, nor of a plain switch."""
    if option.param_type_name != "option" or option.multiple or option.count:
        return False
    return not option.is_flag or bool(option.secondary_opts)

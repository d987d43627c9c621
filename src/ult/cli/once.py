"""A command that refuses an option given twice if it takes one value, and the name of an option as a value."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from ult.errors import InvalidConfig


class Once(TyperCommand):
    """A command that accepts each single-valued option only once, and no name of an option as the value of another."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; raise `InvalidConfig` if a single-valued option occurs twice, or lacks its value."""
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        options = [one for one in self.get_params(ctx) if one.param_type_name == "option"]  # not `run`, an argument
        names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
        for option in given:
            taken = values.get(option.name or "")
            for met in taken if isinstance(taken, list) else [taken]:
                if option.param_type_name == "option" and met in names:
                    name = max(option.opts, key=len)
                    raise InvalidConfig(f"{name} was given {met}, an option, as its value", hint=f"{name} VALUE {met}")
        times = Counter(id(option) for option in given)
        for option in given:
            if times[id(option)] > 1 and _takes_one(option):
                name, n = max(option.opts, key=len), times[id(option)]
                forms = " or ".join([name, *option.secondary_opts])
                raise InvalidConfig(f"{name} is given {n} times; expected once, as it takes one value", hint=forms)
        return super().parse_args(ctx, args)


def _takes_one(option: Any) -> bool:
    """Return whether a second value of an option would replace the first; not for `--keep` or a plain switch."""
    if option.param_type_name != "option" or option.multiple or option.count:
        return False
    return not option.is_flag or bool(option.secondary_opts)

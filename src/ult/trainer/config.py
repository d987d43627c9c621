"""Read and write the file of arguments: options by name, in YAML or JSON.

Every value is checked, and an unknown name is refused with the nearest known one.
"""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.host.distribution import __version__
from ult.host.extras import require
from ult.host.regular import read_text
from ult.trainer.option import Option

_MOST = 2**20  # bytes of a file
_PLAIN = re.compile(r"[A-Za-z][\w-]*")  # a text that YAML needs no quotes for, unless it is one of these words
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
_OF_THE_COMMAND = {  # what is given beside the options of a recipe
    "shards": "ult train SHARDS",
    "out": "--out RUN",
    "targets": "--targets SHARDS",
    "validation": "--validation SHARDS",
    "validation_targets": "--validation-targets SHARDS",
    "resume": "--resume",
    "force": "--force",
}

_ODD = re.compile(r"[-+]?(0[0-9_]+|0[bx].*|[0-9_]+(:[0-9_.]+)+)")  # octal, binary, hexadecimal, base 60


def read_config(path: Path, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the options that a file gives, by name; a file called `.json` is JSON, any other YAML.

    Raises `MissingSource`, `FormatError`, or `InvalidConfig` for a name that is no option and for a wrong value.
    """
    try:
        text = read_text(path, _MOST)
    except FileNotFoundError as error:
        raise MissingSource(f"{path} is not there", hint="ult train --write-config FILE writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read as UTF-8 text") from error
    found: dict[str, Any] = {}
    for where, name, value in (_json if path.suffix == ".json" else _yaml)(path, text):
        check_names([name], options, where)
        if name in found:
            raise InvalidConfig(f"{where}: {name} is given twice; expected once, for only one of them would count")
        try:
            found[name] = options[name].checked(_number(value) if options[name].kind is float else value)
        except InvalidConfig as error:
            raise InvalidConfig(f"{where}: {error.what}", hint=error.hint) from None
    return found


def check_names(names: Iterable[Any], options: Mapping[str, Option], where: str) -> None:
    """Raise `InvalidConfig`, naming the nearest option, unless all are names of options."""
    for name in names:
        if name in options:
            continue
        near = difflib.get_close_matches(str(name).replace("-", "_"), options, n=1)
        if name in _OF_THE_COMMAND:
            hint = f"give it on the command line: {_OF_THE_COMMAND[name]}"
        elif near:
            hint = f"did you mean {near[0]}?"
        else:
            hint = "ult train --write-config - prints all options"
        raise InvalidConfig(f"{where}: no option is called {name!r}", hint=hint)


def config_text(values: Any, options: Mapping[str, Option]) -> str:
    """Return all options of `values` as YAML, each with its help, what it may be, and its default."""
    lines = [f"# Options of `ult train --config FILE`, written by ult {__version__}. null leaves the choice to ult."]
    for panel, several in groupby(options.values(), lambda one: one.panel):
        lines += ["", f"# ---- {panel}"]
        for one in several:
            comment = f"{one.sentence} ({one.notes})"
            lines += ["", *textwrap.wrap(comment, 100, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"{one.name}: {_scalar(getattr(values, one.name))}")
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value)


def _number(value: Any) -> Any:
    """Return a number that YAML took for a text, as 1e-3; anything else as it is."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _json(path: Path, text: str) -> list[tuple[str, str, Any]]:
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, _Pairs):
        raise FormatError(f"{path} holds no JSON object; expected {{option: value}}")
    return [(str(path), name, value) for name, value in found.pairs]


class _Pairs:
    """A JSON object with all its pairs, of which a dict would lose those that are given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _yaml(path: Path, text: str) -> list[tuple[str, str, Any]]:
    with require("pyyaml", extra="train"):
        import yaml
    loader = yaml.SafeLoader(text)
    try:
        document = loader.get_single_node()
        if document is None:
            return []
        if not isinstance(document, yaml.MappingNode):
            raise FormatError(f"{path} holds no options; expected lines of option: value")
        found = []
        for key, value in document.value:
            where = f"{path}, line {key.start_mark.line + 1}"
            flat = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if not all(isinstance(one, yaml.ScalarNode) for one in [key, *flat]):
                raise FormatError(f"{where}: expected a name with a value, or with a list of values")
            if odd := [one.value for one in flat if "str" not in one.tag and _ODD.fullmatch(one.value)]:
                raise FormatError(
                    f"{where}: {key.value} is {odd[0]}, which YAML reads as another number; expected plain decimals"
                )
            found.append((where, key.value, loader.construct_object(value, deep=True)))
        return found
    except FormatError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise FormatError(
            f"{path} is not YAML" + (f": line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "")
        ) from error
    finally:
        loader.dispose()

"""The reference of the library: public names with their signatures and docstrings; and every error."""

from __future__ import annotations

import ast
import inspect
import sys
import types
from pathlib import Path
from typing import Any

from words import docstring, plain

import ult
from ult import errors

STATUS = """
| status | what happened |
|---|---|
| 0 | All went well |
| 1 | One of the errors above: `error: ...` on stderr, and most often `hint: ...` below it; or a refuted promise |
| 2 | The command is none: an unknown verb or option, a value of the wrong type |
| 128 + n | Signal n ended it: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP |
"""


def pages() -> dict[str, str]:
    """Return the pages of the library, of errors and exit statuses, of the codecs, and of all modules."""
    made = {"library": _library(), "errors": _errors(), "codecs": _codecs(), "house": _house()}
    return {f"reference/{name}.md": page for name, page in made.items()}


VERBS = (
    "fit",
    "encode",
    "train",
    "evaluate",
    "generate",
    "translate",
    "predict",
    "decode",
)  # in the order of their use


def _library() -> str:
    """Return the page: verbs, each with the class of its result, then classes, then all else."""
    names = sorted(ult.__all__, key=lambda name: (*VERBS, name).index(name))
    verbs = [name for name in names if inspect.isfunction(getattr(ult, name))]
    classes = [name for name in names if inspect.isclass(getattr(ult, name))]
    modules = [name for name in names if isinstance(getattr(ult, name), types.ModuleType) and name != "errors"]
    values = [name for name in names if name not in (*verbs, *classes, *modules, "errors")]
    lines = ["# Library", "", docstring(ult.__doc__), ""]
    for title, some in (("Verbs", verbs), ("Classes", classes), ("Values", values)):
        lines += [f"## {title}", ""] if some else []
        for name in some:
            lines += _object(f"ult.{name}", getattr(ult, name), "###")
            lines += _result(getattr(ult, name)) if title == "Verbs" else []
    for name in modules:
        module = getattr(ult, name)
        lines += [f"## `ult.{name}`", "", docstring(module.__doc__), ""]
        for inner in getattr(module, "__all__", ()):
            lines += _object(f"ult.{name}.{inner}", getattr(module, inner), "###")
    return "\n".join([*lines, "Errors: [the tree](errors.md).", ""])


def _result(verb: Any) -> list[str]:
    """Return the class of a verb's result, unless it is public and so stands on the page anyway."""
    name = str(verb.__annotations__.get("return", ""))
    kind = vars(sys.modules[verb.__module__]).get(name)
    return _object(name, kind, "####") if inspect.isclass(kind) and name not in ult.__all__ else []


def _object(name: str, one: Any, level: str) -> list[str]:
    if inspect.isclass(one):
        lines = [f"{level} `{name}`", "", *_signature(name, one), docstring(one.__doc__), ""]
        for member, found in vars(one).items():
            if not member.startswith("_"):
                lines += _member(one, member, found, level + "#")
        return lines
    if callable(one):
        return [f"{level} `{name}`", "", *_signature(name, one), docstring(one.__doc__), ""]
    return [f"{level} `{name}`", "", _value(one), ""]


def _member(kind: type, name: str, found: Any, level: str) -> list[str]:
    whole = f"{kind.__name__}.{name}"
    if isinstance(found, property) or type(found).__name__ == "cached_property":
        getter = getattr(found, "fget", None) or found.func
        said = getter.__annotations__.get("return", "")
        kind_of = f" `{said}`" if said else ""
        return [f"{level} `{whole}`", "", f"*property*{kind_of}", "", docstring(getter.__doc__), ""]
    function = getattr(found, "__func__", found)
    if inspect.isfunction(function) and function.__doc__:
        return [f"{level} `{whole}`", "", *_signature(whole, getattr(kind, name)), docstring(function.__doc__), ""]
    return []


def _signature(name: str, one: Any) -> list[str]:
    """Return a signature as a block of code, a parameter a line where it is long."""
    try:
        asked = inspect.signature(one)
    except (TypeError, ValueError):
        return []
    parameters = [p for p in asked.parameters.values() if p.name not in ("self", "cls") and p.annotation != "Never"]
    said, kinds = [], [one.kind for one in parameters]
    for k, p in enumerate(parameters):
        if p.kind is p.KEYWORD_ONLY and p.KEYWORD_ONLY not in kinds[:k] and p.VAR_POSITIONAL not in kinds:
            said.append("*")
        said.append(_parameter(p))
    back = "" if asked.return_annotation is asked.empty else f" -> {_type(asked.return_annotation)}"
    short = f"{name}({', '.join(said)}){back}"
    if len(short) > 76:
        short = "\n".join([f"{name}(", *(f"    {one}," for one in said), f"){back}"])
    return ["```python", short, "```", ""]


def _parameter(one: inspect.Parameter) -> str:
    stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
    kind = "" if one.annotation is one.empty else f": {_type(one.annotation)}"
    if one.default is one.empty:
        return f"{stars}{one.name}{kind}"
    default = one.default.__name__ if inspect.isfunction(one.default) else repr(one.default)
    return f"{one.name}{kind} = {default}" if kind else f"{one.name}={default}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _value(one: Any) -> str:
    if isinstance(one, dict):
        return "A dictionary: " + ", ".join(f"`{key}`" for key in one) + "."
    return plain(f"A value of type {type(one).__name__}.")


def _errors() -> str:
    tree = docstring(errors.__doc__)
    lines = ["# Errors and exit statuses", "", tree, "", "## Exit statuses", STATUS, "## Each error", ""]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.UltError):
            builtin = next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
            lines += [f"`{name}`", f": {docstring(kind.__doc__)} A caller may catch `{builtin}`.", ""]
    return "\n".join(lines)


def _codecs() -> str:
    said = "A codec turns records of one kind into symbols and back. `--option NAME=VALUE` sets an option."
    lines = ["# Codecs", "", said, ""]
    for name, kind in ult.CODECS.items():
        asked = inspect.signature(kind).parameters.values()
        how = inspect.signature(kind.calibrated).parameters.values()
        lines += [f"## `{name}`", "", docstring(kind.__doc__), ""]
        for one in {p.name: p for p in (*asked, *how) if p.kind is p.KEYWORD_ONLY}.values():
            default = "" if one.default is one.empty else f", default `{one.default}`"
            lines.append(f"- `{one.name}`{default}")
        lines += ["", *_module(kind), ""]
    return "\n".join([*lines, "The bytes that each gives, for ever: [formats](../format.md#codecs).", ""])


def _module(kind: type) -> list[str]:
    """Return what the module of a codec says of it beyond the first sentence."""
    said = (sys.modules[kind.__module__].__doc__ or "").partition("\n\n")[2]
    return [docstring(said)] if said else []


def _house() -> str:
    """Return the first sentence of every module, a room after the other, without importing any."""
    source = Path(ult.__file__).parent
    head = "What each module is for, in its own words; [the rooms](../design.md#rooms) are drawn elsewhere."
    lines = ["# Every module", "", head, ""]
    rooms: dict[str, list[str]] = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = " ".join(said.partition("\n\n")[0].split())
        rooms.setdefault(parts[0].removesuffix(".py"), []).append(f"`{name}`\n: {plain(first)}\n")
    for room, told in rooms.items():
        lines += [f"## `{room}`", "", *told]
    return "\n".join(lines)

"""The reference of the command line: a page for each verb, made of what `--help` is made of."""

from __future__ import annotations

from typing import Any

import typer
from words import plain

from ult.cli import app


def pages() -> dict[str, str]:
    """Return a page for each verb, and the page that lists them by side."""
    found, listed, names = {}, [], []
    group = typer.main.get_command(app)
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in _leaves(group):
        panels.setdefault(command.rich_help_panel or "", []).append((name, command))
    for panel, verbs in panels.items():
        listed += [f"## {plain(panel)}", ""]
        for name, command in verbs:
            page = name.replace(" ", "-")
            names.append(page)
            found[f"reference/verbs/{page}.md"] = _page(name, command)
            listed.append(f"- [`ult {name}`]({page}.md): {plain(_first(command.help))}")
        listed.append("")
    head = f"# Verbs\n\n{plain(group.help)} `ult VERB --help` says the same.\n"
    tree = "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```"
    found["reference/verbs/index.md"] = "\n".join([head, *listed, tree])
    return found


def _leaves(group: Any, before: str = "") -> list[tuple[str, Any]]:
    """Return the commands below a group by their whole names, hidden ones left out."""
    found = []
    for name, command in group.commands.items():
        if getattr(command, "hidden", False):
            continue
        whole = f"{before}{name}"
        found += _leaves(command, f"{whole} ") if hasattr(command, "commands") else [(whole, command)]
    return found


def _page(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    usage = " ".join(["ult", name, "[OPTIONS]", *(_argument(one) for one in arguments)])
    lines = [f"# `ult {name}`", "", _prose(command.help), "", "```text", usage, "```", ""]
    described = [one for one in arguments if getattr(one, "help", None)]
    if described:
        lines += ["## Arguments", "", *(_told(f"`{_argument(one)}`", one) for one in described)]
    panels: dict[str, list[Any]] = {}
    for one in options:
        panels.setdefault(getattr(one, "rich_help_panel", None) or "Options", []).append(one)
    for panel, some in panels.items():
        lines += [f"## {plain(panel)}", "", *(_told(_option(one), one) for one in some)]
    if getattr(command, "epilog", None):
        lines += ["", "## Example", "", _prose(command.epilog)]
    return "\n".join(lines)


def _prose(text: str | None) -> str:
    """Return help as Markdown: a paragraph that asks to be left as it is, and an example, become code."""
    found = []
    for part in (text or "").replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in part.split("\n") if line.strip() != "\b"]
        code = "\b" in part or all(line.lstrip().startswith(("ult ", "$ ")) for line in lines if line.strip())
        found.append("```text\n" + "\n".join(lines) + "\n```" if code and lines else plain(" ".join(lines)))
    return "\n\n".join(found)


def _argument(one: Any) -> str:
    said = str(one.metavar or one.name.upper())
    said = said if one.nargs == 1 or said.endswith("...") else f"{said}..."
    return said if one.required or said.startswith("[") else f"[{said}]"


def _option(one: Any) -> str:
    names = " / ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    kind = "" if one.is_flag else f" {one.metavar or str(getattr(one.type, 'name', 'text')).upper()}"
    return names + kind


def _told(title: str, one: Any) -> str:
    """Return an entry of a list of definitions."""
    help_, needed = _required(getattr(one, "help", None) or "")
    said = [plain(help_)]
    if getattr(one.type, "choices", None):
        said.append("One of " + ", ".join(f"`{choice}`" for choice in one.type.choices) + ".")
    if one.required or needed:
        said.append("*Required.*")
    elif one.default not in (None, False, (), []) and not callable(one.default):
        said.append(f"Default: `{getattr(one.default, 'value', one.default)}`.")
    return f"{title}\n: {' '.join(filter(None, said))}\n"


def _required(text: str) -> tuple[str, bool]:
    """Return a help without the mark of what is required, and whether it had one."""
    return text.removesuffix("[required]").rstrip(), text.endswith("[required]")


def _first(text: str | None) -> str:
    return (text or "").partition("\n\n")[0].replace("\n", " ")

"""Text that was written for a terminal or a docstring, as Markdown."""

from __future__ import annotations

import inspect
import re

_MARKS = re.compile(r"([\\*_\[\]<>|$#])")


def plain(text: str | None) -> str:
    r"""Return text as Markdown that shows it: marks are escaped, but not in what stands between backticks.

    >>> plain("`<eos>` is not <eos>")
    '`<eos>` is not \\<eos\\>'
    """
    parts = re.split(r"(``.+?``|`[^`]+`)", text or "")
    return "".join(part if k % 2 else _MARKS.sub(r"\\\1", part) for k, part in enumerate(parts))


def docstring(text: str | None) -> str:
    """Return a docstring as Markdown: examples and indented text as code, all else as prose."""
    found: list[str] = []
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        lines = part.split("\n")
        at = next((k for k, line in enumerate(lines) if line.startswith(">>> ")), None)
        if lines[0].startswith("    "):
            drawn = any(sign in part for sign in "│├└─")
            found.append(f"```{'text' if drawn else 'python'}\n{inspect.cleandoc(part)}\n```")
        elif at is not None:
            found += [plain(" ".join(lines[:at]))] if at else []
            found.append("```pycon\n" + "\n".join(lines[at:]) + "\n```")
        elif all(line.startswith(("- ", "  ")) for line in lines):
            found.append("\n".join(line[:2] + plain(line[2:]) for line in lines))
        else:
            found.append(plain(" ".join(line.strip() for line in lines)))
    return "\n\n".join(found)

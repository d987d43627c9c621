"""Links of a page that lead out of `docs/`: on the site they lead to the page that is made of that file."""

from __future__ import annotations

import re
from typing import Any

PLACES = {
    "dev/log.md": "/development/log.md",
    "dev/fuzz.md": "/development/fuzz.md",
    "dev/results.md": "/measured/index.md",
    "dev/speed.md": "/measured/speed.md",
    "CHANGELOG.md": "/development/changes.md",
    "CONTRIBUTING.md": "/development/contributing.md",
}
_OUT = re.compile(r"\]\((?:\.\./)+([\w./-]+?\.\w+)(#[\w-]+)?\)")
_PICTURE = re.compile(r"^<!-- picture: ([\w-]+) -->$", re.MULTILINE)


def rewrite(app: Any, docname: str, source: list[str]) -> None:
    """Rewrite the links and the places of pictures of one page, as Sphinx reads it."""
    source[0] = pictured(led(source[0]))


def led(text: str) -> str:
    """Return a page of `docs/` whose links out of it lead to a page of the site.

    >>> led("see [log](../dev/log.md#a) and [b](b.md)")
    'see [log](/development/log.md#a) and [b](b.md)'
    """
    return _OUT.sub(lambda m: f"]({PLACES[m[1]]}{m[2] or ''})" if m[1] in PLACES else m[0], text)


def pictured(text: str) -> str:
    """Return a page with the pictures that a build drew, where it names them.

    >>> pictured("<!-- picture: ranks -->")
    '![ranks](/measured/pictures/ranks.png)'
    """
    return _PICTURE.sub(r"![\1](/measured/pictures/\1.png)", text)

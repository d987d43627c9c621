"""Show results: one line as `repr`, a small HTML table in a notebook, and numbers in a readable form."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_CODES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and surrogates
Facts = list[tuple[str, str]]  # names and values, both as readable text


class Shown:
    """A result that shows its `facts` only: figures, but never a record, a phrase or a key.

    >>> class Two(Shown):
    ...     def facts(self):
    ...         return [("ids", "1,200"), ("codec", "text/bytes")]
    >>> Two()
    <Two: ids 1,200, codec text/bytes>
    >>> print(Two()._repr_html_())
    <table><caption>Two</caption><tr><th>ids</th><td>1,200</td></tr><tr><th>codec</th><td>text/bytes</td></tr></table>
    """

    __slots__ = ()

    def facts(self) -> Facts:
        """Return the names and values to show, in order."""
        raise NotImplementedError

    def remarks(self) -> Sequence[str]:
        """Return further sentences that the reader of the figures should know."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{name} {value}' for name, value in self.facts())}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self.facts(), self.remarks())


def table(title: str, facts: Iterable[tuple[str, str]], remarks: Iterable[str] = ()) -> str:
    """Return an HTML table of names and values, followed by a list of remarks; all texts are escaped."""
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts)
    below = "".join(f"<li>{_text(one)}</li>" for one in remarks)
    return f"<table><caption>{_text(title)}</caption>{rows}</table>" + (f"<ul>{below}</ul>" if below else "")


def _text(text: str) -> str:
    return html.escape(_CODES.sub("\N{REPLACEMENT CHARACTER}", text))


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural where necessary.

    >>> count(1, "record"), count(1200, "record"), count(2, "patch", "patches")
    ('1 record', '1,200 records', '2 patches')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def size(n: float) -> str:
    """Return a number of bytes with a decimal unit.

    >>> size(999), size(1_234_567)
    ('999 bytes', '1.2 MB')
    """
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:,.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"

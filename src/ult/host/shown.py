"""How results show themselves: one line as `repr`, a small table in a notebook; numbers as people write them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

_CODES = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # that a terminal would act on, or that no page can hold
Facts = list[tuple[str, str]]  # names and values, as a person reads them


class Shown:
    """A result that shows figures, and never a record, a phrase or a key: it only says what `facts` returns.

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
        """Return names and values to show, in order."""
        raise NotImplementedError

    def remarks(self) -> Sequence[str]:
        """Return what the reader of the figures should know besides, a sentence each."""
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(f'{name} {value}' for name, value in self.facts())}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self.facts(), self.remarks())


def table(title: str, facts: Iterable[tuple[str, str]], remarks: Iterable[str] = ()) -> str:
    """Return an HTML table of names and values, and below it a list of remarks; all of it is escaped."""
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts)
    below = "".join(f"<li>{_text(one)}</li>" for one in remarks)
    return f"<table><caption>{_text(title)}</caption>{rows}</table>" + (f"<ul>{below}</ul>" if below else "")


def _text(text: str) -> str:
    return html.escape(_CODES.sub("\N{REPLACEMENT CHARACTER}", text))


def count(n: int, noun: str) -> str:
    """Return a number of things as people write it.

    >>> count(1, "record"), count(1200, "record")
    ('1 record', '1,200 records')
    """
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def size(n: float) -> str:
    """Return a number of bytes as people write it.

    >>> size(999), size(1_234_567)
    ('999 bytes', '1.2 MB')
    """
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:,.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"

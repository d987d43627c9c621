"""The words that files have in place of a value that is not there."""

from __future__ import annotations

MISSING = frozenset(
    {"", "-", "--", ".", "?", "#n/a", "\\n", "missing", "n/a", "na", "nan", "nil", "none", "null"}
)  # in lower case, without spaces around

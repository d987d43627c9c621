"""Columns of joined tables of data by the names that `ult describe` prints, such as `labs.value`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ult.data.rows import listed
from ult.errors import InvalidConfig


def plain(names: Iterable[str], tables: Mapping[str, Collection[str]]) -> list[str]:
    """Return names of columns without their table; `tables` holds the columns of each. A column's own name goes before.

    Raises `InvalidConfig` if another table has such a column too, which would then be meant as well.

    >>> plain(["age", "labs.value"], {"": ["age"], "labs": ["value"]})
    ['age', 'value']
    """
    found = []
    for name in names:
        table, dot, column = name.partition(".")
        known = any(name in columns for columns in tables.values())
        if known or not dot or column not in tables.get(table, ()):
            found.append(name)
            continue
        others = [one for one, columns in tables.items() if one != table and column in columns]
        if others:
            where = "the table without a name" if "" in others else listed(sorted(others))
            raise InvalidConfig(f"{name!r}: {where} has a column {column!r} too; expected the name of all, {column!r}")
        found.append(column)
    return found

"""Runs of symbols as a tree, so that what they have in common is looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.patches import Ends, Symbols


class Found(NamedTuple):
    """Runs (n,) by number, and what is missing to a record after each (n,)."""

    runs: NDArray[np.int64]
    least: NDArray[np.int64]

    @classmethod
    def of(cls, runs: Sequence[int], least: Sequence[int], others: Sequence[Found]) -> Found:
        """Return these runs and `others`."""
        own = cls(np.array(runs, np.int64), np.array(least, np.int64))
        if not others:
            return own
        every = [own, *others]
        return cls(np.concatenate([one.runs for one in every]), np.concatenate([one.least for one in every]))


class Node:
    """A node of the tree: the runs that end here, a child for each symbol, and what is remembered of it.

    `markers` are the children by a marker, `inside` the others. `all_markers` are the places of the markers that are
    met from here on, `inside_markers` those that are met after another symbol.
    """

    __slots__ = ("all_markers", "inside", "inside_markers", "known", "known_inside", "markers", "runs")

    def __init__(self) -> None:
        self.inside: dict[int, Node] = {}
        self.markers: dict[int, Node] = {}
        self.runs: list[int] = []
        self.all_markers: frozenset[int] = frozenset()
        self.inside_markers: frozenset[int] = frozenset()
        self.known: dict[Any, Found] = {}
        self.known_inside: dict[Any, Found] = {}


class Runs:
    """Runs of `symbols`, of which run i ends at `ends[i]`; symbols in the range `marks` are markers."""

    def __init__(self, symbols: Symbols, ends: Ends, marks: range) -> None:
        self.symbols, self.root = symbols, Node()
        self.longest = int(np.diff(ends, prepend=0).max(initial=0))
        every, start, flat = [self.root], 0, np.asarray(symbols).tolist()
        for run, end in enumerate(ends.tolist()):
            node = self.root
            for symbol in flat[start:end]:
                children = node.markers if symbol in marks else node.inside
                if symbol not in children:
                    children[symbol] = Node()
                    every.append(children[symbol])
                node = children[symbol]
            node.runs.append(run)
            start = end
        for node in reversed(every):  # children come after their parents
            below = frozenset().union(*(child.all_markers for child in node.inside.values()))
            beside = frozenset().union(*(child.all_markers for child in node.markers.values()))
            node.inside_markers = below
            node.all_markers = below | beside | {symbol - marks.start for symbol in node.markers}

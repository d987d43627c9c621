"""Every look at the records that marginals take: common cells, places on scales, which pairs, and their counts.

One budget rho of zero-concentrated privacy is divided among them, and delta: half of it bounds the probability that a
cell that a single record holds is told, in any column. Neighbouring sets differ in one record, or one person with all
rows, in whose place the other has nothing; how many there are is public. Noisy counts are rounded, so that no fraction
reveals anything of a sum.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ult.codecs.record.field import Field
from ult.errors import InvalidConfig
from ult.privacy import concentrated
from ult.privacy.choose import chosen
from ult.privacy.quantiles import LEAST
from ult.privacy.randomness import NOISE, SAMPLE, Source
from ult.public.guarantee import Spent
from ult.synth.marginals import persons as several
from ult.synth.marginals.column import Cell, Column, Floats
from ult.synth.marginals.domain import Domain
from ult.synth.marginals.known import Known, Measured, Pair, projected
from ult.synth.marginals.persons import Person, Persons, Rows
from ult.synth.marginals.scale import scale_of

VALUES, PLACES, CHOICE = 0.3, 0.1, 0.03  # of rho; pairs get the rest
FOLLOWING = 0.1  # of rho too, if persons have rows: how many, and how these follow each other
LABEL = 3.0  # how much of rho a pair with the label gets, for 1 of any other
PARTS = 64  # of a scale, which bins are made of
BINS = (4, 8, 16, 32)  # of a scale; the more records and epsilon, the more
BIN = 8.0  # deviations of the noise of a pair that the records of a bin should exceed
SPIKE = 0.05  # the share of records from which on a place of a scale is a class of its own
MOST = 48  # common cells of a column
SURE, LIKELY = 5.0, 1.5  # deviations of the noise that what there is exceeds

Counts = Mapping[Cell, float]  # how many records have each cell
Records = Callable[[], Iterable[Sequence[Any]]]  # each call reads all records, in batches: a row each, or rows


def measured(
    fields: Sequence[Field],
    records: Records,
    n: int,
    cost: Spent,
    random: Source,
    *,
    labels: Sequence[str] = (),
    domains: Mapping[int, Domain] | None = None,
    bins: int | None = None,
    fixed: int | None = None,
) -> Measured:
    """Look at `n` records at a cost. With `labels` the first field has these cells, and each other is counted with it.

    Without, the pairs are those of a tree of all columns; with labels, those of a tree of all others beside. `domains`
    are those of fields, by their places, for which nothing has to be learnt of which cells there are. `bins` are those
    of a scale, chosen by `n` and the cost if left out.

    With `fixed` a record is a person with several rows (`persons`), which are the same in so many of the first columns.
    """
    told = {**(domains or {}), **({0: Domain(tuple(labels))} if labels else {})}
    looks = _Looks(fields, n, cost, random, told, bins, labelled=bool(labels), persons=fixed is not None)
    counts = _counted(looks.rows(records()), len(fields))
    columns = looks.places(looks.values(counts), counts)
    coded = _coded(looks.rows(records()), columns)
    following = None if fixed is None else looks.following(records(), fixed)
    return Measured(n, tuple(columns), looks.noise, tuple(looks.pairs(columns, coded)), following)


class Coded(NamedTuple):
    """The classes (columns, n) of all rows, and how many parts of `whole` each row counts with (n,)."""

    classes: NDArray[np.int16]
    parts: NDArray[np.int64]
    whole: int


def _counted(batches: Iterable[Rows], width: int) -> list[Counts]:
    """Return for each column how many records have each cell."""
    found: list[Counter[Cell]] = [Counter() for _ in range(width)]
    whole = 1
    for rows in batches:
        whole = rows.whole
        for parts in set(rows.parts):
            some = (row for row, of in zip(rows.cells, rows.parts, strict=True) if of == parts)
            for column, cells in zip(found, zip(*some, strict=True), strict=False):
                for cell, times in Counter(cells).items():
                    column[cell] += times * parts
    return [{cell: many / whole for cell, many in column.items()} for column in found]


def _coded(batches: Iterable[Rows], columns: Sequence[Column]) -> Coded:
    classes: list[list[NDArray[np.int16]]] = [[np.zeros(0, np.int16)] for _ in columns]
    parts, whole = [np.zeros(0, np.int64)], 1
    for rows in batches:
        whole = rows.whole
        parts.append(np.array(rows.parts, np.int64))
        for found, column, cells in zip(classes, columns, zip(*rows.cells, strict=True), strict=False):
            found.append(column.codes(cells).astype(np.int16))
    return Coded(np.stack([np.concatenate(found) for found in classes]), np.concatenate(parts), whole)


class _Looks:
    def __init__(
        self,
        fields: Sequence[Field],
        n: int,
        cost: Spent,
        random: Source,
        domains: Mapping[int, Domain],
        bins: int | None,
        *,
        labelled: bool,
        persons: bool = False,
    ) -> None:
        self.fields, self.n, self.random, self.domains, self._asked = fields, n, random, domains, bins
        self.labelled, self.persons = labelled, persons
        self.scales = [k for k, one in enumerate(fields) if scale_of(one) is not None and (k or not labelled)]
        new = [k for k in range(len(fields)) if k not in domains]  # of which cells are learnt
        self.rho = concentrated.rho_of(cost.epsilon, cost.delta / (2 if new else 1))
        # histograms, in each of which a record counts once: how many there are, and would be without domains
        many = len(new) + 2 * sum(k not in domains for k in self.scales)
        most = max(len(fields) - labelled + 2 * len(self.scales), 1)
        self.left = 1 - VALUES * many / most - PLACES * bool(self.scales) - CHOICE * (len(fields) - labelled > 2)
        self.left -= FOLLOWING * persons
        self.noise = concentrated.gaussian(VALUES * self.rho, math.sqrt(most))
        cells = len(new) * (several.MOST if persons else 1)  # that a single record may hold
        tail = -math.expm1(math.log1p(-cost.delta / 2) / max(cells, 1))
        self.threshold = 1 + self.noise * -NormalDist().inv_cdf(tail)
        self._drawn = 0

    def _draws(self, share: float, many: int) -> float:
        """Return the epsilon of each of so many draws at a share of rho. Raises `InvalidConfig` if it is nothing."""
        found = concentrated.exponential(share * self.rho, many)
        if found < LEAST:
            raise InvalidConfig(
                f"epsilon is too little for {many:,} draws of pairs; expected more of it, or fewer columns",
                hint="a greater --epsilon, or --drop",
            )
        return found

    def rows(self, batches: Iterable[Sequence[Any]]) -> Iterator[Rows]:
        """Yield the rows of records that count: each record itself, or some of each person."""
        for batch in batches:
            yield several.rows_of(self._rows_of_each(batch)) if self.persons else Rows(batch, (1,) * len(batch), 1)

    def _rows_of_each(self, batch: Sequence[Person]) -> Iterator[Person]:
        self._drawn += 1
        return several.drawn(batch, self.random.at(SAMPLE, self._drawn))

    def following(self, batches: Iterable[Sequence[Person]], fixed: int) -> Persons:
        """Return how many rows persons have, and how often a cell is as in the row before."""
        width = len(self.fields)
        every = (one for batch in batches for one in self._rows_of_each(batch))
        sizes, stays = several.followed(every, fixed, width)
        noise = concentrated.gaussian(FOLLOWING * self.rho, math.sqrt(1 + width - fixed))
        return Persons(*(tuple(self._noisy(counts, noise).tolist()) for counts in (sizes, stays)))

    def _noisy(self, counts: Floats, noise: float) -> Floats:
        self._drawn += 1
        return np.asarray(np.rint(counts + noise * self.random.at(NOISE, self._drawn).standard_normal(counts.shape)))

    def values(self, counts: Sequence[Counts]) -> list[Column]:
        """Return the columns with their common cells and the forms of their scales."""
        found = []
        for k, (field, each) in enumerate(zip(self.fields, counts, strict=True)):
            if k in self.domains:
                found.append(self.domains[k].column(field))
                continue
            column = self._scaled(Column(field), each)
            cells = sorted((cell for cell in each), key=lambda cell: (cell is not None, cell))
            noisy = self._noisy(np.array([each[cell] for cell in cells], float), self.noise)
            kept = [(cell, float(many)) for cell, many in zip(cells, noisy, strict=True) if many > self.threshold + 0.5]
            kept = sorted(self._common(column, kept), key=lambda one: -one[1])[:MOST]
            if field.required:
                kept = [one for one in kept if one[0] is not None]
            found.append(replace(column, atoms=tuple(c for c, _ in kept), counts=tuple(many for _, many in kept)))
        return found

    def _common(self, column: Column, kept: list[tuple[Cell, float]]) -> list[tuple[Cell, float]]:
        """Return the cells without those that have a place on a scale, unless they are a spike there."""
        if column.scale is None:
            return kept
        placed = column.scale.read([cell or "" for cell, _ in kept])
        return [one for one, place in zip(kept, placed, strict=True) if place is None or one[1] > SPIKE * self.n]

    def _scaled(self, column: Column, counts: Counts) -> Column:
        """Return a column with its forms, and the parts of its scale: two histograms of all that there may be."""
        if column.scale is None:
            return column
        texts = [cell for cell in counts if cell is not None]
        times = dict.fromkeys(column.scale.forms, 0.0)
        for cell, placed in zip(texts, column.scale.read(texts), strict=True):
            if placed is not None:
                times[placed.form] += counts[cell]
        noisy = self._noisy(np.array(list(times.values()), float), self.noise)
        forms = {form: float(many) for form, many in zip(times, noisy, strict=True) if many > SURE * self.noise}
        values, many = _placed(column, counts)
        coarse = np.histogram(values, column.scale.grid, weights=many)[0]
        stops = _stops(column.scale.grid, self._noisy(coarse, self.noise), self.noise)
        return replace(column, forms=forms, stops=stops)

    def places(self, columns: Sequence[Column], counts: Sequence[Counts]) -> list[Column]:
        """Return the columns with bins: by how many cells lie in each part of where most of them are."""
        noise = concentrated.gaussian(PLACES * self.rho, math.sqrt(max(len(self.scales), 1)))
        found = list(columns)
        for k in self.scales:
            column = found[k]
            there = _placed(column, counts[k], column.atoms)
            noisy = self._noisy(np.histogram(there[0], column.stops, weights=there[1])[0], noise)
            shares = projected(noisy, max(float(noisy.sum()), 1.0))
            edges = tuple(map(float, self.fields[k].edges)) or _quantiles(column.stops, shares, self._bins())
            found[k] = replace(column, edges=edges, shares=tuple(shares.tolist()))
        return found

    def _bins(self) -> int:
        """Return how many bins a scale has, by public numbers: each should have more records than noise."""
        if self._asked is not None:
            return self._asked
        noise = max(self._pair_noise())
        return max((one for one in BINS if self.n / one >= BIN * noise), default=BINS[0])

    def _pair_noise(self) -> tuple[float, float]:
        """Return the noise of the counts of pairs with the label, and of those of the tree."""
        width, first = len(self.fields), self.labelled
        shares = (width - 1) * first * LABEL + max(width - first - 1, 0)
        rho = self.left * self.rho / max(shares, 1)
        return concentrated.gaussian(LABEL * rho, 1), concentrated.gaussian(rho, 1)

    def pairs(self, columns: Sequence[Column], codes: Coded) -> list[Pair]:
        """Return the counts of pairs: of all columns with the label, if there are labels, and of a tree."""
        labelled, others = self._pair_noise()
        found = [self._pair(0, k, columns, codes, labelled) for k in range(1, len(columns)) if self.labelled]
        for one, other in self._tree(columns, codes, found, others):
            found.append(self._pair(one, other, columns, codes, others))
        return found

    def _pair(self, one: int, other: int, columns: Sequence[Column], codes: Coded, noise: float) -> Pair:
        counts = joint(codes, columns, one, other) / codes.whole
        return Pair(one, other, self._noisy(counts, noise), noise)

    def _tree(
        self, columns: Sequence[Column], codes: Coded, known: Sequence[Pair], noise: float
    ) -> list[tuple[int, int]]:
        """Return the edges of a tree, drawn by how far counts of two columns are from what is known without them.

        That is an integer, which one record changes by at most 1. What the noise of the counts would add is taken off.
        """
        guess = Known(self.n, columns, self.noise, known)
        free = list(range(self.labelled, len(columns)))
        scores = {}
        for i, one in enumerate(free):
            for other in free[i + 1 :]:
                expected = np.rint(guess.expected(one, other)).astype(np.int64) * codes.whole
                far = int(np.abs(joint(codes, columns, one, other) - expected).sum()) // codes.whole
                scores[one, other] = far - int(math.sqrt(2 / math.pi) * noise * expected.size)
        epsilon = self._draws(CHOICE, max(len(free) - 1, 1))
        group = {k: k for k in free}
        found: list[tuple[int, int]] = []
        while len(found) < len(free) - 1:
            left = [pair for pair in scores if group[pair[0]] != group[pair[1]]]
            pair = left[chosen([-scores[one] for one in left], epsilon)]
            found.append(pair)
            group = {k: group[pair[0]] if mine == group[pair[1]] else mine for k, mine in group.items()}
        return found


def joint(codes: Coded, columns: Sequence[Column], one: int, other: int) -> NDArray[np.int64]:
    """Return how often two columns have each pair of classes, in parts of a record."""
    shape = columns[one].classes, columns[other].classes
    at = codes.classes[one].astype(np.int64) * shape[1] + codes.classes[other]
    found = np.bincount(at, weights=codes.parts, minlength=shape[0] * shape[1])  # whole numbers, below 2^53
    return found.astype(np.int64).reshape(shape)


def _placed(column: Column, counts: Counts, without: Sequence[Cell] = ()) -> tuple[Floats, Floats]:
    """Return the places (n,) of different cells on the scale, but for those left out, and how often each is there."""
    texts = [cell for cell in counts if cell is not None and cell not in without]
    read = column.scale.read(texts) if column.scale else []
    there = [(one.value, counts[cell]) for cell, one in zip(texts, read, strict=True) if one is not None]
    found = np.array(there, float).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _stops(grid: Floats, noisy: Floats, noise: float) -> tuple[float, ...]:
    """Return where the parts of a scale begin and end: `PARTS` of them, the more where there is more.

    `noisy` are the counts between the places of `grid`. Most cells are between the first and the last that is above the
    noise beyond doubt, and those beside them that are probably so.
    """
    sure = np.flatnonzero(noisy > SURE * noise)
    low, high = (int(sure[0]), int(sure[-1])) if len(sure) else (int(np.argmax(noisy)),) * 2
    while low > 0 and noisy[low - 1] > LIKELY * noise:
        low -= 1
    while high < len(noisy) - 1 and noisy[high + 1] > LIKELY * noise:
        high += 1
    shares = np.maximum(noisy[low : high + 1], 0) + 1
    parts = np.maximum(np.rint(shares / shares.sum() * PARTS), 1).astype(int)
    every = [np.linspace(a, b, m, endpoint=False) for a, b, m in zip(grid[low:], grid[low + 1 :], parts, strict=False)]
    return (*np.concatenate(every).tolist(), float(grid[high + 1]))


def _quantiles(stops: Sequence[float], shares: Floats, bins: int) -> tuple[float, ...]:
    """Return the inner edges of at most `bins` bins of about equal shares."""
    sums = np.cumsum(shares)
    places = np.searchsorted(sums, np.arange(1, bins) / bins * sums[-1]) + 1
    return tuple(stops[k] for k in np.unique(places).tolist() if k < len(shares))

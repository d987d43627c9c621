"""Differential privacy as tables, shards and runs state it: (epsilon, delta), of what, and on which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ult.errors import FormatError
from ult.host.shown import count

_PARTS = {"epsilon_of_edges", "delta_of_edges"}  # of a promise, in files only if edges of bins were learnt


class Spent(NamedTuple):
    """What a mechanism costs of a promise."""

    epsilon: float
    delta: float


@dataclass(frozen=True, slots=True)
class Guarantee:
    """The promise to each record that a table was fitted on: (epsilon, delta), and the mechanisms that keep it.

    The edges of bins cost `epsilon_of_edges` and `delta_of_edges`, 0 if none were learnt; the counts cost the rest.
    """

    epsilon: float
    delta: float
    patches: int  # the most distinct patches of a record that are counted
    noise: float  # the standard deviation of the noise that was added to each patch's count
    threshold: float  # the lowest noisy count that a patch is kept for
    epsilon_of_edges: float = 0.0
    delta_of_edges: float = 0.0

    def __str__(self) -> str:
        most = count(self.patches, "patch", "patches")
        said = f"({self.epsilon:.3g}, {self.delta:.2g})-differential privacy for each record, counted in up to {most}"
        part = f"({self.epsilon_of_edges:.3g}, {self.delta_of_edges:.2g})"
        return f"{said}; {part} of it for the edges of bins" if self.epsilon_of_edges else said

    def document(self) -> dict[str, Any]:
        """Return the guarantee as JSON values."""
        return {name: value for name, value in asdict(self).items() if value or name not in _PARTS}

    @classmethod
    def read(cls, document: object, path: object) -> Guarantee:
        """Return the guarantee that `document()` wrote; raise `FormatError` naming `path` for anything else."""
        names = set(cls.__dataclass_fields__)
        if not isinstance(document, dict) or set(document) not in (names, names - _PARTS):
            raise FormatError(f"{path}: privacy has other fields; expected {sorted(names - _PARTS)}")
        for name, value in document.items():
            kind = int if name == "patches" else float
            if type(value) is not kind or not 0 < value < 2**53:
                raise FormatError(f"{path}: {name} of privacy is no {kind.__name__} above 0")
        kept = cls(**document)
        if kept.epsilon_of_edges >= kept.epsilon or kept.delta_of_edges >= kept.delta:
            raise FormatError(f"{path}: the edges of bins cost more than the promise")
        return kept


@dataclass(frozen=True, slots=True)
class Account:
    """The promise of a run to any one record: what its training and its tables spent, added up.

    Without `of_records` the promise covers the weights given the ids alone. The ids themselves, and with them the
    weights, then depend on every record of a table that promises nothing.
    """

    epsilon: float
    delta: float
    of_records: bool
    parts: tuple[tuple[str, float, float], ...]  # name, epsilon and delta of each mechanism
    conditions: tuple[str, ...]  # sentences that must be true for the promise to hold

    def __str__(self) -> str:
        spent = f"({self.epsilon:.3g}, {self.delta:.2g})-differential privacy {self.covers('each record')}"
        return "; ".join((spent, *([self.sums] if self.sums else []), *self.conditions))

    def covers(self, records: str) -> str:
        """Return what the promise covers, in words; `records` names the records, such as "each record"."""
        if self.of_records:
            return f"for {records}"
        return "of the weights given the ids; not of the records, because the table is not private"

    @property
    def sums(self) -> str:
        """The terms of the sum, in words; empty if there is one mechanism."""
        if len(self.parts) < 2:
            return ""
        return "on one account: " + " + ".join(
            f"{name} ({epsilon:.3g}, {delta:.2g})" for name, epsilon, delta in self.parts
        )

    def document(self) -> dict[str, Any]:
        """Return the account as JSON values."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "of": "records" if self.of_records else "weights given the ids",
            "parts": [{"of": name, "epsilon": epsilon, "delta": delta} for name, epsilon, delta in self.parts],
            "conditions": list(self.conditions),
            "says": str(self),
        }


def composed(metrics: Mapping[str, Any]) -> Account | None:
    """Return the promise of a run with these `metrics` (its `metrics.json`); None if its training promised nothing.

    The epsilons and deltas of the training and of each private table add up, as if every record were in the fit of
    each, because nobody can say which are. A table of public records costs nothing. If a table is neither private nor
    declared public, the promise covers the weights given the ids alone: any one record of such a table can change its
    phrases and ranks, and so the ids of all records.
    """
    told = metrics.get("privacy")
    if not told:
        return None
    lots = [*metrics["shards"], *metrics.get("targets", [])]
    tables = {lot["table"]: lot["privacy"] for lot in lots if lot.get("privacy")}
    of_records = all(lot.get("privacy") or lot.get("public_table") is True for lot in lots)
    parts = [("training", float(told["epsilon"]), float(told["delta"]))]
    if of_records:
        parts += [(f"table {name[:8]}", float(one["epsilon"]), float(one["delta"])) for name, one in tables.items()]
    epsilon, delta = sum(epsilon for _, epsilon, _ in parts), sum(delta for *_, delta in parts)
    return Account(epsilon, delta, of_records, tuple(parts), tuple(_conditions(metrics, told)))


def of_training(metrics: Mapping[str, Any]) -> Account | None:
    """Return the part of a run's promise that attacks on it can refute: that of its training alone, given the ids.

    None if the training promised nothing, if the seed of its noise is known, or if it went on from an earlier run,
    whose records nobody knows.
    """
    account = composed(metrics)
    if account is None or metrics.get("from_run") or not metrics["privacy"].get("secure_random"):
        return None
    (name, epsilon, delta), *_ = account.parts
    return Account(epsilon, delta, False, ((name, epsilon, delta),), account.conditions)


def _conditions(metrics: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[str]:
    if not told.get("secure_random"):
        yield "if nobody knows the seed of its noise"
    if began := metrics.get("from_run"):
        yield f"records that {began}, which it started from, was trained on are not covered"
    if metrics.get("federated") is not None:
        yield "records of the other owners of its federation are covered by what these promise alone"
    if metrics.get("validation"):
        yield "records of its validation shards, which chose the weights, are not covered"
    if metrics.get("task") == "classify":
        yield "which labels there are is not covered: the run has a class for each, were it of a single record"

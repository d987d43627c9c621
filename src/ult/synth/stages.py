"""The stages of a synthesis, each an ordinary verb's function, in the hidden folder of `ult.synth.working`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ult.data.composed.record_sink import open_record_sink
from ult.data.sink import Sink
from ult.errors import InvalidConfig
from ult.host.bar import stages
from ult.host.distribution import build, versions
from ult.host.progress import Notice
from ult.host.shown import count
from ult.owner.constrained import TableGrammar
from ult.owner.decode import sink_of
from ult.owner.encode import encode
from ult.owner.fit import fit
from ult.owner.given import GivenCells
from ult.owner.handover.conditioned import draw
from ult.owner.table import Table
from ult.public.guarantee import Spent
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic
from ult.synth import plan, vote, written
from ult.synth.account import Account
from ult.synth.labels import Condition, counted, noisy, sequence, shared
from ult.synth.lengths import lengths, plain_context, private_context
from ult.synth.marginals import making as marginals
from ult.synth.marginals.known import Measured
from ult.synth.plan import Shares
from ult.synth.records import Records
from ult.synth.result import Synthesised
from ult.synth.working import COUNTS, Working
from ult.trainer.generate import generate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a synthesis."""

    rows: int
    epsilon: float | None
    delta: float | None
    method: str
    table_share: float
    condition: Condition
    members: int | None
    temperature: float
    seed: int
    secure_random: bool

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {n: getattr(self, n) for n in self.__dataclass_fields__} | {"condition": self.condition.document()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What of the sizes is asked for; None is chosen by the number of records."""

    vocabulary: int | None
    context: int | None
    model: str
    steps: int | None
    batch_size: int | None
    learning_rate: float | None

    def document(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def said(self) -> bool:
        """Return whether one of them is asked for."""
        return self.model != "tiny" or any(one is not None for name, one in self.document().items() if name != "model")

    def chosen(self, usual: plan.Training) -> Sizes:
        """Return them with the usual ones in place of None, but for vocabulary and context."""
        return replace(
            self,
            steps=self.steps or usual.steps,
            batch_size=self.batch_size or usual.batch_size,
        )


@dataclass(slots=True)
class Synthesis:
    """One synthesis, in its working folder."""

    records: Records
    work: Working
    asked: Asked
    sizes: Sizes
    storage: Mapping[str, Any]
    workers: int | None
    notice: Notice

    def whole(self, out: Path, *, force: bool) -> Synthesised:
        """Do all stages that are not done yet, and put the records in place."""
        n = self._number()
        promised = plan.asked_of(self.asked.epsilon, self.asked.delta, n)
        account = Account(promised)
        if self.asked.method == "marginals":
            return self._counted(account, n, out, force=force)
        shares = promised and self._shares(promised, n)
        if shares and shares.votes and not shares.context:
            context = self.sizes.context or plan.usual_context(self.records.fields)
            self._budget(shares.votes, context, n)  # refuses too little of it before any work is done
        self.sizes = self.sizes.chosen(plan.training_of(n, private=promised is not None))
        table = self.table(account, shares)
        self.encoded(account, table)
        self.sizes = replace(self.sizes, context=self.context(account, shares))
        labels = self.labels(account, shares)
        run, more = self.trained(account, shares), dict[str, Any]()
        if shares and shares.votes:
            run, more = self.voted(account, shares.votes, table, run, n, out)
        else:
            self.write(table, run, labels, out)
        told = self.told(account, shares, table, run, n) | more
        self.notice(f"decoding {count(self.asked.rows, 'record')}")
        column = Shards(self.work.shards).manifest.column
        sink = partial(sink_of, table=table, column=column, kept=None, force=False)
        return self._published(written.decoded(self.work, table, self.asked.rows), sink, told, out, force=force)

    def _published(
        self,
        many: Iterator[list[Any]],
        sink: Callable[[Path], Sink],
        told: Mapping[str, Any],
        out: Path,
        *,
        force: bool,
        notes: Sequence[str] = (),
    ) -> Synthesised:
        with stages("decoding") as progress:
            found = written.publish(
                many,
                sink,
                out,
                lambda digest: Synthetic(digest=digest, **told),
                force=force,
                advance=lambda more: progress("decoding", more),
            )
        return Synthesised(out, found, (*self.records.told, *notes))

    def _counted(self, account: Account, n: int, out: Path, *, force: bool) -> Synthesised:
        """Make the records by noisy counts, which are kept after a kill; nothing else looks at real ones."""
        records, asked = self.records, self.asked
        layout = records.layout
        if account.asked is None or layout is None:
            raise AssertionError("marginals are of records of fields, with a promise")
        self.notice("counting columns and pairs of columns")
        with account.reading("common cells, places of numbers, and pairs of columns", account.asked):
            kept = self.work.told(COUNTS)
            if kept is None:
                of: dict[str, Any] = {"seed": asked.seed, "secure": asked.secure_random}
                kept = marginals.counted(records, n, account.asked, asked.condition, **of).document()
                self.work.tell(COUNTS, kept)
        columns, _ = marginals.columns_of(records)
        found = Measured.read(kept, columns)
        self.notice(f"drawing {count(asked.rows, 'record')}")
        made = marginals.drawn(found, asked.rows, asked.condition, asked.seed, records.fields)
        told = self.told(account, None, None, None, n)
        told["public"] = (*told["public"], *marginals.bounds(records))
        told |= {"shape": {"records": n, "pairs": len(found.pairs), "classes": [one.classes for one in found.columns]}}
        sink = partial(open_record_sink, schema=layout, kept_schema=None, force=False)
        lots, notes = marginals.checked(made, records.fields), marginals.remarks(found, asked.condition)
        return self._published(lots, sink, told, out, force=force, notes=notes)

    def _number(self) -> int:
        """Return the number of records, which is public."""
        n = self.work.told("records")
        if n is None:
            with Account(None).handling("the number of records"), stages("counting") as progress:
                n = 0
                for batch in self.records.source.batches():
                    n += batch.rows
                    progress("counting", batch.rows)
            if not n:
                raise InvalidConfig("there is no record to learn from")
            self.work.tell("records", n)
        return int(n)

    def _shares(self, promised: Spent, n: int) -> Shares:
        learns = self.sizes.context is None and plan.learns_context(promised, n)
        return Shares.of(
            promised,
            table=self.asked.table_share,
            context=learns,
            counts=self.asked.condition.counts,
            votes=self.asked.method == "vote",
        )

    def table(self, account: Account, shares: Shares | None) -> Table:
        """Return the table, fitted if it is not there yet."""
        cost = shares.table if shares else None
        with account.reading("the table", cost):
            if self.work.table.exists():
                return Table.load(self.work.table, passphrase=self.storage["passphrase"])
            self.notice("fitting a table")
            size = self.sizes.vocabulary or plan.vocabulary_of(
                self.records.codec, dict(self.records.said.options or {}), self.records.fields, private=cost is not None
            )
            promise: dict[str, Any] = {"epsilon": cost.epsilon, "delta": cost.delta} if cost else {}
            of = self.records.of_fit(private=cost is not None)
            more: dict[str, Any] = {"vocabulary_size": size, "workers": self.workers, **promise, **self.storage}
            return fit(self.records.said.inputs, self.work.table, **of, **more).table

    def encoded(self, account: Account, table: Table) -> None:
        """Encode the records to shards, if they are not there yet."""
        if not self.work.shards.exists():
            self.notice("encoding the records")
            with account.handling("encoding"):
                of = self.records.of_encode()
                encode(self.records.said.inputs, table, self.work.shards, workers=self.workers, **of)

    def context(self, account: Account, shares: Shares | None) -> int:
        """Return how many ids the model sees at once."""
        cost = shares.context if shares else None
        if cost is not None:
            with account.reading("how long records are", cost):
                found = self.work.told("context")
                if found is None:
                    found = private_context(lengths(Shards(self.work.shards)), cost.epsilon)
                    self.work.tell("context", found)
                return int(found)
        if self.sizes.context is not None:
            return self.sizes.context
        if shares is not None:
            return plan.usual_context(self.records.fields)
        with account.reading("how long records are", None):
            return plain_context(lengths(Shards(self.work.shards)))

    def labels(self, account: Account, shares: Shares | None) -> list[str]:
        """Return the label of each record that is to be written, empty if none is asked for."""
        condition, cost = self.asked.condition, shares.counts if shares else None
        counts: Mapping[str, int] | None = condition.asked or None
        if condition.counts:
            with account.reading("how many have each label", cost):
                counts = self.work.told("labels")
                if counts is None:
                    exact = counted(self.records.source, self.records.fields, condition)
                    counts = noisy(exact, cost.epsilon) if cost else exact
                    self.work.tell("labels", counts)
        if counts is None:
            return []
        if not counts:
            raise InvalidConfig(f"no record has a label in {condition.column!r}")
        return sequence(shared(counts, self.asked.rows), self.asked.seed)

    def _recipe(self, **more: Any) -> Recipe:
        sizes = {"steps": self.sizes.steps, "batch_size": self.sizes.batch_size, "model": self.sizes.model}
        of: dict[str, Any] = {**sizes, "context": self.sizes.context, "seed": self.asked.seed, **more}
        return Recipe(learning_rate=self.sizes.learning_rate, **of)

    def trained(self, account: Account, shares: Shares | None) -> Run:
        """Return the run, trained on the records if it is not yet."""
        if shares:
            of: dict[str, Any] = {"epsilon": shares.rest.epsilon, "delta": shares.rest.delta}
            of |= {"secure_random": self.asked.secure_random, "accumulate": plan.parts_of(self.sizes.batch_size or 1)}
        recipe = self._recipe(**(of if shares else {"document_mask": True}))
        self.notice(f"training on the records, {recipe.steps:,} steps of {recipe.batch_size} records")
        with account.reading("the training", shares.rest if shares else None):
            train([self.work.shards], self.work.run, recipe, resume="auto")
        return Run.open(self.work.run)

    def _budget(self, cost: Spent, context: int, n: int) -> vote.Budget:
        members = self.asked.members or vote.members_of(n)
        of: dict[str, Any] = {"rows": self.asked.rows, "room": context - 1, "members": members, "records": n}
        return vote.budget_of(cost, temperature=self.asked.temperature, **of)

    def voted(
        self, account: Account, cost: Spent, table: Table, run: Run, n: int, out: Path
    ) -> tuple[Run, dict[str, Any]]:
        """Return the members, after they voted on what is written to `out`, and what is said of it."""
        room = (self.sizes.context or 1) - 1
        budget = self._budget(cost, room + 1, n)
        steps, batch = vote.steps_of(n, budget.members)
        steps, batch = min(steps, self.sizes.steps or steps), min(batch, self.sizes.batch_size or batch)
        what = f"{budget.members} members on disjoint records, {count(steps, 'step')} of {count(batch, 'record')} each"
        self.notice(f"training {what}; {budget}")
        of: dict[str, Any] = {"members": budget.members, "member_records": "disjoint", "document_mask": True}
        of |= {"steps": steps, "batch_size": batch, "model": None, "from_run": self.work.run}
        with account.reading("the votes", cost):
            train([self.work.shards], self.work.members, self._recipe(**of), resume="auto")
        self.notice(f"writing {count(self.asked.rows, 'record')} by votes")
        members, grammar = Run.open(self.work.members), TableGrammar.of_file(table, out)
        with stages("writing") as progress:
            voters = vote.Voters(members, run)

            def lot(_: int, many: int) -> list[Any]:
                return voters.write(grammar, many, room=room, budget=budget, advance=partial(progress, "writing"))

            written.write_lots(self.work, table, self.asked.rows, lot)
        return members, {"draw": {"temperature": self.asked.temperature, **budget._asdict()}}

    def write(self, table: Table, run: Run, labels: Sequence[str], out: Path) -> None:
        """Let the run write what goes to `out`, under the grammar. Nothing is thrown away or drawn again."""
        self.notice(f"writing {count(self.asked.rows, 'record')}")
        with stages("writing") as progress:
            of: dict[str, Any] = {"temperature": self.asked.temperature, "batch_size": 64}
            of |= {"modality": table.codec.family, "advance": lambda more, _: progress("writing", more)}

            def lot(number: int, n: int) -> list[Any]:
                seed = self.asked.seed + number
                if not labels:
                    return generate(run, n=n, seed=seed, grammar=TableGrammar.of_file(table, out), **of)
                here = np.array(labels[number * written.LOT :][:n])
                found: list[Any] = [None] * n
                for label in dict.fromkeys(here.tolist()):
                    places = np.flatnonzero(here == label).tolist()
                    cells = GivenCells(table, {self.asked.condition.column: label})
                    drawn = draw(run, cells, n=len(places), draws=16, max_new=None, seed=seed, **of)
                    for k, ids in zip(places, drawn.records, strict=True):
                        found[k] = ids
                return found

            written.write_lots(self.work, table, self.asked.rows, lot)

    def told(
        self, account: Account, shares: Shares | None, table: Table | None, run: Run | None, n: int
    ) -> dict[str, Any]:
        """Return what is said of the synthetic records, but for their digest; marginals have no table and no run."""
        promised, asked = account.asked, self.asked
        fixed = "how many ids the model sees at once, which no record decided"
        sizes = "steps, batch size, learning rate and vocabulary" if run else "how many bins and pairs there are"
        known = [
            f"the number of records, {n}",
            *self.records.known(),
            *([] if run is None or (shares and shares.context) else [fixed]),
            *([f"the labels of {asked.condition.column!r}"] if asked.condition.column else []),
            f"{sizes}, chosen by the number of records and epsilon alone",
        ]
        seeded = not asked.secure_random
        drawn: dict[str, Any] = {"temperature": asked.temperature, "seed": asked.seed}
        drawn |= {"condition": asked.condition.column} if asked.condition.column else {}
        return {
            "records": asked.rows,
            "method": asked.method,
            "codec": self.records.codec,
            "table": table.fingerprint if table else "",
            "run": run.digest() if run else "",
            "unit": "person" if self.records.unit else "record",
            "unit_column": self.records.unit,
            "epsilon": promised and promised.epsilon,
            "delta": promised and promised.delta,
            "parts": tuple(account.parts),
            "public": tuple(known) if promised else (),
            "conditions": ("if nobody knows the seed of its noise",) if promised and seeded else (),
            "shape": {**self.sizes.document(), "vocabulary": table and table.vocabulary.size, "records": n},
            "draw": drawn,
            "versions": {**versions(), "build": build()},
        }

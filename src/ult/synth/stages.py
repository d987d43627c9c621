"""The stages of a synthesis, each an ordinary verb's function, in the hidden folder of `ult.synth.working`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.host.bar import stages
from ult.host.distribution import build, versions
from ult.host.progress import Notice
from ult.host.shown import count
from ult.owner.constrained import TableGrammar
from ult.owner.encode import encode
from ult.owner.fit import fit
from ult.owner.table import Table
from ult.public.guarantee import Spent
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic
from ult.synth import plan, warm, written
from ult.synth.account import Account
from ult.synth.lengths import lengths, plain_context, private_context
from ult.synth.plan import Shares
from ult.synth.records import Records
from ult.synth.result import Synthesised
from ult.synth.working import Working
from ult.trainer.generate import generate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What of the sizes is asked for; None is chosen by the number of records."""

    vocabulary: int | None
    context: int | None
    model: str
    steps: int | None
    batch_size: int | None
    learning_rate: float | None
    warm_records: int
    warm_steps: int

    def document(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def chosen(self, records: int, *, private: bool) -> Sizes:
        """Return them with those of a training on so many records in place of None, but for the context."""
        usual = plan.training_of(records, private=private)
        return replace(
            self,
            steps=self.steps or usual.steps,
            batch_size=self.batch_size or usual.batch_size,
            warm_records=self.warm_records if private else 0,
        )


@dataclass(slots=True)
class Synthesis:
    """One synthesis, in its working folder."""

    records: Records
    work: Working
    sizes: Sizes
    storage: Mapping[str, Any]
    workers: int | None
    notice: Notice
    seed: int
    secure_random: bool

    def whole(
        self,
        out: Path,
        rows: int,
        promised: tuple[float | None, float | None],
        table_share: float,
        temperature: float,
        *,
        force: bool,
    ) -> Synthesised:
        """Do all stages that are not done yet, and put the records in place."""
        asked, account, n = self._begun(*promised)
        learns = asked is not None and self.sizes.context is None and plan.learns_context(asked, n)
        shares = asked and Shares.of(asked, table=table_share, context=learns, counts=False)
        self.sizes = self.sizes.chosen(n, private=asked is not None)
        table = self.table(account, shares)
        self.encoded(account, table)
        context = self.context(account, shares)
        self.sizes = replace(self.sizes, context=context)
        self.warmed(table, context)
        run = self.trained(account, shares, context)
        self.write(table, run, rows, temperature)
        told = self.told(account, table, run, rows, n, temperature, learns=learns)
        self.notice(f"decoding {count(rows, 'record')}")
        column = Shards(self.work.shards).manifest.column
        with stages("decoding") as progress:
            found = written.publish(
                written.decoded(self.work, table, rows),
                table,
                out,
                lambda digest: replace(told, digest=digest),
                column=column,
                force=force,
                advance=lambda more: progress("decoding", more),
            )
        return Synthesised(out, found, self.records.told)

    def _begun(self, epsilon: float | None, delta: float | None) -> tuple[Spent | None, Account, int]:
        """Return what is promised, its account, and the number of records, which is public."""
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
        asked = plan.asked_of(epsilon, delta, n)
        return asked, Account(asked), n

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

    def warmed(self, table: Table, context: int) -> None:
        """Train a run on made-up records of the grammar, if that is wanted and not done yet. No record is read."""
        if not self.sizes.warm_records:
            return
        if not self.work.made_up.exists():
            self.notice(f"drawing {count(self.sizes.warm_records, 'record')} from the grammar")
            found = []
            with stages("drawing") as progress:
                for ids in warm.drawn(table, self.sizes.warm_records, room=context - 1, seed=self.seed):
                    found.append(ids)
                    progress("drawing", 1)
            written.save(self.work.made_up, found, table)
        self.notice("warming up on records of the grammar")
        recipe = Recipe(
            steps=self.sizes.warm_steps, context=context, model=self.sizes.model, document_mask=True, seed=self.seed
        )
        train([self.work.made_up], self.work.warm, recipe, resume="auto")

    def trained(self, account: Account, shares: Shares | None, context: int) -> Run:
        """Return the run, trained on the records if it is not yet."""
        start: dict[str, Any] = {"from_run": self.work.warm} if self.sizes.warm_records else {"model": self.sizes.model}
        if shares:
            start |= {"epsilon": shares.rest.epsilon, "delta": shares.rest.delta, "secure_random": self.secure_random}
            start["accumulate"] = plan.parts_of(self.sizes.batch_size or 1)
        recipe = Recipe(
            steps=self.sizes.steps or 1,
            batch_size=self.sizes.batch_size or 1,
            learning_rate=self.sizes.learning_rate,
            context=context,
            seed=self.seed,
            document_mask=shares is None,
            **start,
        )
        self.notice(f"training on the records, {recipe.steps:,} steps of {recipe.batch_size} records")
        with account.reading("the training", shares.rest if shares else None):
            train([self.work.shards], self.work.run, recipe, resume="auto")
        return Run.open(self.work.run)

    def write(self, table: Table, run: Run, rows: int, temperature: float) -> None:
        """Let the run write, under the grammar. Nothing is thrown away or drawn again."""
        self.notice(f"writing {count(rows, 'record')}")
        with stages("writing") as progress:

            def lot(number: int, n: int) -> list[Any]:
                return generate(
                    run,
                    n=n,
                    temperature=temperature,
                    seed=self.seed + number,
                    batch_size=64,
                    modality=table.codec.modality,
                    grammar=TableGrammar(table),
                    advance=lambda more, _: progress("writing", more),
                )

            written.write_lots(self.work, table, rows, lot)

    def told(
        self, account: Account, table: Table, run: Run, rows: int, n: int, temperature: float, *, learns: bool
    ) -> Synthetic:
        """Return what is said of the synthetic records, but for their digest."""
        asked, sizes = account.asked, self.sizes.document()
        conditions = [] if self.secure_random or asked is None else ["if nobody knows the seed of its noise"]
        fixed = [] if learns else ["how many ids the model sees at once, which no record decided"]
        chosen = ["steps, batch size, learning rate and vocabulary, chosen by the number of records and epsilon alone"]
        known = [f"the number of records, {n}", *self.records.known(), *fixed, *chosen]
        shape = {**sizes, "vocabulary": table.vocabulary.size, "records": n}
        return Synthetic(
            records=rows,
            digest="",
            method="train",
            codec=table.codec.id,
            table=table.fingerprint,
            run=run.digest(),
            unit="person" if self.records.unit else "record",
            unit_column=self.records.unit,
            epsilon=asked and asked.epsilon,
            delta=asked and asked.delta,
            parts=tuple(account.parts),
            public=tuple(known) if asked else (),
            conditions=tuple(conditions),
            shape=shape,
            draw={"temperature": temperature, "seed": self.seed},
            versions={**versions(), "build": build()},
        )

"""What is asked of `ult forget run`: a run, the shards it was trained on, and the records to forget, held together.

Shards are those of the run if they have the digest that its metrics name, or come from them by `ult forget shards` and
lack exactly the records that the run was trained without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ult.errors import InvalidConfig
from ult.public.gone import Gone, Lot, as_gones
from ult.public.id_columns import record_ids
from ult.public.manifest import IDS
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.inputs import Files, Inputs, Paths
from ult.trainer.datasets.parting import part_of
from ult.trainer.part import Part
from ult.trainer.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Asked:
    """A run, its shards and the records that it is to forget, checked against one another."""

    run: Run
    recipe: Recipe  # of the run, as its metrics tell it
    inputs: Inputs  # what it was trained on, without the records
    gones: tuple[Gone, ...]  # all that is left out
    new: tuple[Gone, ...]  # of these, what the run was trained on until now

    @classmethod
    def open(
        cls,
        run: Run,
        shards: Paths,
        rows: Files,
        *,
        targets: Paths | None,
        validation: Paths | None,
        validation_targets: Paths | None,
    ) -> Asked:
        """Open the shards and hold all together. Raises `InvalidConfig`, and what `Inputs.open` raises."""
        told = run.metrics.get("recipe")
        if run.metrics.get("adopted") or told is None:
            raise InvalidConfig(
                f"{run.path} does not say by which recipe it was trained, so it cannot be trained again",
                hint="train again where it was trained, on shards of ult forget shards",
            )
        recipe = Recipe.from_metrics({**told, "from_run": told.get("from_run")}, run.path / "metrics.json")
        for name, named in (("shards", shards), ("targets", targets), ("validation", validation)):
            _check_number(run, name, named)
        inputs = Inputs.open(recipe, shards, targets, validation, validation_targets, rows)
        before = {one["digest"] for one in run.metrics.get("without", []) if "digest" in one}
        taken: set[str] = set()
        for name in ("shards", "targets", "validation"):
            taken |= _taken(run, _lots(run, name), getattr(inputs, name), before)
        gones = as_gones(rows)
        given = {gone.digest for gone in gones}
        if lacking := before - taken - given:
            raise InvalidConfig(
                f"{run.path} was trained without the records that a file of digest {min(lacking)[:16]} names, which "
                "would come back",
                hint="name that file too: --rows FIRST.rows --rows SECOND.rows",
            )
        new = tuple(gone for gone in gones if gone.digest not in before)
        if not new:
            raise InvalidConfig(f"{run.path} was trained without these records already; nothing is left to forget")
        return cls(run, recipe, inputs, gones, new)

    @property
    def rows(self) -> int:
        """How many records are forgotten of what the run was trained on, or validated on."""
        return sum(len(lot.every) for lot, _ in self.lots())

    def lots(self) -> Iterator[tuple[Lot, Shards]]:
        """Yield the records to forget, by the shards that hold them."""
        inputs = self.inputs
        for one in [*inputs.shards, *inputs.targets, *inputs.validation, *inputs.validation_targets]:
            for gone in self.new:
                if (lot := gone.of(one)) is not None:
                    yield lot, one

    def saw(self, parts: Sequence[str | None]) -> list[bool]:
        """Return of each of the `parts` of the records that trainings were on, as K/OF, whether it has one to forget.

        None is all records. What chose the weights, on validation, saw its records as well.
        """
        validated = {one.manifest.digest for one in [*self.inputs.validation, *self.inputs.validation_targets]}
        if any(one.manifest.digest in validated for _, one in self.lots()):
            return [True] * len(parts)
        read = [None if text is None else Part.read(text) for text in parts]
        of = {one.of for one in read if one is not None}
        held = {many: {part_of(ids, many) for ids in self._ids()} for many in of}
        return [one is None or one.number in held[one.of] for one in read]

    def _ids(self) -> Iterator[Any]:
        """Yield the ids (n,) of each record to forget."""
        for lot, one in self.lots():
            rows, first = lot.every, 0
            for number, part in enumerate(one.manifest.parts):
                here = [row - first for row in rows if first <= row < first + part.rows]
                first += part.rows
                if here:
                    yield from record_ids(one.part(number).select([IDS]).take(here))


def _lots(run: Run, name: str) -> Sequence[Mapping[str, Any]]:
    """Return what a run says of its shards, its targets or those of its validation."""
    told: Any = run.metrics.get(name) or []
    return list(told.get("shards", [])) if name == "validation" and told else list(told)


def _check_number(run: Run, name: str, named: Paths | None) -> None:
    """Raise `InvalidConfig` unless as many folders were named as the run was trained on."""
    told = _lots(run, name)
    given = 0 if named is None else 1 if isinstance(named, str | Path) else len(named)
    if given != len(told):
        option = "" if name == "shards" else f"--{name} "
        names = f" {option}".join(str(lot.get("name", "SHARDS")) for lot in told)
        raise InvalidConfig(
            f"{run.path} was trained on {len(told)} shards folders as its {name}; {given} were given",
            hint=f"{option}{names}" if told else f"leave out {option}",
        )


def _taken(run: Run, told: Sequence[Mapping[str, Any]], given: Sequence[Shards], before: set[str]) -> set[str]:
    """Return which files of records to forget were taken out of the shards since the run; raise unless they fit."""
    taken: set[str] = set()
    for lot, one in zip(told, given, strict=True):
        digest = lot.get("digest")
        if digest is None:
            raise InvalidConfig(
                f"{run.path} does not say which shards it was trained on: it was released, or is of an early version",
                hint="the run before its release",
            )
        stones = one.manifest.forgotten
        start = next((k for k, stone in enumerate(stones) if stone.of == digest), None)
        since = {stone.gone for stone in stones[start:]} if start is not None else set()
        if one.manifest.digest != digest and (start is None or not since <= before):
            gone = " and lacks records that the run saw" if start is not None else ""
            raise InvalidConfig(
                f"{one.path} has digest {one.manifest.digest[:16]}{gone}; {run.path} was trained on "
                f"{lot.get('name', 'shards')} of digest {digest[:16]}",
                hint="the very shards that it was trained on, in their order",
            )
        taken |= since
    return taken


def place_of(named: str | Path | None, run: Run, name: str) -> Path | None:
    """Return the folder of the run that `run` went on from: the one named, `base` inside it, or beside it."""
    places = [Path(named)] if named is not None else [run.path / "base", run.path.absolute().parent / name]
    return next((place for place in places if (place / "metrics.json").is_file()), None)

"""The run that a run went on from, which training it again needs, and what it saw of what is to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ult.errors import InvalidConfig, MissingSource
from ult.public.gone import Gone
from ult.public.guarantee import Account, composed
from ult.public.run import Run
from ult.trainer.forgetting.asked import Asked, place_of


@dataclass(frozen=True, slots=True)
class Base:
    """An earlier run, opened, and what it promises to the records that are forgotten; None where it never saw them."""

    run: Run
    promise: Account | None = None


def base_of(asked: Asked, named: str | Path | None, *, guaranteed: bool) -> Base | None:
    """Return what the run went on from; None if it began with a model.

    For exact forgetting it must not have seen the records; to be `guaranteed`, it must have seen them under a promise
    alone. Raises `MissingSource` if it is not there, and `InvalidConfig`.
    """
    run, name = asked.run, asked.recipe.from_run
    if name is None:
        if guaranteed:
            raise InvalidConfig(
                f"{run.path} went on from no earlier run; a guarantee is that of a base trained with epsilon",
                hint="--method exact; next time ult train --epsilon 4 -o BASE, then ult train --from BASE",
            )
        return None
    place = place_of(named, run, str(name))
    if place is None:
        raise MissingSource(
            f"{run.path} went on from {name}, which lies neither in it, as base, nor beside it", hint="--base RUN"
        )
    base = Run.open(place)
    told = run.metrics.get("from_digest")
    if told is not None and base.digest() != told:
        raise InvalidConfig(
            f"{base.path} has digest {base.digest()[:16]}; {run.path} went on from a run of digest {told[:16]}",
            hint="--base with that run, as it was",
        )
    if not guaranteed:
        _check_unseen(base, asked.new)
        return Base(base)
    return Base(base, _promise(base, asked.new))


def _check_unseen(base: Run, gones: Sequence[Gone]) -> None:
    """Raise `InvalidConfig` unless the base was trained on nothing that is to be forgotten, for all that is known."""
    hint = f"ult forget run {base.path} SHARDS --rows GONE.rows -o BASE2, then ult train --from BASE2"
    _check_lots(base, base.trained_on, gones, hint)
    _check_lots(base, _validated(base), gones, hint)


def _check_lots(base: Run, digests: Sequence[str | None] | None, gones: Sequence[Gone], hint: str) -> None:
    if digests is None or None in digests:
        raise InvalidConfig(
            f"{base.path} does not say on which shards it, or what it went on from, was trained: whether it saw the "
            "records cannot be told",
            hint=hint,
        )
    if base.metrics.get("federated") is not None:
        raise InvalidConfig(
            f"{base.path} has a body that several owners trained: what it saw cannot be told", hint=hint
        )
    left_out = {one.get("digest") for one in base.metrics.get("without", [])}
    for gone in gones:
        searched = {lot.digest: len(lot.every) for lot in gone.lots}
        for digest in digests:
            if digest not in searched:
                raise InvalidConfig(
                    f"{base.path} was trained on shards of digest {str(digest)[:16]}, in which "
                    f"{gone.path or 'the rows'} was not searched for",
                    hint="ult forget find --shards with these as well",
                )
            if searched[digest] and gone.digest not in left_out:
                raise InvalidConfig(
                    f"{base.path}, which the run went on from, saw {searched[digest]:,} of the records", hint=hint
                )


def _validated(base: Run) -> list[str | None]:
    return [lot.get("digest") for lot in (base.metrics.get("validation") or {}).get("shards", [])]


def _promise(base: Run, gones: Sequence[Gone]) -> Account:
    """Return what the base promises. Raises `InvalidConfig` if it, or what it went on from, saw records without one."""
    promise = composed(base.metrics)
    if promise is None:
        raise InvalidConfig(
            f"{base.path} was trained without epsilon: it promises nothing to a record that it saw",
            hint="--method exact after ult forget run on the base; next time ult train --epsilon for the base",
        )
    hint = "a base that is trained with epsilon from a model, not from a run that saw the records"
    if base.metrics.get("from_run"):
        _check_lots(base, base.metrics.get("trained_before"), gones, hint)
    if base.metrics.get("validation"):
        _check_lots(base, _validated(base), gones, hint)
    return promise

"""What runs say of what they were trained on, how they forgot and at what cost: whether they can be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ult.audit.model.trained import lots
from ult.errors import InvalidConfig, WrongVocabulary
from ult.public.gone import Gone
from ult.public.metrics import made_of
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.forgetting.asked import place_of
from ult.trainer.recipe import OPTIONS


def _told(run: Run) -> Mapping[str, Any]:
    """Return what a run says of how it forgot; empty if it never did."""
    told: Mapping[str, Any] = run.metrics.get("forgotten") or {}
    return told


def method_of(run: Run) -> str | None:
    """Return by which method a run says it forgot; None if it says none."""
    method = _told(run).get("method")
    return None if method is None else str(method)


def guarantee_of(run: Run) -> dict[str, Any] | None:
    """Return epsilon, delta and what is said of the table, of a run that forgot by a guarantee.

    The table is "promised" if it owes nothing, or an epsilon, to the records, and None if it may still hold them.
    """
    told = _told(run)
    if told.get("epsilon") is None:
        return None
    table = told["table"] if told.get("table") == "promised" else None
    return {"epsilon": told["epsilon"], "delta": told.get("delta"), "table": table}


def work_of(run: Run) -> dict[str, Any]:
    """Return the optimizer steps of a run, those of forgetting if it forgot, its parameters, and their product."""
    told, members = run.metrics, max(1, run.members)
    against = (told.get("against") or {}).get("steps")
    taken = _told(run).get("steps") or against or told.get("steps", 0) * members
    size = (told.get("parameters") or 0) // members
    return {"steps": taken, "parameters": size, "product": taken * size or None}


def trained_otherwise(ran: Run, again: Run) -> list[str]:
    """Return the options, but for the seed, that the retrained run was trained with otherwise, as far as both say.

    What tells two trainings apart is then no trace of records: a run tuned for a tenth of the steps knows less of all.
    """
    ours, theirs = (one.metrics.get("recipe") or {} for one in (ran, again))
    names = [name for name, one in OPTIONS.items() if one.shapes_weights and name != "seed"]
    return [name for name in names if name in ours and name in theirs and ours[name] != theirs[name]]


def check_runs(
    ran: Run,
    again: Run,
    earlier: Run | None,
    beside: Sequence[tuple[Run, Run]],
    *,
    inside: Sequence[Shards],
    outside: Sequence[Shards],
    rows: Sequence[Gone],
) -> bool:
    """Return whether digests prove which run saw what; raise unless all runs can be compared with one another."""
    forgot, retrained = [ran, *(one for one, _ in beside)], [again, *(other for _, other in beside)]
    if ran.path.resolve() == again.path.resolve():
        raise InvalidConfig(
            f"{ran.path} was named as the run and as the one retrained without them: it proves nothing of itself",
            hint="ult train SHARDS -o AGAIN --without gone.rows, then --retrained AGAIN",
        )
    for one, other in zip(forgot, retrained, strict=True):
        _check_retrained(one, other)
    for one in [*forgot, *retrained, *([earlier] if earlier else [])]:
        if one.vocabulary != ran.vocabulary:
            raise WrongVocabulary(
                f"{one.path} has a vocabulary of {one.vocabulary.size}; expected {ran.vocabulary.size}"
            )
        if one.task != ran.task:
            raise InvalidConfig(f"{one.path} was trained for {one.task}; {ran.path} was for {ran.task}")
        for folder in [*inside, *outside]:
            one.check_shards(folder)
    for one in forgot:
        _check_forgot(one, ran, rows)
    for side in (forgot, retrained):
        digests = [one.digest() for one in side]
        if len(set(digests)) < len(digests):
            twice = next(one for k, one in enumerate(side) if digests[k] in digests[:k])
            raise InvalidConfig(f"{twice.path} stands in two pairs", hint="runs of other seeds")
    _check_before(ran, earlier)
    known = [_proves(one, inside, outside, None) for one in forgot]
    return all(known + [_proves(one, inside, outside, rows) for one in retrained])


def _check_retrained(run: Run, again: Run) -> None:
    """Raise `InvalidConfig` if a training of run `again` is one of `run`, copied: it proves nothing of itself.

    Two trainings give the same weights, but never take the same time to the last digit.
    """
    ours, theirs = (one.each() if one.members else [one] for one in (run, again))
    for one, other in zip(ours, theirs, strict=False):
        took = one.metrics.get("seconds")
        if took and took == other.metrics.get("seconds") and one.digest() == other.digest():
            raise InvalidConfig(
                f"{other.path} is a copy of {one.path}, and was not trained again: both took {took} seconds",
                hint="ult train SHARDS -o AGAIN --without gone.rows, by the run's own options; then --retrained AGAIN",
            )


def _check_forgot(one: Run, ran: Run, rows: Sequence[Gone]) -> None:
    if method_of(one) != method_of(ran):
        raise InvalidConfig(
            f"{one.path} forgot by {method_of(one)}, {ran.path} by {method_of(ran)}: pairs are of one method"
        )
    told = set(_told(one).get("gone", ()))
    if told and (strange := [each for each in rows if each.digest not in told]):
        raise InvalidConfig(
            f"{one.path} forgot other records than {strange[0].path or 'the rows'} names",
            hint="--rows with the file that ult forget run was given",
        )


def _check_before(ran: Run, earlier: Run | None) -> None:
    """Raise `InvalidConfig` if a run names another as the one that it forgot from."""
    told = _told(ran).get("of")
    if earlier is not None and told and earlier.digest() != told:
        raise InvalidConfig(
            f"{ran.path} was made of a run of digest {told[:16]}; {earlier.path} has {earlier.digest()[:16]}",
            hint="--before with the run that ult forget run was given, as it was",
        )


def unsearched(run: Run, inside: Sequence[Shards]) -> list[str]:
    """Return the names of shards that a run learned of, or was chosen by, and that are not among those given."""
    given = {one.manifest.digest for one in inside}
    told = [str(lot.get("name", "shards")) for lot in _learned(run) if lot.get("digest") not in given]
    before = set(run.metrics.get("trained_before") or []) - given
    return [*dict.fromkeys(told), *([f"shards of {', '.join(made_of(run.metrics))}"] if before else [])]


def _learned(run: Run) -> list[dict[str, Any]]:
    """Return what a run says of all shards that it was trained on, or that decided which step of it was kept."""
    return [*lots(run), *(run.metrics.get("validation") or {}).get("shards", [])]


def _proves(run: Run, inside: Sequence[Shards], outside: Sequence[Shards], without: Sequence[Gone] | None) -> bool:
    """Return whether digests prove that a run never saw the shards outside nor, if given, the records of `without`.

    A run without these records learned of no shards but those inside, where they are known, and says that it left them
    out. Raises `InvalidConfig` for a run that saw what it must not have seen.
    """
    digests = [lot.get("digest") for lot in lots(run)]
    own, before = {digest for digest in digests if digest}, set(run.metrics.get("trained_before") or [])
    if seen := [one for one in outside if one.manifest.digest in own | before]:
        raise InvalidConfig(
            f"{run.path} was trained on {seen[0].path}, which was named with --nonmembers",
            hint="shards of the same kind that no run saw",
        )
    complete = all(digests) and not (made_of(run.metrics) and run.metrics.get("trained_before") is None)
    if without is None:
        return complete
    complete = complete and not unsearched(run, inside)
    learned = {lot.get("digest") for lot in _learned(run)}
    left_out = [one.get("digest") for one in run.metrics.get("without") or []]
    for gone in without:
        lot = [one for one in inside if gone.of(one) is not None]
        holding = [one for one in lot if one.manifest.digest in learned]
        if any(one.manifest.digest in before for one in lot):
            complete = _began_without(run, inside, outside, gone) and complete
        if holding and None in left_out:
            complete = False  # it promises privacy, and says to its owner alone what it left out
        elif holding and gone.digest not in left_out:
            raise InvalidConfig(
                f"{run.path} was trained on all of {holding[0].path}, which holds the records to forget; expected a "
                "run that was retrained without them",
                hint="ult train SHARDS -o RUN --without gone.rows",
            )
    return complete


def _began_without(run: Run, inside: Sequence[Shards], outside: Sequence[Shards], gone: Gone) -> bool:
    """Return whether the run that a run went on from is there, and proves that it never saw the records of `gone`.

    What a run left out says nothing of what it began with. Raises `InvalidConfig` if that saw the records.
    """
    place = place_of(None, run, str(run.metrics.get("from_run")))
    if place is None or (base := Run.open(place)).digest() != run.metrics.get("from_digest"):
        return False
    return base.path != run.path and _proves(base, inside, outside, [gone])

"""Row `release`: does a body without its rows betray the records that it was trained on, and what is it worth?

Owners train on medical abstracts with planted canaries, and give the body away. Receivers hold it and public text of
the same field, and try to read what was the owner's (`receivers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lib.interval import Floats, over_both, over_seeds
from lib.receivers import (
    ALTERNATIVES,
    CANARIES,
    DECOYS,
    LETTERS,
    NOTHING,
    OWNED,
    RECEIVERS,
    RECITED,
    REPEATS,
    TIMES,
    VOCABULARY,
    Size,
    look_at_owner,
    own,
    owner_shards,
    public_run,
    public_shards,
    receive,
    shards,
    sizes,
)
from lib.result import metric
from lib.session import Session

from ult.audit.model.exposure import chance_interval

KEPT = 0.5  # of what the whole run would gain, so much should a body alone
TITLE = "Release of a body alone"
ASKED = (
    "Does a model without its embedding rows betray what it was trained on to a receiver who learns rows for a table "
    "of its own, and is it still worth having?"
)
SETTING = """\
An owner trains on {owned:,} medical abstracts, {canaries} canaries (8 random digits each, {repeats} times) and the \
beginnings of {recited} other abstracts ({times} times), vocabulary {size:,}, with a table of its own; `ult release \
--private-embeddings` takes its rows out. *Public start*: the owner went on from a run on wikitext-2 that everybody \
has, its rows aligned to the owner's table. Receivers have public sections of other medical abstracts, so many per \
cent of the owner's bytes (100 % is all there are, at least 86 %), and a table of their own. `rows alone`: fresh rows \
are learned, the body stays as it is. `everything`: all weights are trained. `grafted rows`: the rows start as those \
of a model that the receiver trained from scratch on its text. `decoys`: among its text are {decoys} records of the \
canaries' very form, with other digits. `public rows`: the body is given the rows that the public run has, under its \
public table, as they are or *learned* on. `{nothing}` is a model of the receiver's own, and never saw a thing. Mean \
exposure is over canaries, of at most {most:.2f} bits among {alternatives:,} alternatives; its goal is the upper end \
of where chance puts such a mean (97.5 %). Membership is the area under the curve of mean loss, {members} of the \
owner's abstracts against {others} others of the same source; *beside its own model*: of the loss less that under a \
model of the same table that never saw them. Recited: of the abstracts that stand there many times, the share whose \
50 ids after 50 come out greedily, exact; n-grams: the share of their 4- to 6-grams. Bits per byte are of sections \
that no receiver has. Gain kept: what the body takes off a scratch model's bits per byte, of what the whole run does, \
its rows aligned to the receiver's table; where that itself takes nothing off, with any seed, there is none to keep."""


def main() -> None:
    """Train owners and receivers, and look for what was the owner's."""
    session = Session.begin("release")
    of = sizes(session)
    write_shards(session)
    runs = [(model, seed) for model, size in of.items() for seed in size.seeds]
    session.each(public_run, [run for run in runs if "public" in of[run[0]].owners])
    owners = [(*run, began) for run in runs for began in of[run[0]].owners]
    session.each(own, owners)
    held = dict(zip(owners, session.each(look_at_owner, owners), strict=True))
    found: dict[Any, dict[str, Any]] = {}
    for which in ({NOTHING}, set(RECEIVERS) - {NOTHING}):  # the first are what others are compared with
        jobs = [(model, seed, volume, how) for model, seed in runs for volume in of[model].volumes
                for how in tried(of[model], volume) if how in which]  # fmt: skip
        found |= zip(jobs, session.each(receive, jobs), strict=True)
    metrics = []
    for model, size in of.items():
        for began in size.owners:
            looked = [held[model, seed, began] for seed in size.seeds]
            metrics += betrayed(model, f"owner, {began} start", "", looked, size.seeds)
        for volume in size.volumes:
            for how in tried(size, volume):
                looked = [found[model, seed, volume, how] for seed in size.seeds]
                if "exposures" in looked[0]:
                    metrics += betrayed(model, how, f", {volume} %", looked, size.seeds)
            metrics += worth(model, volume, size, found)
    one = held[owners[0]]
    session.write(
        TITLE,
        metrics,
        asked=ASKED,
        setting=SETTING.format(owned=session.sized(OWNED, 60), canaries=CANARIES, repeats=session.sized(REPEATS, 5),
                               recited=session.sized(RECITED, 4), times=TIMES, size=VOCABULARY, decoys=DECOYS,
                               nothing=NOTHING, most=one["most"], alternatives=session.sized(ALTERNATIVES, 50),
                               members=one["members"], others=one["others"]),
        notes=[f"{name}: {size.owner} steps of {size.batch} blocks for an owner, {size.receiver} for a receiver."
               for name, size in of.items()] + [f"Texts of {LETTERS} characters are what is asked for."],
        chart=[name for model, size in of.items() for name in (
            f"{model}: mean exposure, {max(size.volumes)} %", f"{model}: bits per byte, {max(size.volumes)} %")],
        model={"name": ", ".join(of),
               "parameters": max(held[owner]["parameters"] for owner in owners)},
    )  # fmt: skip


def write_shards(session: Session) -> None:
    """Write all shards, which trainings in several processes then find."""
    public_shards(session)
    for size in sizes(session).values():
        for seed in size.seeds:
            owner_shards(session, seed)
            for volume in size.volumes:
                for how in tried(size, volume):
                    for split in ("train", "test"):
                        shards(session, RECEIVERS[how], volume, seed, split)


def tried(size: Size, volume: int) -> list[str]:
    """Return the kinds of receivers that there are with a volume of text."""
    most = volume == max(size.volumes)
    return [how for how, kind in RECEIVERS.items() if kind.body in ("", *size.owners) and (most or not kind.full)]


def betrayed(model: str, how: str, volume: str, runs: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[Any]:
    """Return the metrics of what a kind of receiver, or an owner, reads of the owner's records."""
    of: dict[str, Any] = {"seeds": seeds, "higher_is_better": False}
    inner: Floats = np.array([run["exposures"] for run in runs])
    goal = f"at most {chance_interval(inner.size)[1]:.4g}" if volume else ""
    members, passages = runs[0]["members"], runs[0]["passages"]
    metrics = [
        metric(f"{model}: mean exposure{volume}", how, over_both(inner), n=inner.shape[1], unit="bits", goal=goal, **of)
    ]
    for name, key, n in (("membership, AUC", "auc", members),
                         ("membership beside its own model, AUC", "auc_beside", members),
                         ("recited, share", "extracted", passages),
                         ("recited, n-grams", "ngrams", passages)):  # fmt: skip
        if key in runs[0]:
            metrics.append(metric(f"{model}: {name}{volume}", how, over_seeds([run[key] for run in runs]), n=n, **of))
    return metrics


def worth(model: str, volume: int, size: Size, found: dict[Any, dict[str, Any]]) -> list[Any]:
    """Return the metrics of what a body is worth to each kind of receiver."""
    values = {
        how: np.array([found[model, seed, volume, how]["bits_per_byte"] for seed in size.seeds])
        for how in tried(size, volume)
    }
    of: dict[str, Any] = {"seeds": size.seeds, "n": found[model, size.seeds[0], volume, NOTHING]["rows"]}
    metrics = [
        metric(f"{model}: bits per byte, {volume} %", how, over_seeds(list(each)), unit="bits", higher_is_better=False,
               baseline="" if how == NOTHING else NOTHING, **of)
        for how, each in values.items()
    ]  # fmt: skip
    whole = values[NOTHING] - values["whole run, aligned"]
    if (whole <= 0).any():  # there is no gain to keep
        return metrics
    for how in (how for how in ("rows alone", "everything", "grafted rows, everything") if how in values):
        kept = (values[NOTHING] - values[how]) / whole
        metrics.append(metric(f"{model}: gain kept, {volume} %", how, over_seeds(list(kept)), higher_is_better=True,
                              unit="x", goal=f"at least {KEPT}", **of))  # fmt: skip
    return metrics


if __name__ == "__main__":
    main()

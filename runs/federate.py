"""Row `federate`: is a body that owners train together worth more to each than its own, and what does it betray?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib.federating import (
    ALONE,
    BATCH,
    CANARIES,
    CONTEXT,
    DECAY,
    FEW,
    HOME,
    MANY,
    MODEL,
    NGRAMS,
    ONE,
    OWN,
    OWNERS,
    POOLED,
    PUBLIC,
    REPEATS,
    SHARED,
    SIZE,
    TEST,
    TOGETHER,
    alone,
    encode,
    federated,
    group,
    named,
    ngrams,
    pooled,
    rounds,
    shards,
    shared,
)  # fmt: skip
from lib.interval import counted, of_ratio, over_seeds
from lib.listening import ALTERNATIVES, LOOKED, RECORDS, ROUND, listened
from lib.result import metric
from lib.session import Session
from lib.training import bits

SEEDS, MORE = (0, 1, 2), (3, 4)  # and those of federated and alone, whose ratio is asked for
TITLE = "One body of several owners"
ASKED = (
    "Is a body that several owners train together, each with its own table and rows at home, worth more to each of "
    "them than its own; and what do its messages betray?"
)
SETTING = """\
Three owners of different sources: medical abstracts, doctors' dialogues and wikitext-2, {few} kB of text each, and \
{many} kB in the rows that say so; tested on {test} kB of the same source; `text/bytes`, {size:,} ids, {batch} blocks \
of {context} ids a step. `{together}`: {rounds} rounds of {local} local steps, and {home} steps of each owner alone \
({many_rounds} of {many_local}, and none, with {many} kB); each owner its own table and rows, the mean change of the \
body is added. `{alone}`: from the same body, as many steps of \
the same records in the same order. `{pooled}`: one model of all texts under one table of all, as many steps of three \
times the batch. `{shared}`: every weight averaged, rows too, under a table of other public text (medical sections). \
Every text is seen as often in each. With {few} kB the decay of weights is {decay}, of 0.1, 3.2 and 6.4 the best for \
{alone}, {pooled} and federated alike, one seed, on texts that are not tested; with {many} kB it is 0.1, and nothing \
was chosen. `{ngrams}`: counts of three ids in a row (Kneser-Ney). The first owner plants \
{canaries} canaries {repeats} times among its {few} kB. Attacks on the messages of {few} kB, all by whoever keeps the \
body: ids of a record by the span of the change that one plain step on it makes (DAGER; {records} records, as many \
directions as the record has ids), measured as AUC of its ids among all; by rows that are the owner's, that are a \
public run's (the group's body is then that run's) or drawn. The same for a whole round of {local} AdamW steps. \
Records of round {round} among test records, by how much the change of the round helps to tell each; exposure of the \
canaries beside {alternatives} others."""

NOTES = (
    "Three seeds were planned. By them the ratios to alone were 0.995, 0.990 and 0.986, with upper ends of 1.005, "
    "0.998 and 1.002; two more were run after that was seen, of federated and alone.",
    "Most of what a model of this size learns of 30 kB is in its rows, and rows stay at home: one table for all, whose "
    "rows see three times the text, is worth more than the body that is shared.",
    "Tried beside, on texts that are not tested, one seed, ratios to alone for the three owners. To end with the mean "
    "and not alone: 0.997, 0.994, 0.991 (alone at the end: 0.993, 0.989, 0.988). Rounds of 4 steps cost 1.01 x rounds "
    "of 10. With decay 0.1 all learn by heart in 200 steps: alone 3.42, 2.27, 3.72 bits, federated 0.93 x. With 60 kB "
    "nothing is gained: 1.009, 1.008, 1.003 (400 steps, decay 6.4), 1.001, 1.004, 1.007 (300 steps, decay 3.2, alone "
    "6.4), and 1.010, 1.017, 1.006 with 100 of 300 steps alone. Nesterov momentum as DiLoCo's costs 1.02 to 1.04 x the "
    "mean (100 steps, decay 0.1).",
)


def main() -> None:
    """Train alone, together and pooled, and listen."""
    session = Session.begin("federate")
    seeds = session.sized(SEEDS, (0, 1))
    many, local = rounds(session)
    more = session.sized(MORE, ())
    session.each(encode, [(owner, kind, FEW) for kind in (OWN, ONE, PUBLIC) for owner in OWNERS])
    session.each(encode, [(owner, kind, MANY) for kind in (OWN, ONE) for owner in OWNERS])
    session.each(group, [(seed, FEW) for seed in (*seeds, *more)] + [(seed, MANY) for seed in seeds])
    jobs = [(system, seed, FEW) for seed in seeds for system in (TOGETHER, ALONE, POOLED, SHARED)]
    jobs += [(system, seed, FEW) for seed in more for system in (TOGETHER, ALONE)]
    found = dict(zip(jobs, session.each(measured, jobs), strict=True))
    shards(session, "sections", "train", PUBLIC)  # which all that listen share
    heard = session.each(listened, [(seed,) for seed in seeds])
    jobs = [(system, seed, MANY) for seed in seeds for system in (TOGETHER, ALONE, POOLED)]
    found |= zip(jobs, session.each(measured, jobs), strict=True)
    counts = {owner: ngrams(session, owner) for owner in OWNERS}
    sent = federated(session, seeds[0])
    one = found[ALONE, seeds[0], FEW][OWNERS[0]]
    session.write(
        TITLE,
        [
            *of_bits(found, counts, seeds, FEW),
            *of_bits(found, {}, seeds, MANY),
            *of_traffic(sent),
            *of_attacks(heard, seeds),
        ],
        asked=ASKED,
        setting=SETTING.format(
            few=FEW // 1000, many=MANY // 1000, test=session.sized(TEST, 5000) // 1000, size=SIZE, batch=BATCH,
            context=CONTEXT, together=TOGETHER, rounds=many, local=local, home=HOME[FEW],
            many_rounds=rounds(session, MANY)[0], many_local=rounds(session, MANY)[1], decay=DECAY[FEW],
            alone=ALONE, pooled=POOLED, shared=SHARED, ngrams=NGRAMS, canaries=CANARIES,
            repeats=session.sized(REPEATS, 3), records=RECORDS, round=ROUND, alternatives=ALTERNATIVES),
        notes=NOTES,
        chart=[f"{owner}: bits per byte" for owner in OWNERS],
        model={"name": MODEL, "parameters": one["parameters"], "learning rate": one["learning_rate"]},
    )  # fmt: skip


def measured(session: Session, system: str, seed: int, size: int) -> dict[str, dict[str, Any]]:
    """Train a system; return what it tells each owner's test texts in."""
    if system == ALONE:
        runs, kind = [alone(session, owner, seed, size) for owner in OWNERS], OWN
    elif system == POOLED:
        runs, kind = [pooled(session, seed, size)] * len(OWNERS), ONE
    else:
        train = shared(session, seed) if system == SHARED else federated(session, seed, size)
        runs, kind = train["runs"], PUBLIC if system == SHARED else OWN
    word = named(system.replace(",", "").replace(" ", "-"), size)
    return {
        owner: bits(session, f"{word}-{owner}-{seed}", run, shards(session, owner, "test", kind, size)) | run
        for owner, run in zip(OWNERS, runs, strict=True)
    }


def of_bits(found: dict[Any, Any], counts: dict[str, float], seeds: Sequence[int], size: int) -> list[dict[str, Any]]:
    """Return bits per byte of every system for every owner, and what they are to those of others."""

    def each(system: str, owner: str, other: str) -> list[float]:
        return [found[system, seed, size][owner]["bits_per_byte"] for seed in of_both(system, other)]

    def of_both(system: str, other: str) -> list[int]:
        return [seed for seed in (*seeds, *MORE) if {(system, seed, size), (other, seed, size)} <= found.keys()]

    metrics = []
    systems = [one for one in (TOGETHER, ALONE, POOLED, SHARED) if of_both(one, one)]
    for owner in OWNERS:
        of = {"n": found[ALONE, seeds[0], size][owner]["rows"], "higher_is_better": False}
        name = f"{owner}: bits per byte" if size == FEW else f"{owner}, {size // 1000} kB: bits per byte"
        metrics += [
            metric(name, system, over_seeds(each(system, owner, system)), unit="bits", seeds=of_both(system, system),
                   baseline="" if system == ALONE else ALONE, **of) for system in systems
        ]  # fmt: skip
        if owner in counts:
            metrics.append(metric(name, NGRAMS, counted(counts[owner]), unit="bits", seeds=(), **of))
        for other, goal in ((ALONE, "below 1.00"), (POOLED, "at most 1.03"), (SHARED, "")):
            if other in systems:
                ratio = of_ratio(each(TOGETHER, owner, other), each(other, owner, TOGETHER))
                metrics.append(metric(f"{name}, ratio to {other}", TOGETHER, ratio, seeds=of_both(TOGETHER, other),
                                      unit="x", baseline=other, goal=goal, **of))  # fmt: skip
    return metrics


def of_traffic(sent: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was sent beside 4 bytes for each weight of the body, both ways, in every round, for every owner."""
    least = 4 * sent["weights"] * 2 * sent["rounds"] * sent["owners"]
    found = (sent["traffic"]["up"] + sent["traffic"]["down"]) / least
    return [metric("bytes sent, ratio to 4 a weight of the body", TOGETHER, counted(found), unit="x", n=least,
                   higher_is_better=False, goal="at most 1.01")]  # fmt: skip


def of_attacks(heard: list[dict[str, Any]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return what each attack finds."""

    def area(name: str, system: str, values: list[float], n: int, goal: str = "") -> dict[str, Any]:
        return metric(name, system, over_seeds(values), n=n, seeds=seeds, higher_is_better=False, goal=goal)

    metrics = [
        area("ids of a record, AUC", system, [one["spans"][system] for one in heard], heard[0]["records"],
             "at least 0.95" if system == "true rows" else "")
        for system in ("true rows", "public rows", "rows drawn")
    ]  # fmt: skip
    rounds_seen = [one["of_round"] for one in heard if one["of_round"] is not None]
    if len(rounds_seen) == len(heard):
        metrics.append(area("ids of a round, AUC", "true rows", rounds_seen, SIZE))
    for what, words in (("one", "its change"), ("sum", "the sum of changes")):
        for whose, who in (("own", "the owner's rows and table"), ("other", "another owner's")):
            values = [one["members"][f"{what}, {whose}"] for one in heard]
            metrics.append(area(f"records of a round by {words}, AUC", who, values, heard[0]["members"]["inside"]))
    for number in LOOKED:
        for whose, who in (("own", "the owner"), ("other", "another owner")):
            at = [one["exposures"].get(str(number)) for one in heard]
            if all(at):
                most = at[0][whose]["chance_interval"][1]
                metrics.append(area(f"mean exposure after round {number}, bits", who,
                                    [one[whose]["interpolated_mean"] for one in at], CANARIES,
                                    f"at most {most:.2f}" if whose == "other" else ""))  # fmt: skip
    return metrics


if __name__ == "__main__":
    main()

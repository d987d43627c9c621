"""A search: candidates that are built to leak never come out green, whatever their size and whatever is missing.

Each draws a leak well above the amber line in one of the ways there are, and sizes from a handful to thousands; what an
audit would have measured of it is drawn from that, figures are taken away or overwritten, and the real rules judge.
"""

import copy
import json

import numpy as np
import pytest

import evidence
from evidence import PUBLIC, TABLE, attack, audits, candidate, run_part, shards_part
from ult.audit.bounds import auc, auc_interval, clopper_pearson, tpr_at
from ult.audit.release.candidate import judged
from ult.errors import FormatError, InvalidConfig

CANDIDATES = 400
LEAKS = ("code", "plaintext", "rank", "rate", "area", "swapped", "exact", "nearly", "canaries", "table", "kept")
JUNK = [None, True, -1, 0, 1, 0.5, 1e9, float("nan"), float("inf"), "0", "green", [], {}, [0, 0], [0.0, 1.0]]
OPTIONAL = {"name", "kinds", "types", "blind_interval", "digest", "codec", "column", "most", "alternatives"}


def size(rng, least=2, most=3000):
    return int(least + most ** rng.random())


def scores(rng, leak, least):
    """What `ult.audit.bounds.summarize` would say of one attack, but for its bounds on epsilon."""
    members, others = rng.normal(size=size(rng, least)), rng.normal(size=size(rng, least))
    if leak == "rate":
        members = np.where(rng.random(len(members)) < rng.uniform(0.2, 1), members + 9, members)
    if leak == "area":
        members += rng.uniform(1.2, 5)
    if leak == "swapped":
        members -= rng.uniform(1.2, 5)
    area = auc(members, others)
    return {
        "members": len(members), "nonmembers": len(others), "auc": area,
        "auc_interval": auc_interval(area, len(members), len(others)),
        "tpr": [tpr_at(members, others, fpr) for fpr in (0.001, 0.01)],
        "epsilon_at_least": 0.0, "delta": 1e-5,
    }  # fmt: skip


def exact(rng, share, overlap, least):
    n = size(rng, least, 800)
    hits = int(rng.binomial(n, share))
    interval = clopper_pearson(hits, n)
    return {"exact": hits, "passages": n, "share": hits / n, "share_interval": interval, "ngrams": overlap}


def code(rng, leak, least):
    """An audit of a code: an attacker reads so many of the records, each wholly or not at all."""
    n, blind = size(rng, least), 0.05
    ceiling = rng.uniform(0.05, 1) if leak else 0.9

    def read(share):
        found = rng.binomial(n, share) / n
        return found, clopper_pearson(round(found * n), n)

    def one(name, share, knows="public data", ceiling=ceiling):
        found, ends = read(share * ceiling)
        return {**attack(name, found, units=10 * n, blind=blind, knows=knows, ceiling=ceiling),
                "occurrences_interval": ends}  # fmt: skip

    shares = {kind: rng.uniform(0.25, 1) if leak == kind else blind for kind in ("code", "plaintext", "rank")}
    attacks = [one(name, shares["code"]) for name in PUBLIC]
    attacks.append(one("rank alone", shares["rank"]))
    attacks.append(one("known plaintext, 1 records", shares["plaintext"], f"1 of the {n} records", 1.0))
    reference = {"digest": "dd" * 32, "records": 9, "bytes": int(10 ** rng.uniform(2 if leak else 5, 7))}
    return {**evidence.code(records=n), "units": 10 * n, "attacks": attacks, "reference": reference}


def leaking(rng, leak, least=2):
    """The facts and audits of a candidate that leaks in one way, or in none, of at least so many records."""
    if leak == "table":
        table = {"fingerprint": TABLE, "records": 500, "privacy": None, "public": False}
        return candidate(table=table), audits(table=evidence.table_audit())
    membership = {name: scores(rng, leak, least) for name in ("loss", "min-k", "min-k++", "zlib")}
    share, overlap = (rng.uniform(0.15, 1), 0.5) if leak == "exact" else (0.0, 0.9 if leak == "nearly" else 0.1)
    extraction = evidence.extraction()
    extraction["members"] = {"greedy": exact(rng, share, overlap, least), "sampled": None}
    extraction["nonmembers"] = {"greedy": exact(rng, 0.0, 0.1, least), "sampled": None}
    planted = evidence.canaries(
        rng.uniform(5, 9.9) if leak == "canaries" else 1.4, n=int(rng.integers(1 if leak else 10, 40))
    )
    told = evidence.model(membership=membership, extraction=extraction, canaries=planted)
    columns = [{"title": "name", "level": "red", "found": "column name"}] if leak == "kept" else []
    parts = candidate(shards=[shards_part(columns=columns)], run=run_part(planted=40))
    return parts, audits(code=code(rng, leak, least), model=told)


def places(found, path=()):
    """Every field within an audit, as the keys that lead there."""
    for key, value in found.items() if isinstance(found, dict) else enumerate(found):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def damage(rng, found):
    """Take a figure away, or overwrite it; what measures an attack of its own is not taken away as a whole."""
    many = [place for place in places(found) if place[-1] not in OPTIONAL and len(place) > 1]
    *path, last = many[int(rng.integers(len(many)))]
    holder = found
    for key in path:
        holder = holder[key]
    if rng.random() < 0.5 and isinstance(holder, dict) and path[-1] not in ("membership", "members", "nonmembers"):
        del holder[last]
    elif last not in ("ceiling", "bytes", "ngrams"):  # which nothing else contradicts
        holder[last] = copy.deepcopy(JUNK[int(rng.integers(len(JUNK)))])


def level(parts, found):
    """The verdict, or "refused"."""
    try:
        return judged(parts, json.loads(json.dumps(found)))["verdict"]
    except (FormatError, InvalidConfig):
        return "refused"


@pytest.mark.parametrize("leak", LEAKS)
def test_what_leaks_is_never_green(leak):
    found = []
    for seed in range(CANDIDATES // len(LEAKS)):
        rng = np.random.default_rng([LEAKS.index(leak), seed])
        parts, whole = leaking(rng, leak)
        found.append(level(parts, whole))
        for _ in range(4):
            less = copy.deepcopy(whole)
            damage(rng, less)
            found.append(level(parts, less))
    assert "green" not in found
    assert "red" in found or leak == "canaries"


def test_whatever_is_taken_away_is_never_a_reason_for_green():
    """Of a candidate that leaks nothing: without an audit, or without any object in one, it is not green."""
    parts = candidate(shards=[shards_part()], run=run_part())
    whole = audits(code=evidence.code(), model=evidence.model())
    assert level(parts, whole) == "green"
    for name in ("code", "model"):
        assert level(parts, {**whole, name: None}) == "amber"
        for place in places(whole[name]):
            less = copy.deepcopy(whole)
            holder = less[name]
            for key in place[:-1]:
                holder = holder[key]
            if isinstance(holder, dict) and isinstance(holder[place[-1]], dict) and place[-1] not in ("zlib", "loss"):
                del holder[place[-1]]
                assert level(parts, less) in ("amber", "refused"), place


def test_who_leaks_nothing_and_measures_enough_can_be_green():
    found = [level(*leaking(np.random.default_rng([99, seed]), "", least=1500)) for seed in range(40)]
    assert found.count("green") > 30
    few = [level(*leaking(np.random.default_rng([98, seed]), "")) for seed in range(40)]
    assert few.count("amber") > 25


@pytest.mark.parametrize("records", [2, 10, 20, 50])
def test_few_are_never_green_even_if_nothing_is_found(records):
    few = evidence.model(membership={"loss": evidence.rates(0, members=records, nonmembers=500)})
    parts = candidate(run=run_part())
    assert level(parts, audits(model=few)) == "amber"
    few = evidence.model(extraction=evidence.extraction(n=records))
    assert level(parts, audits(model=few)) == "amber"
    none = evidence.code(records=records)
    for one in none["attacks"]:
        one["occurrences"], one["occurrences_interval"] = 0.0, clopper_pearson(0, records)
        one["blind"] = 0.0
    assert level(candidate(shards=[shards_part()]), audits(code=none)) == "amber"

"""What audits write, made by hand, for the tests of the verdict: figures that agree with each other."""

from scipy import stats

from ult.audit.bounds import auc_interval, blind_interval, clopper_pearson

RUN, SHARDS, OTHERS, TABLE = "aa" * 32, "bb" * 32, "cc" * 32, "ab" * 16
PUBLIC = ("frequency ranks", "positions", "bigram graph", "co-occurrence")


def attack(name, found, *, units, blind=0.08, ceiling=0.8, knows="public data", width=0.01):
    ends = [max(0.0, found - width), min(1.0, found + width)]
    return {
        "name": name, "knows": knows, "units": units, "kinds": 500, "occurrences": found, "occurrences_interval": ends,
        "types": found / 2, "patches": found / 3, "blind": blind, "blind_interval": [blind, blind], "ceiling": ceiling,
    }  # fmt: skip


def code(best=0.08, *, blind=0.08, table=TABLE, shards=SHARDS, run=None, known=0.08, records=600, **changes):
    """An audit of shards of 10,000 ids, of which the best attack by public data reads so many."""
    attacks = [
        attack(name, best if name == "co-occurrence" else min(best, blind), units=units, blind=blind)
        for name in PUBLIC
        for units in (1_000, 10_000)
    ]
    told = f"10 of the {records} records"
    attacks.append(attack("known plaintext, 10 records", known, units=10_000, blind=blind, knows=told, ceiling=0.3))
    most = f"{records - 1} of the {records} records"  # on which no verdict rests
    attacks.append(attack("known plaintext, 99 records", 1.0, units=10_000, blind=blind, knows=most, ceiling=1.0))
    return {
        "format": "ult-audit-code/2",
        "subject": {"shards": shards, "run": run, "table": table},
        "codec": "text/bytes",
        "units": 10_000,
        "records": records,
        "reference": {"digest": "dd" * 32, "records": 5_000, "bytes": 500_000},
        "scored": True,
        "attacks": attacks,
        **changes,
    }


def fields(best=0.55, *, blind=0.5, linked=0.0, width=0.01, known=True):
    """What an audit of records of fields says by field: one that is read so well, and one that nobody reads."""

    def one(read):
        ends = [max(0.0, read - width), min(1.0, read + width)]
        of = {"kind": "number", "in_rows": False, "cells": 600, "near": None, "near_blind": None, "pieces": None}
        return {**of, "read": read, "read_interval": ends, "blind": blind, "beyond": (read - blind) / (1 - blind)}

    def attacker(knows, people=None):
        return {"name": "co-occurrence", "knows": knows, "cells": 1200, "read": (best + blind) / 2, "blind": blind,
                "beyond": 0.0, "people": people, "fields": [one(best), one(blind)]}  # fmt: skip

    ends = clopper_pearson(round(600 * linked), 600)
    people = {"people": 600, "columns": 2, "alone": 0.3, "alone_interval": [0.25, 0.35], "linked": linked,
              "linked_interval": ends, "linked_wrongly": 0.0, "chance": 1 / 600}  # fmt: skip
    told = [attacker("public data, and some columns of the people, not which record is whose", people)] if known else []
    every = [attacker("public data"), attacker("public data, and no field of the table"), *told]
    return {"records": 600, "known": 2 * known, "attackers": every}


def rates(hits=5, *, members=500, nonmembers=500, auc=0.5, epsilon=0.0, delta=1e-5):
    """What the scores of one attack tell: so many members are found where 1 % of nonmembers are taken for some."""

    def rate(fpr, hits):
        return {"fpr": fpr, "tpr": hits / members, "interval": clopper_pearson(hits, members)}

    return {
        "members": members,
        "nonmembers": nonmembers,
        "auc": auc,
        "auc_interval": auc_interval(auc, members, nonmembers),
        "tpr": [rate(0.001, hits // 5), rate(0.01, hits)],
        "epsilon_at_least": epsilon,
        "delta": delta,
    }


def extraction(members=0, nonmembers=0, n=200, *, ngrams=(0.1, 0.1), way="greedy"):
    def one(exact, overlap):
        interval = clopper_pearson(exact, n)
        return {"exact": exact, "passages": n, "share": exact / n, "share_interval": interval, "ngrams": overlap}

    none = {"greedy": one(0, 0.1)}
    return {
        "prefix": 50,
        "suffix": 50,
        "members": {**none, way: one(members, ngrams[0]), "sampled": None},
        "nonmembers": {**none, way: one(nonmembers, ngrams[1]), "sampled": None},
    }


def canaries(bits=1.4427, n=20):
    """The exposures of so many canaries, all of them so many bits."""
    return {
        "interpolated": [bits] * n, "interpolated_mean": bits, "most": 9.97, "alternatives": 1000,
        "p_value": float(stats.gamma.sf(bits * n * 0.6931471805599453, n)), "chance_interval": [0.9, 2.1],
    }  # fmt: skip


def blind(auc=0.5, n=500):
    return {"auc": auc, "auc_interval": blind_interval(auc, n, n, 5), "members": n, "nonmembers": n, "folds": 5}


def model(run=RUN, *, members=(SHARDS,), nonmembers=(OTHERS,), table=TABLE, **changes):
    """An audit of a run in which nothing is found."""
    lots = [{"table": table, "codec": "text/bytes", "column": "text", "rows": 500}]
    return {
        "format": "ult-audit-model/2",
        "subject": {"run": run, "members": list(members), "nonmembers": list(nonmembers), "table": table},
        "members": lots,
        "nonmembers": lots,
        "membership": {"loss": rates(5), "min-k": rates(4), "min-k++": rates(5), "zlib": rates(6)},
        "blind": blind(),
        "extraction": extraction(),
        "canaries": canaries(),
        **changes,
    }


def table_audit(table=TABLE, *, shown=True, **changes):
    """An audit of a table in which nothing is found."""
    return {
        "format": "ult-audit-table/2",
        "subject": {"table": table, "members": "ee" * 32, "nonmembers": "ff" * 32},
        "shown": {"members": shown, "nonmembers": shown, "taken_out": 0, "why": ""},
        "membership": {"compression": rates(5), "longest": rates(4), "rare": rates(5), "counts": rates(6)},
        **changes,
    }


def shards_part(digest=SHARDS, *, table=TABLE, columns=(), nbytes=50_000):
    return {
        "name": "a.shards", "digest": digest, "table": table, "codec": "text/bytes", "column": "text",
        "kept": [one["title"] for one in columns], "rows": 600, "ids": 10_000, "bytes": nbytes, "privacy": None,
        "canaries": None, "coin": None, "public_table": False, "columns": list(columns),
    }  # fmt: skip


def run_part(digest=RUN, *, trained=(SHARDS,), planted=20, table=TABLE, **metrics):
    lot = {"table": table, "codec": "text/bytes", "column": "text", "rows": 500}
    told = {"canaries": {"count": planted, "repeats": 10}} if planted else {}
    lots = [{**lot, **({"digest": one} if one else {}), **told} for one in trained]
    return {"name": "run", "digest": digest, "metrics": {"parameters": 1000, "shards": lots, "targets": [], **metrics}}


def candidate(*, shards=None, run=None, table=None, body=False):
    """The facts of what a receiver will hold, as `ult.audit.release.facts` gives them."""
    return {"shards": list(shards or ()), "run": run, "body": body, "table": table}


def audits(code=None, model=None, table=None):
    return {"code": code, "model": model, "table": table}

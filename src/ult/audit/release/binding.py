"""Check that audits are of what is released: by digests of shards, run, table and records, never by names."""

from __future__ import annotations

from typing import Any

from ult.audit.release.facts import Facts, tables_of, trained_on
from ult.audit.release.figures import Missing, field, part
from ult.audit.release.finding import Finding, unmeasured
from ult.errors import FormatError, InvalidConfig
from ult.public.metrics import made_of
from ult.public.vocabulary import check_format

FORMATS = {"code": "ult-audit-code/2", "model": "ult-audit-model/2", "table": "ult-audit-table/2"}
Audits = dict[str, dict[str, Any] | None]


def check_formats(audits: Audits) -> None:
    """Raise `FormatError` unless each audit has the current format, `NewerFormat` if its format is newer."""
    for name, audit in audits.items():
        if audit is None:
            continue
        version = audit.get("format")
        if version == FORMATS[name].replace("/2", "/1"):
            raise FormatError(
                f"the audit of the {name} is {version}, which does not say what was audited; expected {FORMATS[name]}",
                hint=f"audit again: ult audit {name}",
            )
        check_format(audit, FORMATS[name], f"the audit of the {name}")


def check_same(parts: Facts, audits: Audits) -> None:
    """Raise `InvalidConfig` if an audit is of something that is not released; a run without rows writes no ids."""
    run, body = parts["run"], parts["body"]
    tables = {one["table"] for one in parts["shards"]} | (set() if run is None or body else tables_of(run))
    for name, held in (("code", bool(tables)), ("model", run is not None), ("table", parts["table"] is not None)):
        if audits[name] is not None and not held:
            raise InvalidConfig(f"an audit of a {name} was given, and the receiver will hold none", hint="leave it out")
    if audits["code"] is not None:
        _check_code(part(audits["code"], "subject"), parts, tables)
    if audits["model"] is not None:
        _check_model(part(audits["model"], "subject"), run)
    if audits["table"] is not None:
        _check_table(part(audits["table"], "subject"), parts["table"])


def _check_code(subject: Facts, parts: Facts, tables: set[str]) -> None:
    run, digests = parts["run"], {one["digest"] for one in parts["shards"]}
    if field(subject, "table") not in tables:
        raise InvalidConfig("the audit of the code is of another table", hint="ult audit code")
    of = attacked(subject)
    if of and digests and not of & digests:
        raise InvalidConfig("the audit of the code is of other shards than these", hint="ult audit code SHARDS")
    if field(subject, "run") is not None and run is not None and subject["run"] != run["digest"]:
        raise InvalidConfig(f"the audit of the code is of another run than {run['name']}", hint="ult audit code --run")
    if not digests and field(subject, "run") is None:
        raise InvalidConfig("the audit of the code is of shards, which the receiver will not hold", hint="leave it out")


def _check_model(subject: Facts, run: Facts) -> None:
    if field(subject, "run") != run["digest"]:
        raise InvalidConfig(f"the audit of the model is of another run than {run['name']}", hint="ult audit model")
    members, nonmembers = digests(subject, "members"), digests(subject, "nonmembers")
    for seen, whose in ((trained_on(run), "what the run was trained on"), (members, "the members")):
        if nonmembers & seen:
            raise InvalidConfig(
                f"nonmembers of the audit of the model are among {whose}; expected shards that it never saw",
                hint="ult audit model --nonmembers",
            )


def _check_table(subject: Facts, table: Facts) -> None:
    if field(subject, "table") != table["fingerprint"]:
        raise InvalidConfig("the audit of the table is of another table", hint="ult audit table")
    if field(subject, "members") == field(subject, "nonmembers"):
        raise InvalidConfig("members and nonmembers of the audit of the table are the same", hint="ult audit table")


def attacked(subject: Facts) -> set[str]:
    """Return the digests of the shards that an audit of a code attacked together; empty if a run wrote the ids."""
    shards = field(subject, "shards")
    return set() if shards is None else {shards} if isinstance(shards, str) else digests(subject, "shards")


def digests(subject: Facts, name: str) -> set[str]:
    """Return the digests that a subject lists under a name. Raises `Missing` or `FormatError`."""
    listed = field(subject, name)
    if not isinstance(listed, list) or not all(isinstance(digest, str) for digest in listed):
        raise FormatError(f"an audit says that {name} of its subject is {listed!r:.40}; expected digests")
    if not listed:
        raise Missing(name)
    return set(listed)


def bound_shards(parts: Facts, audit: dict[str, Any] | None) -> list[Finding]:
    """Return an unmeasured finding for each of the shards that the attacks were not run on.

    There is another one if the attacks were run on other shards too: a result for all says nothing about a part.
    """
    of = attacked(part(audit, "subject")) if audit is not None else set()
    line = "amber unless the attacks were run on exactly the shards that the receiver will hold, all together"
    how = "ult audit code with all these shards, and no others"
    found = [
        f"shards {one['name']} are not among those that were attacked"
        for one in parts["shards"]
        if of and one["digest"] not in of
    ]
    if others := of - {one["digest"] for one in parts["shards"]} if parts["shards"] else set():
        found.append(
            f"{len(others)} of the {len(of)} shards that were attacked are not among these, so the result is a mean"
        )
    return [unmeasured("shards", "binding", one, how, line) for one in found]


def bound_members(run: Facts, audit: dict[str, Any]) -> list[Finding]:
    """Return unmeasured findings unless the members of an audit are all shards that the run was trained on.

    These include the shards of the runs that it went on from, because it may remember any of them.
    """
    line = "amber unless the members are all shards that the run, and the runs it went on from, were trained on"
    how = "ult audit model RUN --members with all those shards"
    metrics = run["metrics"]
    known, members = trained_on(run), digests(part(audit, "subject"), "members")
    lots = [*metrics["shards"], *(metrics.get("targets") or [])]
    if known:
        strange, left_out = bool(members - known), _names_of(known - members, lots)
        left_out += ["what names no digest"] * any(not lot.get("digest") for lot in lots)
    else:  # a private run states only these keys of its shards
        keys, private = ("table", "codec", "column", "rows"), bool(metrics.get("privacy"))
        trained, given = ([[lot.get(key) for key in keys] for lot in side] for side in (lots, audit["members"]))
        strange = not private or any(lot not in trained for lot in given)
        left_out = (
            [] if strange
            else [f"shards of {lot[3]} records" for lot in trained if trained.count(lot) > given.count(lot)]
        )  # fmt: skip
    found = []
    if strange:
        found.append(
            "members are not the shards that the run was trained on" if known or metrics.get("privacy") else
            "nothing shows that the run was trained on the members: it is older than digests"
        )  # fmt: skip
    elif left_out:
        found.append(f"members leave out some of what the run was trained on: {', '.join(dict.fromkeys(left_out))}")
    if (before := made_of(metrics)) and metrics.get("trained_before") is None:
        found.append(f"the run went on from {', '.join(before)}, and does not say what that was trained on")
    if (told := metrics.get("federated")) is not None:
        found.append(f"the body was trained by {told.get('owners')} owners; what it tells of others' records is theirs")
    return [unmeasured("model", "binding", one, how, line) for one in found]


def _names_of(digests: set[str], lots: list[Facts]) -> list[str]:
    """Return the names of the shards with these digests; shards of earlier runs are named by their digests."""
    names = {lot.get("digest"): lot.get("name") for lot in lots}
    return [str(names.get(one) or f"shards {one[:8]}") for one in sorted(digests)]

"""Judge the audits of what a receiver will hold: findings of three levels, the worst of which is the verdict.

The lines are in `ult.audit.release.finding`, in `docs/threats.md` and on every report, so that readers can disagree
with a particular one. What was not measured, or not with enough data, is never green.
"""

from __future__ import annotations

from typing import Any

from ult.audit.code.evidence import BEFORE
from ult.audit.release.binding import Audits, attacked, bound_members, bound_shards, check_formats, check_same
from ult.audit.release.facts import Facts, planted_in
from ult.audit.release.figures import Missing, part
from ult.audit.release.finding import LEVELS, SMALL, Finding, unmeasured, verdict
from ult.audit.release.kept import LINE as KEPT
from ult.audit.release.reading import LINE as READ_LINE
from ult.audit.release.reading import judge_code
from ult.audit.release.remembering import (
    CANARIES,
    EXACT,
    MEMBERS,
    TRAINED,
    Promised,
    judge_blind,
    judge_canaries,
    judge_extraction,
    judge_members,
    judge_promise,
)  # fmt: skip
from ult.errors import FormatError
from ult.public.guarantee import Guarantee, of_training
from ult.public.task import LABELS

__all__ = ["LEVELS", "judge", "judge_body", "judge_code", "judge_kept", "judge_model", "judge_table", "verdict"]
_MODEL = "ult audit model RUN --members SHARDS --nonmembers SHARDS -t TABLE"
_TABLE = "ult audit table TABLE --members FILE --nonmembers FILE"
_ALONE = "amber for a run with members: what one of them knows by heart may be little of their mean"
_AT_RANDOM = "amber if its training began at random weights, with rows that nobody can draw again, else red"


def judge(parts: Facts, audits: Audits) -> list[Finding]:
    """Judge what a receiver will hold (`parts`, see `ult.audit.release.facts`) by its audits.

    Raises `InvalidConfig` if an audit is of something else, `FormatError` if it is invalid or contradicts itself.
    """
    check_formats(audits)
    try:
        check_same(parts, audits)
        return [*_shards(parts, audits["code"]), *_run(parts, audits), *_table(parts, audits["table"])]
    except Missing as lacking:
        raise FormatError(f"an audit does not say its {lacking.args[0]}", hint="audit again") from lacking


def _shards(parts: Facts, audit: dict[str, Any] | None) -> list[Finding]:
    held, findings = parts["shards"], []
    of_shards = audit is not None and bool(attacked(part(audit, "subject")))
    if held:
        findings += judge_code(audit if of_shards else None, nbytes=sum(one["bytes"] for one in held))
        findings += bound_shards(parts, audit)
    if audit is not None and not (held and of_shards):
        findings += judge_code(audit, "model")
    for one in held:
        findings += judge_kept(one)
    return findings


def _run(parts: Facts, audits: Audits) -> list[Finding]:
    run = parts["run"]
    if run is None:
        return []
    if parts["body"]:
        return judge_body(run["metrics"])
    asked: Facts = {"planted": planted_in(run), "task": run["metrics"].get("task", "lm")}
    findings = judge_model(audits["model"], _training(run["metrics"]), **asked)
    if audits["model"] is not None:
        findings += bound_members(run, audits["model"])
    if members := run["metrics"].get("members"):
        found = f"the attacks asked the mean of {members['count']} members, each of which its receiver can ask alone"
        how = "ult distil RUN --shards SHARDS -o SMALL, and audit that: no run with members is released"
        findings.append(unmeasured("model", "binding", found, how, _ALONE))
    if asked["task"] in LABELS and (began := run["metrics"].get("from_run")):
        found = f"what the run recites from the training data of {began}, from which it went on, was not measured"
        findings.append(
            unmeasured("model", "extraction", found, f"ult audit model {began}, which writes records", EXACT)
        )
    rows = [one for one in (audits["code"] or {}).get("attacks", []) if one.get("knows") == BEFORE]
    if (aligned := run["metrics"].get("aligned")) and not rows:
        public = isinstance(aligned, dict) and "model" in aligned
        how = f"ult audit code --run RUN --from {'MODEL' if public else 'RUN0 --from-table TABLE0'}"
        findings.append(unmeasured("model", "rows", "embedding rows: not measured", how, READ_LINE))
    return findings


def _training(metrics: Facts) -> Promised | None:
    """Return the promise of the training alone, because an audit of a run compares records of the same table."""
    account = of_training(metrics)
    return None if account is None else Promised(account.epsilon, account.delta)


def _table(parts: Facts, audit: dict[str, Any] | None) -> list[Finding]:
    table = parts["table"]
    if table is None:
        return []
    promised = Guarantee.read(table["privacy"], "the audit") if table["privacy"] else None
    findings = judge_table(audit, promised, public=table["public"] is True)
    read = [one["name"] for one in parts["shards"] if one["table"] == table["fingerprint"]]
    if read:
        found = f"the receiver can decode {', '.join(read)} with the table, and so holds the records themselves"
        line = "red if the receiver holds both a table and shards encoded with it"
        findings.append(Finding("table", "red", found, line, "keep the table, or the shards", "table"))
    return findings


def judge_model(
    audit: dict[str, Any] | None, promised: Promised | None = None, *, planted: int = 0, task: str = "lm"
) -> list[Finding]:
    """Judge a run that the receiver holds with its embedding rows, by the audit of `ult audit model`.

    `promised` is the training's promise to each record, `planted` the number of canaries in its shards. Exposure can be
    measured only for task "lm", and extraction not for labels, whose runs write no records.
    """
    writes = {"lm": ("extraction", "canaries"), "seq2seq": ("extraction",)}.get(task, ())
    if audit is None:
        missing = {"membership": MEMBERS, "extraction": EXACT, "canaries": CANARIES}
        return [
            unmeasured("model", topic, f"{topic}: not measured", _MODEL, missing[topic])
            for topic in ("membership", *writes)
        ]
    if (told := audit.get("task", "lm")) != task:
        raise FormatError(f"the audit of the model says that it is for {told!r:.20}; the run is for {task}")
    findings = judge_members("model", audit, TRAINED, _MODEL) + judge_blind("model", audit, _MODEL)
    if "extraction" in writes:
        findings += judge_extraction(audit, _MODEL)
    if "canaries" in writes:
        how = "ult encode --canaries, train on that, then ult audit model -t TABLE"
        findings += judge_canaries(audit, planted, how)
    return findings + judge_promise("model", audit, promised)


def judge_table(
    audit: dict[str, Any] | None, promised: Guarantee | None = None, *, public: bool = False
) -> list[Finding]:
    """Judge a table that the receiver holds, by the audit of `ult audit table` and the promise of its fit.

    A table of `public` records reveals nothing about them, but still decodes its shards. If the promise alone is a
    reason for green, it need not be proven who was in the fit, which a private table hides anyway.
    """
    small = promised is not None and promised.epsilon <= SMALL
    level = "green" if small else "amber" if promised is not None or public else "red"
    carry = "have no guarantee" if promised is None else f"have epsilon {promised.epsilon:g}"
    carry = "are from public records, as its owner says" if public else carry
    said = f"whoever has the table can read all shards that it encoded; its phrases and counts {carry}"
    line = f"red without a guarantee, amber for public records, green with an epsilon of {SMALL:g} or less"
    change = "" if small else "keep the table, or fit it with --epsilon"
    findings = [Finding("table", level, said, line, change, "table")]
    if audit is None:
        missing = "membership by its phrases: not measured"
        return findings + ([] if public else [unmeasured("table", "membership", missing, _TABLE, MEMBERS)])
    findings += judge_members("table", audit, "fit with a higher --min-records, or with --epsilon", _TABLE)
    findings += [] if small or public else _sides(audit)
    told = None if promised is None else Promised(promised.epsilon, promised.delta)
    return findings + judge_promise("table", audit, told)


def _sides(audit: dict[str, Any]) -> list[Finding]:
    """Return an unmeasured finding unless members are proven to be in the table's fit, and nonmembers not."""
    line = "amber unless it is proven that members were in the fit and nonmembers were not"
    shown = audit.get("shown")
    if isinstance(shown, dict) and shown.get("members") is True and shown.get("nonmembers") is True:
        return []
    found = "nothing shows that members were in the table's fit and nonmembers were not"
    return [
        unmeasured("table", "binding", found, "ult audit table TABLE --members with all that it was fitted on", line)
    ]


def judge_body(metrics: dict[str, Any]) -> list[Finding]:
    """Judge a run whose embedding rows stay with the owner, by the initial weights that its `metrics.json` states.

    No attack is run on the body itself; the finding quotes the study of such bodies (`runs/release.sh`).
    """
    if metrics.get("initial_weights") != "random":
        began = metrics.get("from_run") or metrics.get("model") or "weights that are not named"
        found = (
            f"the embedding rows, which say what ids mean, are withheld, but the model also works with those of {began}"
            ", from which it went on: whoever has these can read what it remembers"
        )
        change = f"train the model from random weights; if nobody else has {began}, say so with --accept-risk"
        return [Finding("model", "red", found, _AT_RANDOM, change, "body")]
    if metrics.get("guessable"):
        found = (
            "the embedding rows, which say what ids mean, are withheld, but the model also works with those that it "
            "began with, and its seed is soon guessed: whoever draws these again has most of what the model knows"
        )
        change = "ult train --secret-rows, whose first rows no seed draws"
        return [Finding("model", "red", found, _AT_RANDOM, change, "body")]
    found = (
        "the embedding rows, which say what ids mean, are withheld. In our study of such models receivers read nothing "
        "of the records, and of canaries little more than chance would; what this model remembers was not measured"
    )
    return [unmeasured("model", "body", found, "see docs/threats.md", _AT_RANDOM)]


def judge_kept(shards: Facts) -> list[Finding]:
    """Judge each column that shards keep in the clear, by the counts of `ult.audit.release.kept`."""
    change = "encode again without it (--keep), or with coarser values, such as years for dates and regions for places"
    return [
        Finding("shards", level, f"{shards['name']}: {one['found']}", KEPT, change * (level != "green"), "kept")
        for one in shards["columns"]
        for level in ["green" if one["level"] == "told" else one["level"]]
    ]

"""All verbs: where each is, and what the help of the whole says of it, so that a command imports no other verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Needs = Mapping[str, Sequence[str]]  # packages by extra

OWNER = "The owner's side: these read or write the table, or the records"
TRAINER = "The trainer's side: shards and runs; no table"
BOTH = "Both"
TRAIN: dict[str, Sequence[str]] = {"train": ("accelerate", "torch", "transformers")}
PAGE: dict[str, Sequence[str]] = {"audit": ("jinja2", "matplotlib", "scipy")}
SCIPY: dict[str, Sequence[str]] = {"audit": ("scipy",)}


@dataclass(frozen=True, slots=True)
class Declared:
    """A verb that is imported when it is asked for."""

    place: str  # its module in `ult.cli`, and its function there
    panel: str  # of the help
    sentence: str  # the first paragraph of its own help
    needs: Needs = field(default_factory=dict)  # what it cannot do without
    trains: bool = False  # whether it has the options of a training


@dataclass(frozen=True, slots=True)
class Group:
    """A verb that is a group of others."""

    panel: str
    sentence: str
    example: str  # the verb whose example it shows


GROUPS = {
    "table": Group(OWNER, "Go on from a table that is in use.", "table update"),
    "audit": Group(OWNER, "Attack what is to be given away, and report what each attack recovers.", "audit code"),
    "forget": Group(
        BOTH, "Find records that are to be forgotten, and take them out of runs, shards and tables.", "forget run"
    ),
    "federate": Group(
        TRAINER,
        "Train one body with other owners, each with its own table and rows, which stay at home.",
        "federate simulate",
    ),
}
VERBS = {
    "keygen": Declared(
        "owner:keygen", OWNER, "Make an age key pair: the secret key to a file, the public one to stdout."
    ),
    "describe": Declared(
        "describe:describe",
        OWNER,
        "Say what the columns of a table hold, and write a schema by which its rows become records.",
    ),
    "dedupe": Declared(
        "dedupe:dedupe",
        OWNER,
        "Drop repeated records before a table is fitted, because a model memorises what is repeated.",
    ),
    "split": Declared(
        "split:split", OWNER, "Split files of records into parts, before a table is fitted: nobody is in two parts."
    ),
    "fit": Declared(
        "owner:fit",
        OWNER,
        "Fit a table on records and store it, encrypted. The table is the secret: who has it reads your shards.",
    ),
    "encode": Declared("owner:encode", OWNER, "Encode records to shards of ids, for whoever trains the model."),
    "decode": Declared("decode:decode", OWNER, "Decode shards back to records, with the table that encoded them."),
    "synth": Declared(
        "synth:synth",
        OWNER,
        "Write synthetic records in place of real ones, by noisy counts, or by a run that learns them, on one account.",
        needs=TRAIN,
    ),
    "align": Declared(
        "align:align",
        OWNER,
        "Arrange embedding rows of a run, or of a public model, for a table, by its phrases, to start training from.",
        needs=TRAIN,
    ),
    "release": Declared(
        "handover:release", OWNER, "Export a run for others, optionally without its embedding rows.", needs=TRAIN | PAGE
    ),
    "rekey": Declared(
        "rekey:rekey",
        OWNER,
        "Encrypt a secret file for another key. The new file replaces it once it was opened and compared.",
    ),
    "shred": Declared(
        "rekey:shred", OWNER, "Overwrite a secret file, and leave a tombstone that says so. This cannot be undone."
    ),
    "train": Declared(
        "train:train",
        TRAINER,
        "Train a model on shards. It needs no table, and learns nothing of one.",
        needs=TRAIN,
        trains=True,
    ),
    "average": Declared(
        "average:average",
        TRAINER,
        "Write one run that averages what several find likely, each as much as other records say.",
        needs=TRAIN,
    ),
    "distil": Declared(
        "distil:distil",
        TRAINER,
        "Train one run on the averaged probabilities of others, in place of what the records say.",
        needs=TRAIN,
        trains=True,
    ),
    "evaluate": Declared(
        "trainer:evaluate",
        TRAINER,
        "Measure how well a run predicts shards: bits per byte of the original data, accuracy, or exact matches.",
        needs=TRAIN,
    ),
    "generate": Declared(
        "trainer:generate",
        TRAINER,
        "Let a run write records, as shards of ids or, with the owner's table, as data.",
        needs=TRAIN,
    ),
    "translate": Declared(
        "trainer:translate", TRAINER, "Let a run of task seq2seq write the likeliest targets of sources.", needs=TRAIN
    ),
    "adopt": Declared(
        "adopt:adopt",
        TRAINER,
        "Make a run of a causal model that another trainer wrote, to evaluate, audit, release and generate with.",
        needs=TRAIN,
    ),
    "attach": Declared(
        "handover:attach",
        BOTH,
        "Add embedding rows to a body: its own, from the secret file, new ones, learned from shards, or one table's.",
        needs=TRAIN,
    ),
    "predict": Declared(
        "predict:predict",
        BOTH,
        "Predict the label of each record in shards; or, with the owner's table, a column of records from all others.",
        needs=TRAIN,
    ),
    "inspect": Declared(
        "inspect:inspect",
        BOTH,
        "Show facts on a table, shards or a run: sizes, ranks, ids per byte, and a plot. With --table, one record.",
    ),
    "demo": Declared(
        "demo:demo",
        BOTH,
        "Show the whole path, offline, in under three minutes: two owners, a trainer, an adversary, a report.",
    ),
    "table update": Declared(
        "table:update",
        OWNER,
        "Update a table with new records: kept phrases keep their ids, new ones take unused or least-used ids.",
    ),
    "audit code": Declared(
        "audit.code:code",
        OWNER,
        "Attack a code as somebody with shards or a model, and public data, would; the table scores the attacks.",
        needs=SCIPY,
    ),
    "audit model": Declared(
        "audit.model:model",
        OWNER,
        "Say what a run betrays of records: membership, extraction, and exposure of planted canaries.",
        needs=TRAIN | SCIPY,
    ),
    "audit table": Declared(
        "audit.model:table",
        OWNER,
        "Measure what a table reveals about the records that it was fitted on: membership inference by its phrases.",
        needs=SCIPY,
    ),
    "audit forget": Declared(
        "audit.forget:forget",
        OWNER,
        "Measure what a run that is said to have forgotten still knows, beside one retrained without the records.",
        needs=TRAIN | SCIPY,
    ),
    "audit mechanism": Declared(
        "audit.mechanism:mechanism",
        OWNER,
        "Fit and train many times with one record and without, and compute lower bounds on epsilon and delta.",
        needs=SCIPY | {"privacy": ("dp-accounting",)},
    ),
    "audit update": Declared(
        "audit.update:update",
        OWNER,
        "Compare a run with its successor: what it had right and the successor has wrong, and whom that hits.",
        needs=TRAIN | SCIPY,
    ),
    "audit release": Declared(
        "audit.release:release",
        OWNER,
        "Report what a receiver could learn from what it will hold, by the other audits: a page and a verdict.",
        needs=PAGE,
    ),
    "audit synth": Declared(
        "audit.synth:synth",
        OWNER,
        "Say whether synthetic records copy real ones, beside held-out records, and how true and useful they are.",
        needs={"audit": ("scipy", "scikit-learn")},
    ),
    "forget find": Declared(
        "forget:find",
        OWNER,
        "Find records that are to be forgotten in shards, by exactly equal ids, and write which rows they are.",
    ),
    "forget table": Declared(
        "forget:table",
        OWNER,
        "Fit a table again without records, with its own settings, and say whether a byte of the code changes.",
    ),
    "forget shards": Declared(
        "forget:shards",
        TRAINER,
        "Write shards without records, and a tombstone that says how many went. It needs no table.",
    ),
    "forget run": Declared(
        "forget:run",
        TRAINER,
        "Write a run without records that it was trained on. It needs no table.",
        needs=TRAIN,
        trains=True,
    ),
    "federate init": Declared(
        "federate:init",
        TRAINER,
        "Write a group: the body that it begins with, without embedding rows, and the plan that its owners agree on.",
        needs=TRAIN,
    ),
    "federate serve": Declared(
        "federate:serve",
        TRAINER,
        "Serve a group to its owners: the body to each, the mean of their changes to all, round after round.",
        needs=TRAIN,
        trains=True,
    ),
    "federate join": Declared(
        "federate:join",
        TRAINER,
        "Take part in a group with one's own shards. The same command goes on if it was interrupted.",
        needs=TRAIN,
    ),
    "federate simulate": Declared(
        "federate:simulate",
        TRAINER,
        "Play a federation on this machine: every owner in turn, by the very messages that would travel.",
        needs=TRAIN,
        trains=True,
    ),
}

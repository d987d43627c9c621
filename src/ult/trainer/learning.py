"""The options that say what a training learns and where it starts, the first of those in `ult.trainer.options`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ult.public.task import TASKS
from ult.trainer.option import option

LEARNS, STARTS = "What it learns", "Where it starts"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Learning:
    """What a training learns, and what it starts from."""

    task: str = option(
        "lm",
        panel=LEARNS,
        choices=TASKS,
        help="What to learn: lm predicts the next id, classify a kept label, regress a kept number, seq2seq a target "
        "from its source",
    )
    context: int = option(
        128,
        panel=LEARNS,
        at_least=4,
        help="Ids that the model sees at once; for seq2seq, of the source and of the target each",
    )
    label: str | None = option(
        None,
        panel=LEARNS,
        tasks=("classify", "regress"),
        metavar="COLUMN",
        help="The kept column to predict",
        unset="the only kept column",
    )
    pool: str | None = option(
        None,
        panel=LEARNS,
        tasks=("classify", "regress"),
        excludes=("epsilon",),
        choices=("last", "mean"),
        help="What of a record decides: last, the id at its end, or mean, all of its ids alike",
        unset="last, or as the earlier run",
    )
    attention: str | None = option(
        None,
        panel=LEARNS,
        tasks=("classify", "regress"),
        excludes=("epsilon",),
        choices=("causal", "full"),
        help="What an id sees: causal, the ids before it, or full, the whole record",
        unset="as the model or the earlier run; presets are causal",
    )
    class_weights: str | None = option(
        None,
        panel=LEARNS,
        tasks=("classify",),
        excludes=("epsilon",),
        choices=("balanced",),
        help="balanced weighs records so that all labels count the same",
        unset="every record counts the same",
    )
    label_smoothing: float = option(
        0.0,
        panel=LEARNS,
        at_least=0,
        below=1,
        metavar="SHARE",
        tasks=("lm", "classify", "seq2seq"),
        excludes=("epsilon",),
        help="The share of the probability that is to be spread over all ids or labels",
    )
    mixture: Sequence[float] | None = option(
        None,
        panel=LEARNS,
        metavar="WEIGHTS",
        above=0,
        excludes=("epsilon",),
        help="Weights of the shards folders against one another, as 3,1,1",
        unset="their sizes",
    )
    replay: str | None = option(
        None,
        panel=LEARNS,
        tasks=("lm", "classify", "regress"),
        metavar="SHARDS:SHARE",
        excludes=("epsilon", "mixture", "rows_per_table", "part"),
        help="Earlier shards of the same table that a share of each batch is drawn from, as old.shards:0.1",
        unset="the shards named alone",
    )
    modality_token: bool = option(
        False,
        panel=LEARNS,
        tasks=("lm", "classify", "regress"),
        help="Put a special id before each record that names its modality",
    )
    rows_per_table: bool = option(
        False,
        panel=LEARNS,
        tasks=("lm",),
        excludes=("epsilon", "lora", "goldfish", "restrain_ngrams", "stop_memorised"),
        help="Give each table embedding rows of its own beside one body; the run keeps them in a file a table",
    )
    document_mask: bool = option(
        False,
        panel=LEARNS,
        tasks=("lm",),
        excludes=("epsilon",),
        help="Let no record of a block see the records before it; by default it does, and may draw on them",
    )
    goldfish: int | None = option(
        None,
        panel=LEARNS,
        tasks=("lm",),
        excludes=("epsilon",),
        metavar="K",
        at_least=2,
        help="Leave one in K ids out of the loss, so that no record is recited whole",
        unset="every id counts",
    )
    restrain_ngrams: float | None = option(
        None,
        panel=LEARNS,
        tasks=("lm",),
        needs="from_run",
        excludes=("epsilon",),
        metavar="MARGIN",
        above=0,
        below=1,
        help="Let no n-gram become likelier than the earlier run has it by more than MARGIN, such as 0.3",
        unset="n-grams are not restrained",
    )
    model: str | None = option(
        None,
        panel=STARTS,
        excludes=("from_run",),
        metavar="NAME",
        help="A preset (tiny, small, smollm2-135m, smollm2-135m-weights), a checkpoint folder or a name on the Hub; "
        "for classify and regress also bag, linear on which ids a record holds and fitted at once; for lm also ngrams, "
        "which are counted at once",
        unset="tiny",
    )
    order: int | None = option(
        None,
        panel=STARTS,
        tasks=("lm",),
        metavar="N",
        at_least=2,
        below=9,  # `MOST` of the model
        help="Of ngrams, how many ids the longest one has",
        unset="2 to 5, whichever predicts validation best; 4 without validation",
    )
    from_run: str | Path | None = option(
        None,
        panel=STARTS,
        flag="--from",
        metavar="RUN",
        help="Go on from an earlier run of the same vocabulary",
        unset="start from the model",
    )
    embeddings: str | None = option(
        None,
        panel=STARTS,
        choices=("fresh", "keep"),
        help="With --from: draw fresh embedding rows, or keep those of the earlier run",
        unset="keep if the tables are the same, else fresh",
    )
    secret_rows: bool = option(
        False,
        panel=STARTS,
        excludes=("rows_per_table",),
        help="Draw the first embedding rows from the operating system, which nobody can repeat, and not from the seed: "
        "the body that you may give away then works with no rows that can be had again",
    )
    freeze_body: int = option(
        0,
        panel=STARTS,
        at_least=0,
        at_most="steps",
        metavar="STEPS",
        help="Train only the embedding rows and the head in the first STEPS steps",
    )
    lora: int | None = option(
        None,
        panel=STARTS,
        metavar="RANK",
        at_least=1,
        help="Train adapters of this rank in place of the body; they are merged into it at the end",
        unset="the whole body is trained",
    )
    compatible_with: str | Path | None = option(
        None,
        panel=STARTS,
        tasks=("lm", "classify"),
        excludes=("epsilon", "rows_per_table"),
        metavar="RUN",
        help="Keep right what this run of the same table has right: there its probabilities are learnt too",
        unset="no earlier run is compared with",
    )
    compatible_weight: float = option(
        1.0,
        panel=STARTS,
        needs="compatible_with",
        above=0,
        below=1000,
        metavar="WEIGHT",
        help="How much those probabilities weigh beside the labels",
    )

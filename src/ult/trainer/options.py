"""The options of a training, each declared once: name, type, default, what it may be, and help.

A new option takes a field here and the line that uses it. The command line, the file of arguments (`ult train
--config`), the checks, `metrics.json` and what `--resume` compares follow from the declaration.
"""

from __future__ import annotations

from dataclasses import dataclass

from ult.trainer.learning import Learning
from ult.trainer.option import option

STEPS, CHECKS = "How it is optimized", "Evaluation while it trains"
MANY = "Several runs, and parts of the records"
PRIVACY = "Differential privacy for each record"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Options(Learning):
    """What `Recipe` is made of."""

    steps: int = option(1000, panel=STEPS, at_least=1, help="Optimizer steps")
    epochs: float | None = option(
        None,
        panel=STEPS,
        above=0,
        metavar="PASSES",
        excludes=("steps", "epsilon"),
        help="Passes over the data, in place of --steps",
        unset="as many as the steps make",
    )
    batch_size: int = option(
        16, panel=STEPS, at_least=1, help="Blocks or records of a step, over all processes together"
    )
    learning_rate: float | None = option(
        None,
        panel=STEPS,
        metavar="RATE",
        above=0,
        below=1,
        help="The peak of the learning rate",
        unset="3e-3; for seq2seq and from 5 M parameters on 1e-3; from 20 M on 5e-4",
    )
    schedule: str = option(
        "cosine",
        panel=STEPS,
        choices=("cosine", "linear", "constant", "infinite"),
        help="The learning rate after its peak: cosine and linear fall to zero, constant stays, infinite falls to a "
        "constant, which --from goes on with",
    )
    anneal: int = option(
        0,
        panel=STEPS,
        at_least=0,
        at_most="steps",
        metavar="STEPS",
        help="With --schedule infinite: let the rate fall to zero in the last STEPS",
    )
    warmup: float | None = option(
        None,
        panel=STEPS,
        at_least=0,
        metavar="STEPS",
        help="Steps up to the peak; below 1, their share of all steps",
        unset="a tenth of all steps, 100 at most",
    )
    weight_decay: float | str = option(
        0.1,
        panel=STEPS,
        at_least=0,
        below=100,
        words=("auto",),
        metavar="RATE",
        help="How much each step shrinks the weights, times the learning rate (AdamW); auto is a fifth of the passes "
        "over the data, from 0.1 to 3.2",
    )
    dropout: float = option(
        0.0,
        panel=STEPS,
        at_least=0,
        below=1,
        metavar="SHARE",
        excludes=("epsilon",),
        help="The share of values that are left out at random while it trains",
    )
    members: int | None = option(
        None,
        panel=MANY,
        at_least=2,
        below=1000,
        metavar="K",
        tasks=("lm", "classify", "regress"),
        excludes=("epsilon", "rows_per_table"),
        help="Train K runs with seeds of their own, in one folder; what they find likely is averaged wherever it is "
        "asked for",
        unset="one run",
    )
    member_records: str = option(
        "same",
        panel=MANY,
        needs="members",
        choices=("same", "disjoint"),
        help="What the members are trained on: all on the same records, or on disjoint ones, each on one of K parts",
    )
    part: str | None = option(
        None,
        panel=MANY,
        metavar="K/OF",
        tasks=("lm", "classify", "regress"),
        excludes=("epsilon", "rows_per_table", "mixture"),
        help="Train on one part of the records, 0/4 to 3/4 for one of four: the ids of a record alone decide of which "
        "part it is",
        unset="all records",
    )
    accumulate: int = option(
        1,
        panel=STEPS,
        at_least=1,
        metavar="PARTS",
        help="Parts in which a device takes its share of a batch: less memory, the same losses",
    )
    precision: str = option(
        "auto",
        panel=STEPS,
        choices=("auto", "float32", "bfloat16"),
        help="Of the arithmetic; weights stay float32. auto is bfloat16 on GPUs that can",
    )
    gradient_checkpointing: bool = option(
        False,
        panel=STEPS,
        excludes=("epsilon",),
        shapes_weights=False,
        help="Keep few activations and compute the others again: less memory, the same losses, about a third slower",
    )
    compile: bool = option(
        False,
        panel=STEPS,
        excludes=("epsilon",),
        help="Compile the model with torch.compile: a minute or more at first, then faster steps",
    )
    keep_packed: bool = option(
        False,
        panel=STEPS,
        shapes_weights=False,
        help="Keep the packed ids in your cache folder for the next training on the same shards; remove them yourself",
    )
    seed: int = option(0, panel=STEPS, at_least=0, help="The same seed gives the same weights on a CPU")
    evaluate_every: int | None = option(
        None,
        panel=CHECKS,
        at_least=1,
        at_most="steps",
        metavar="STEPS",
        help="Steps between evaluations on --validation",
        unset="a tenth of all steps",
    )
    patience: int | None = option(
        None,
        panel=CHECKS,
        at_least=0,
        metavar="N",
        help="Stop after N evaluations on --validation in a row without a better one; 0 does all steps",
        unset="3",
    )
    stop_memorised: float | None = option(
        None,
        panel=CHECKS,
        tasks=("lm",),
        excludes=("epsilon",),
        metavar="SHARE",
        at_least=0,
        below=1,
        help="Stop once the model writes more than this share of its data's n-grams again, such as 0.2",
        unset="it is not measured",
    )
    checkpoint_every: int | None = option(
        None,
        panel=CHECKS,
        at_least=1,
        at_most="steps",
        metavar="STEPS",
        shapes_weights=False,
        help="Steps between the checkpoints that --resume goes on from; with --validation each evaluation writes one",
        unset="a tenth of all steps, 500 at most",
    )
    report_to: str | None = option(
        None,
        metavar="NAME",
        panel=CHECKS,
        choices=("tensorboard", "wandb"),
        shapes_weights=False,
        help="Where the curves go: tensorboard is the folder of that name in the run; wandb sends numbers alone to "
        "Weights & Biases, or with WANDB_MODE=offline keeps them in the run",
        unset="no curves",
    )
    epsilon: float | None = option(
        None,
        panel=PRIVACY,
        metavar="EPSILON",
        above=0,
        help="Bound what any one record can change by a factor of e^epsilon in probabilities; 8 is weak, 1 strong",
        unset="no promise",
    )
    delta: float | None = option(
        None,
        panel=PRIVACY,
        needs="epsilon",
        above=0,
        below=1,
        help="The probability with which that may fail",
        unset="records^-1.1",
    )
    clip: float | None = option(
        None,
        panel=PRIVACY,
        needs="epsilon",
        metavar="LENGTH",
        above=0,
        help="The greatest length of a record's gradient",
        unset="1",
    )
    secure_random: bool = option(
        True,
        panel=PRIVACY,
        needs="epsilon",
        help="Draw samples and noise from the operating system, which nobody can repeat, and not from the seed",
    )

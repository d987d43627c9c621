"""`ult train`, the verb with the most options: each panel of its help is a question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.owner import Force

LEARNS, STARTS = "What it learns", "Where it starts"
STEPS, CHECKS = "How it is optimized", "Evaluation while it trains"
PRIVACY = "Differential privacy for each record"


def train(
    shards: Annotated[list[Path], typer.Argument(help="Shards folders of one vocabulary.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    task: Annotated[
        str,
        typer.Option(
            rich_help_panel=LEARNS,
            help="lm: predict the next id; classify: predict a kept label; seq2seq: write a target.",
        ),
    ] = "lm",
    targets: Annotated[
        list[Path] | None,
        typer.Option(rich_help_panel=LEARNS, help="seq2seq: shards whose records go row by row with those of SHARDS."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=STARTS,
            help="tiny (default), small, smollm2-135m, smollm2-135m-weights, a checkpoint folder, a Hub name.",
        ),
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", rich_help_panel=STARTS, help="Go on from an earlier run of the same vocabulary."
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=STARTS,
            help="With --from: keep or fresh; by default keep if the tables are the same, fresh otherwise.",
        ),
    ] = None,
    freeze_body: Annotated[
        int,
        typer.Option(
            rich_help_panel=STARTS, help="Steps, from the first, that train the embedding rows and the head alone."
        ),
    ] = 0,
    lora: Annotated[
        int | None,
        typer.Option(
            metavar="RANK",
            rich_help_panel=STARTS,
            help="Train adapters of this rank, merged in the end, in place of the body.",
        ),
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHTS", rich_help_panel=LEARNS, help="Of the shards folders, as 3,1,1; by default their sizes."
        ),
    ] = None,
    modality_token: Annotated[
        bool,
        typer.Option(
            "--modality-token", rich_help_panel=LEARNS, help="Say before each record which modality it is of."
        ),
    ] = False,
    label: Annotated[
        str | None, typer.Option(rich_help_panel=LEARNS, help="The kept column to classify by (default: the only one).")
    ] = None,
    goldfish: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            rich_help_panel=LEARNS,
            help="lm: leave one in K ids out of the loss, so none is recited whole.",
        ),
    ] = None,
    stop_memorised: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=CHECKS,
            help="lm: end once the model writes more than this share of its data's n-grams again, such as 0.2.",
        ),
    ] = None,
    restrain_ngrams: Annotated[
        float | None,
        typer.Option(
            metavar="MARGIN",
            rich_help_panel=LEARNS,
            help="lm, with --from: let no n-gram become likelier than RUN has it by more than this, such as 0.3.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(rich_help_panel=STEPS, help="Optimizer steps.")] = 1000,
    batch_size: Annotated[
        int, typer.Option(rich_help_panel=STEPS, help="Blocks or records a step, over all processes together.")
    ] = 16,
    context: Annotated[int, typer.Option(rich_help_panel=LEARNS, help="Ids that the model sees at once.")] = 128,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=STEPS,
            help="The schedule's peak; by default 3e-3, for seq2seq and from 5 M parameters 1e-3, from 20 M 5e-4.",
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option(rich_help_panel=STEPS, help="After the peak: cosine or linear to zero, or constant.")
    ] = "cosine",
    warmup: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=STEPS,
            help="Steps up to the peak, below 1 a share of all; by default a tenth, 100 steps at most.",
        ),
    ] = None,
    accumulate: Annotated[
        int,
        typer.Option(
            rich_help_panel=STEPS,
            help="Parts in which a device takes its share of a batch: less memory, the same losses.",
        ),
    ] = 1,
    precision: Annotated[
        str,
        typer.Option(
            rich_help_panel=STEPS, help="auto (bfloat16 on GPUs that can), float32 or bfloat16; weights are float32."
        ),
    ] = "auto",
    validation: Annotated[
        list[Path] | None,
        typer.Option(rich_help_panel=CHECKS, help="Shards of the same table to evaluate on; the run is then the best."),
    ] = None,
    validation_targets: Annotated[
        list[Path] | None,
        typer.Option(rich_help_panel=CHECKS, help="seq2seq: shards whose records go with those of --validation."),
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=CHECKS, help="With --validation: steps between evaluations; by default a tenth of all."
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=CHECKS, help="With --validation: stop after as many evaluations without a better one."
        ),
    ] = None,
    report_to: Annotated[
        str | None,
        typer.Option(rich_help_panel=CHECKS, help="tensorboard: write the curves, in the end to RUN/tensorboard."),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=PRIVACY,
            help="What any one record can change at most, as a factor e^epsilon in probabilities; 8 is weak, 1 strong.",
        ),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(rich_help_panel=PRIVACY, help="How likely that fails; by default records^-1.1."),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(rich_help_panel=PRIVACY, help="The length of a record's gradient at most; by default 1."),
    ] = None,
    secure_random: Annotated[
        bool,
        typer.Option(
            rich_help_panel=PRIVACY,
            help="Samples and noise of the operating system, which nobody can draw again, or of --seed.",
        ),
    ] = True,
    seed: Annotated[
        int, typer.Option(rich_help_panel=STEPS, help="The same seed gives the same weights on a CPU.")
    ] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted training.")] = False,
    force: Force = False,
) -> None:
    """Train a model on shards. It needs no table, and learns nothing of one."""
    from ult.trainer.train import train as run

    metrics = run(
        shards,
        out,
        targets=targets,
        task=task,
        model=model,
        from_run=from_run,
        embeddings=embeddings,
        freeze_body=freeze_body,
        lora=lora,
        mixture=_weights(mixture),
        modality_token=modality_token,
        epsilon=epsilon,
        delta=delta,
        clip=clip,
        secure_random=secure_random,
        goldfish=goldfish,
        stop_memorised=stop_memorised,
        restrain_ngrams=restrain_ngrams,
        steps=steps,
        batch_size=batch_size,
        context=context,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        accumulate=accumulate,
        precision=precision,
        validation=validation,
        validation_targets=validation_targets,
        evaluate_every=evaluate_every,
        patience=patience,
        report_to=report_to,
        label=label,
        seed=seed,
        resume=resume,
        force=force,
    )
    if metrics["privacy"]:
        _tell(out, metrics, shards)


def _tell(out: Path, metrics: dict[str, Any], shards: Sequence[Path]) -> None:
    from ult.cli.console import note, say
    from ult.cli.unit import tell_records
    from ult.public.guarantee import composed
    from ult.public.published import OWNER
    from ult.trainer.datasets.packing import open_shards

    told, account = metrics["privacy"], composed(metrics)
    if account is None:
        return
    covers, noise = account.covers(f"each of {told['records']:,} records"), told["noise_multiplier"]
    say(f"{out}: epsilon {account.epsilon:.3g} at delta {account.delta:.2g} {covers}, noise {noise:.3g}")
    if account.sums:
        say(f"{out}: {account.sums}")
    tell_records(out, open_shards(list(shards)))
    if not account.of_records:
        note("fit the table with --epsilon, or on public records (--public), and the promise is for the records too")
    if not told["secure_random"]:
        note("the noise was drawn from --seed, which metrics.json tells: whoever reads it can take the noise away")
    for condition in account.conditions[0 if told["secure_random"] else 1 :]:
        note(condition)
    note(f"{out / OWNER} and the checkpoints' folder are yours alone: give the run away with ult release")


def _weights(text: str | None) -> list[float] | None:
    from ult.errors import InvalidConfig

    try:
        return None if text is None else [float(weight) for weight in text.split(",")]
    except ValueError:
        raise InvalidConfig(f"mixture is {text!r}; expected numbers with commas", hint="--mixture 3,1,1") from None

"""The trainer's verbs: train, evaluate, generate. Only `generate --table` needs the secret."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.owner import Force
from ult.cli.secret import Identities, PassphraseFile, load_table

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `ult train` wrote it.")]


def train(
    shards: Annotated[list[Path], typer.Argument(help="Shards folders of one vocabulary.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    task: Annotated[str, typer.Option(help="lm: predict the next id; classify: predict a kept label.")] = "lm",
    model: Annotated[
        str | None,
        typer.Option(
            help="tiny (default), small, smollm2-135m, smollm2-135m-weights, a checkpoint folder, a Hub name."
        ),
    ] = None,
    from_run: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Go on from an earlier run of the same vocabulary.")
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(help="With --from: keep or fresh; by default keep if the tables are the same, fresh otherwise."),
    ] = None,
    freeze_body: Annotated[
        int, typer.Option(help="Steps, from the first, that train the embedding rows and the head alone.")
    ] = 0,
    lora: Annotated[
        int | None,
        typer.Option(metavar="RANK", help="Train adapters of this rank, merged in the end, in place of the body."),
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Of the shards folders, as 3,1,1; by default their sizes."),
    ] = None,
    modality_token: Annotated[
        bool, typer.Option("--modality-token", help="Say before each record which modality it is of.")
    ] = False,
    label: Annotated[str | None, typer.Option(help="The kept column to classify by (default: the only one).")] = None,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = 1000,
    batch_size: Annotated[int, typer.Option(help="Blocks or records a step, over all processes together.")] = 16,
    context: Annotated[int, typer.Option(help="Ids that the model sees at once.")] = 128,
    learning_rate: Annotated[
        float | None, typer.Option(help="The schedule's peak; by default 3e-3, from 20 M parameters on 5e-4.")
    ] = None,
    schedule: Annotated[str, typer.Option(help="After the peak: cosine or linear to zero, or constant.")] = "cosine",
    warmup: Annotated[
        float | None,
        typer.Option(help="Steps up to the peak, below 1 a share of all; by default a tenth, 100 steps at most."),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(help="Parts in which a device takes its share of a batch: less memory, the same losses.")
    ] = 1,
    precision: Annotated[
        str, typer.Option(help="auto (bfloat16 on GPUs that can), float32 or bfloat16; weights are float32.")
    ] = "auto",
    validation: Annotated[
        list[Path] | None, typer.Option(help="Shards of the same table to evaluate on; the run is then the best.")
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="With --validation: steps between evaluations; by default a tenth of all.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="With --validation: stop after as many evaluations without a better one.")
    ] = None,
    report_to: Annotated[
        str | None, typer.Option(help="tensorboard: write the curves, in the end to RUN/tensorboard.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights on a CPU.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on with an interrupted training.")] = False,
    force: Force = False,
) -> None:
    """Train a model on shards. It needs no table, and learns nothing of one."""
    from ult.train import train as run

    run(
        shards,
        out,
        task=task,
        model=model,
        from_run=from_run,
        embeddings=embeddings,
        freeze_body=freeze_body,
        lora=lora,
        mixture=_weights(mixture),
        modality_token=modality_token,
        steps=steps,
        batch_size=batch_size,
        context=context,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        accumulate=accumulate,
        precision=precision,
        validation=validation,
        evaluate_every=evaluate_every,
        patience=patience,
        report_to=report_to,
        label=label,
        seed=seed,
        resume=resume,
        force=force,
    )


def _weights(text: str | None) -> list[float] | None:
    from ult.errors import InvalidConfig

    try:
        return None if text is None else [float(weight) for weight in text.split(",")]
    except ValueError:
        raise InvalidConfig(f"mixture is {text!r}; expected numbers with commas", hint="--mixture 3,1,1") from None


def evaluate(
    run: RunFolder,
    shards: Annotated[list[Path], typer.Argument(help="Shards folders of the run's vocabulary.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    batch_size: Annotated[int, typer.Option(help="Blocks or records at once.")] = 16,
) -> None:
    """Say how well a run predicts shards: bits per byte of the original data, or accuracy."""
    from ult.cli.show import note, out
    from ult.evaluate import evaluate as measure

    result = measure(run, shards, batch_size=batch_size)
    if json:
        out.print_json(data=result)
        return
    _show(result)
    if not result["table_seen"]:
        note("the run was trained on another table than these shards': its embedding rows do not fit them")


def _show(result: dict[str, Any]) -> None:
    from ult.cli.show import facts

    def measured(name: str, digits: str) -> str:
        value, interval = result[name], result[f"{name}_interval"]
        if value is None:
            return "unknown: the shards hold no original data"
        return f"{value:{digits}}" + (f"  (95 %: {interval[0]:{digits}} to {interval[1]:{digits}})" if interval else "")

    if result["task"] == "lm":
        rows = [
            ("bits per byte", measured("bits_per_byte", ".4f")),
            ("bits per id", measured("bits_per_id", ".4f")),
            ("records", result["rows"]),
            ("ids predicted", result["predictions"]),
            ("bytes of data", result["bytes"]),
        ]
    else:
        rows = [
            ("accuracy", measured("accuracy", ".1%")),
            ("balanced accuracy", measured("balanced_accuracy", ".1%")),
            ("chance", f"{result['chance']:.1%}"),
            ("records", result["rows"]),
            ("truncated", result["truncated"]),
        ]
    facts(rows)


def generate(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Shards; with --table, any output of `ult decode`.")],
    n: Annotated[int, typer.Option("-n", help="How many records.")] = 1,
    table: Annotated[
        Path | None, typer.Option("--table", "-t", help="The owner's table: decode what is written.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text that every record starts with; needs --table.")] = None,
    max_new: Annotated[int | None, typer.Option(help="Ids to write at most; by default the run's context.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest id each time.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest ids.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest ids of this total probability.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed draws the same records.")] = 0,
    passphrase_file: PassphraseFile = None,
    identity: Identities = None,
    force: Force = False,
) -> None:
    """Let a run write records: as shards of ids, or with the owner's table as data."""
    from ult.cli.show import say
    from ult.errors import InvalidConfig, OutputExists
    from ult.generate import generate as write
    from ult.generate import write_generated

    if out.exists() and not force:
        raise OutputExists(f"{out} exists already", hint="another --out, or --force to replace it")
    if prompt is not None and table is None:
        raise InvalidConfig("a prompt is encoded with the owner's table", hint="--table T.ult")
    secret = load_table(table, passphrase_file, identity) if table else None
    if secret is not None:
        _check_table(run, secret.fingerprint)
    ids = secret.encode(prompt) if secret is not None and prompt else None
    modality = secret.codec.modality if secret is not None else None
    sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    records = write(run, n=n, prompt_ids=ids, max_new=max_new, modality=modality, **sampling)
    if secret is None:
        write_generated(run, records, out, force=force)
        say(f"{out}: {len(records)} records of ids; the owner decodes them: ult decode {out} --prefix -t TABLE")
    else:
        from ult.cli.owner import write_decoded

        write_decoded(records, secret, out, column=_column(run), force=force)


def _check_table(run: Path, fingerprint: str) -> None:
    from ult.errors import WrongTable
    from ult.run import Run

    tables = Run.open(run).tables
    if fingerprint not in tables:
        raise WrongTable(
            f"{run} was trained on shards of table {', '.join(sorted(tables))}; this one is {fingerprint}",
            hint="--table with the table that `ult encode` used",
        )


def _column(run: Path) -> str:
    from ult.run import Run

    return str(Run.open(run).metrics["shards"][0]["column"])

"""`ult train`, the verb with the most options: each panel of its help is a question.

The options of a training are declared in `ult.trainer.options`; this verb is made of the declarations.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ult.cli.help import Verb
from ult.cli.options import Force, Place, path_or_address
from ult.trainer.learning import LEARNS
from ult.trainer.option import Option
from ult.trainer.options import CHECKS
from ult.trainer.recipe import OPTIONS, Recipe

Places = list[Place] | None


def with_options(before: str, *, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the options of a recipe in place of a verb's `**options`, in front of its parameter `before`.

    An option that a command does not give is None; those of `without` cannot be given.
    """

    def put(verb: Callable[..., None]) -> Callable[..., None]:
        declared = inspect.signature(verb, eval_str=True).parameters.values()
        own = [one for one in declared if one.kind is not one.VAR_KEYWORD]
        place = [one.name for one in own].index(before)
        signature = inspect.Signature([*own[:place], *_parameters(without), *own[place:]])
        verb.__signature__ = signature  # type: ignore[attr-defined]
        verb.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
        return verb

    return put


def _parameters(without: Collection[str]) -> Iterator[inspect.Parameter]:
    for one in (one for name, one in OPTIONS.items() if name not in without):
        flags = f"{one.flag}/--no-{one.flag[2:]}" if one.kind is bool else one.flag
        kind = str if one.kind is tuple or one.words else one.kind
        told = typer.Option(flags, metavar=one.metavar or None, help=_help(one), rich_help_panel=one.panel)
        yield inspect.Parameter(
            one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[kind | None, told]
        )


def _help(one: Option) -> str:
    return f"{one.sentence}  [{one.notes}]"


@with_options("targets")
def train(
    command: typer.Context,
    shards: Annotated[
        Places,
        typer.Argument(
            help="Shards folders of one vocabulary, here or at s3:// or other addresses.  [required]",
            metavar="SHARDS...",
            parser=path_or_address,
        ),
    ] = None,
    out: Annotated[
        Place | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            parser=path_or_address,
            help="The run folder to write; at an address, checkpoints are uploaded to it too.  [required]",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Options by name, as YAML or JSON; those that stand in the command override them."
        ),
    ] = None,
    write_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Train nothing: write the options as YAML, each with its help and default; - prints them.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on with an interrupted training; as --resume auto, also begin one that is not there, and end well "
            "if the run is finished: one command for a queue that starts it again and again."
        ),
    ] = False,
    resume_auto: Annotated[bool, typer.Option("--resume-auto", hidden=True)] = False,
    force: Force = False,
    targets: Annotated[
        Places,
        typer.Option(
            rich_help_panel=LEARNS,
            metavar="PATH",
            parser=path_or_address,
            help="seq2seq: shards whose records go with those of SHARDS, row by row.",
        ),
    ] = None,
    validation: Annotated[
        Places,
        typer.Option(
            rich_help_panel=CHECKS,
            metavar="PATH",
            parser=path_or_address,
            help="Shards of the same table to evaluate on; the run keeps the best weights.",
        ),
    ] = None,
    validation_targets: Annotated[
        Places,
        typer.Option(
            rich_help_panel=CHECKS,
            metavar="PATH",
            parser=path_or_address,
            help="seq2seq: shards whose records go with those of --validation, row by row.",
        ),
    ] = None,
    without: Annotated[
        list[Path] | None,
        typer.Option(
            rich_help_panel=LEARNS,
            metavar="GONE.rows",
            help="Leave out these records, as `ult forget find` names them; repeatable. What is trained is what shards "
            "that never had them would give.",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Train a model on shards. It needs no table, and learns nothing of one."""
    recipe = recipe_of(config, options)
    if write_config is not None:
        _write(recipe, write_config, force=force)
        return
    if not shards:
        raise typer.BadParameter("name the shards folders to train on", ctx=command, param_hint="SHARDS...")
    if out is None:
        raise typer.BadParameter("name the run folder to write", ctx=command, param_hint="--out")
    from ult.trainer.train import train as run

    metrics = run(
        shards,
        out,
        recipe,
        targets=targets,
        validation=validation,
        validation_targets=validation_targets,
        without=without,
        resume="auto" if resume_auto else resume,
        force=force,
    )
    if metrics["privacy"]:
        _tell(out, metrics, shards)


class Train(Verb):
    """The command: `--resume auto` is one option, while `--resume` takes no value, so that SHARDS may stand behind."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; `--resume auto` is read as `--resume-auto`."""
        words = iter(args)
        joined: list[str] = []
        for word in words:
            if word == "--":
                joined += [word, *words]
            elif word == "auto" and joined[-1:] == ["--resume"]:
                joined[-1] = "--resume-auto"
            else:
                joined.append("--resume-auto" if word == "--resume=auto" else word)
        return super().parse_args(ctx, joined)


def recipe_of(config: Path | None, options: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe of a file, if one is given, with the options of the command, but None, in place of the file's.

    What neither gives is as `known` says, else at its default.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return Recipe(**{**(known or {}), **(Recipe.options_in(config) if config is not None else {}), **given})


def _write(recipe: Recipe, path: Path, *, force: bool) -> None:
    if str(path) == "-":
        sys.stdout.write(recipe.to_yaml())
        return
    from ult.cli.console import say
    from ult.host.atomic import write_text
    from ult.host.free import check_free

    check_free(path, force=force, option="--write-config")  # --force replaces a file, never a folder
    write_text(path, recipe.to_yaml())
    say(f"{path}: {len(OPTIONS)} options of a training; ult train SHARDS -o RUN --config {path}")


def _tell(out: Path, metrics: dict[str, Any], shards: Sequence[str | Path]) -> None:
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

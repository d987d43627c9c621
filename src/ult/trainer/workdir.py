"""Write a run so that it appears whole or not at all: by a training, or from another run.

A training works in a hidden folder beside its output. If it is interrupted, it leaves the folder there with its last
checkpoint, and the same command goes on from it. A run that is made from another one, with other weights or rows, is
written in the same way.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ult.errors import InvalidConfig, OutputError, OutputExists, TrainingError, writing
from ult.host.atomic import Claim, hidden
from ult.host.disk import strangers
from ult.host.distribution import build
from ult.host.extras import require
from ult.host.free import Kind, check_free
from ult.public.card import CARD, run_card
from ult.public.published import OWNER
from ult.public.run import MEMBERS, ROWS, Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.recipe import Recipe

with require("safetensors", extra="train"):
    from safetensors import SafetensorError

JOURNAL = "recipe.json"  # in the hidden folder: what was asked of the unfinished training
OURS = re.compile(  # every file that --force may replace, those that earlier versions of libraries write included
    rf"({MEMBERS}/\d+/)?((metrics|vocabulary|config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json|{OWNER}"
    rf"|{re.escape(CARD)}"
    rf"|loss\.png|{ROWS}/[0-9a-f]{{32}}\.safetensors"
    r"|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|adapter/(adapter_config\.json|adapter_model\.safetensors|README\.md)|tensorboard/events\.[^/]+"
    r"|wandb/offline-run-[\w-]+/run-\w+\.wandb)"
)
KEPT = "the last checkpoint is kept: the same command with --resume goes on from it"
# Adapters are not copied, because they hold rows, nor are curves. A private run has no loss.png.
_COPIED = ("vocabulary.json", "tokenizer.json", "tokenizer_config.json", "loss.png")


def _is_run(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("metrics.json", "vocabulary.json"))


Resume: TypeAlias = bool | Literal["auto"]  # auto: go on if there is something to go on from, else begin
RUN = Kind("a run", _is_run, partial(strangers, ours=OURS))


def partial_folder(out: Path) -> Path:
    """Return the hidden folder in which the training of `out` works."""
    return hidden(out)


@contextmanager
def working_folder(
    out: Path,
    recipe: Recipe,
    data: dict[str, list[dict[str, Any]]],
    *,
    resume: Resume,
    force: bool,
    split: bool = False,
) -> Iterator[Path]:
    """Yield the folder to work in: a new one or, with `resume`, the one that the same command left behind.

    With `resume="auto"` it is either, as the case may be.

    `data` are the summaries of the shards, by what they are for; `split` is whether weights are split over processes,
    as checkpoints of one kind are none of the other. After an error or an interrupt the folder stays only
    if it holds a checkpoint to resume from. Raises `OutputExists` if the run or an unfinished one is there or another
    process works on it, and `TrainingError` if there is nothing to resume or other things were asked of it.
    """
    partial = partial_folder(out)
    if resume and force:
        raise InvalidConfig("resume and force were both given; expected one of them")
    check_free(out, RUN, force=force)
    about = {"recipe": recipe.shaping(), "data": data, "versions": {"build": build()}, "launch": {"fsdp": split}}
    asked = json.loads(json.dumps(about))
    with Claim(out, journal=JOURNAL) as claim:
        there = claim.keep = (partial / JOURNAL).exists()
        check_free(out, RUN, force=force)
        if there if resume == "auto" else resume:
            _check_same(partial, asked, out)
        elif there and not force:
            raise OutputExists(
                f"an unfinished training of {out} is there", hint="--resume to go on, --force to start again"
            )
        else:
            with writing(out):
                claim.clear()
                fresh = partial / f"{JOURNAL}.tmp"  # a kill leaves no half of it, from which nothing could go on
                fresh.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
                fresh.replace(partial / JOURNAL)
        claim.keep = False
        try:
            yield partial
        except BaseException as error:
            if _goes_on(partial):
                claim.keep = True
                if KEPT not in getattr(error, "__notes__", ()):  # a member has said it
                    error.add_note(KEPT)
            raise


def _goes_on(partial: Path) -> bool:
    """Return whether there is something to go on from: a checkpoint, or a run in it that is finished or has one."""
    members = partial / "run" / MEMBERS
    return (
        last_checkpoint(partial) is not None
        or (partial / "run" / "metrics.json").is_file()
        or last_checkpoint(hidden(partial / "run")) is not None
        or any((one / "metrics.json").is_file() for one in members.glob("*"))
        or any(last_checkpoint(one) is not None for one in members.glob(".*.partial"))
    )


def _check_same(partial: Path, asked: dict[str, Any], out: Path) -> None:
    try:
        before = json.loads((partial / JOURNAL).read_text(encoding="utf-8"))
        before = {"versions": asked["versions"], "launch": {"fsdp": False}} | before  # 0.1.0 named no build
        earlier: dict[str, Any] = {"teachers": [], "compatible": [], "without": []}  # before there were any
        before["data"] = earlier | before["data"]
        private = before["recipe"].pop("privacy", None) or {}  # nested in 0.1.0
        before["recipe"] = Recipe().shaping() | before["recipe"] | private
        changed = [name for part in asked for name in asked[part] if before[part][name] != asked[part][name]]
    except FileNotFoundError as error:
        raise TrainingError(f"no unfinished training of {out} to resume", hint="leave out --resume") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainingError(f"the unfinished training of {out} is damaged", hint="--force to start again") from error
    if changed:
        raise TrainingError(
            f"the unfinished training of {out} was started with other {', '.join(changed)}",
            hint="the same options and the same ult, or --force to start again",
        )


def last_checkpoint(partial: Path) -> Path | None:
    """Return the newest complete checkpoint in `partial`, and remove newer ones that are not; None if there is none.

    The trainer writes `trainer_state.json` last, so a checkpoint is complete if that file can be read.
    """
    for folder in sorted(partial.glob("checkpoint-*"), key=lambda f: int(f.name.partition("-")[2]), reverse=True):
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
            return folder
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
    return None


def finish(partial: Path, out: Path, *, force: bool) -> None:
    """Move `partial / "run"` to `out`; the caller holds `partial`. Raises `OutputExists` or `OutputError`."""
    check_free(out, RUN, force=force)
    Claim(out).publish(partial / "run", owners=(OWNER,))


# ---- a run made of another


@contextmanager
def deriving(run: Run, out: Path, metrics: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Yield a folder with the files of `run` but for its weights, and these metrics, to write the weights of `out` to.

    When the block ends the folder becomes `out`; after an error nothing is left. Raises `OutputExists` if `out` exists
    and is not a run that `force` may replace, or if it is being trained, and `OutputError`.
    """
    with Claim(out) as claim:
        folder = begin(run, claim, metrics)
        yield folder
        check_free(out, RUN, force=force)
        claim.publish(folder)


@contextmanager
def founding(out: Path, vocabulary: Vocabulary, metrics: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Yield a folder with this vocabulary and these metrics, to write the weights of `out` to, a run made of no other.

    When the block ends the folder becomes `out`; after an error nothing is left. Raises as `deriving`.
    """
    with Claim(out) as claim:
        folder = claim.folder / "run"
        with writing(out):
            folder.mkdir()
            vocabulary.tokenizer().save_pretrained(folder)
            vocabulary.save(folder / "vocabulary.json")
            write_told(folder, metrics)
        yield folder
        check_free(out, RUN, force=force)
        claim.publish(folder)


def begin(run: Run, claim: Claim, metrics: dict[str, Any]) -> Path:
    """Return a folder inside that of `claim` with the files of `run` but for its weights, and these metrics.

    Raises `OutputError`.
    """
    folder = claim.folder / "run"
    with writing(claim.out):
        folder.mkdir()
        for name in _COPIED:
            if (run.path / name).is_file():
                shutil.copyfile(run.path / name, folder / name)
        write_told(folder, metrics)
    return folder


def write_told(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `metrics.json` into the folder of a run, and the card that tells people the same."""
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(run_card(metrics), encoding="utf-8")


def save(model: Any, folder: Path, out: Path, weights: dict[str, Any] | None = None) -> None:
    """Save a model, or only `weights` of it, as one file in the folder that `deriving` yielded for `out`."""
    try:
        with writing(out):
            model.save_pretrained(folder, state_dict=weights, max_shard_size="1TB")
    except SafetensorError as error:
        raise OutputError(f"cannot write {out}: {error}") from error

